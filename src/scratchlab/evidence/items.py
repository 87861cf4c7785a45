"""Whether two runs were tested on the same items."""

from collections.abc import Iterable

from scratchlab.evidence.runs import RunRecord

CHOICES = ("source", "path", "size", "split", "split_seed", "train_fraction")
"""Settings of the data that choose which items a split holds."""
SHAPE = ("data.", "prompt.", "model.context_length", "train.max_length", "model.vocab_size")
"""Settings that change the form of an item; where they are equal, so are the hashes of equal items."""


def other_items(ours: RunRecord, theirs: RunRecord, split: str) -> str:
    """Why two runs' numbers over a split are about different items, in words; empty if nothing shows that they are."""
    if not split or ours is theirs:
        return ""
    for key in (f"data.{name}" for name in CHOICES):
        if key in ours.config and key in theirs.config and ours.config[key] != theirs.config[key]:
            return f"other {split} items ({key}: {ours.config[key]} and {theirs.config[key]})"
    same_form = all(ours.config.get(key) == theirs.config.get(key) for key in _form(ours) | _form(theirs))
    name = f"{split}_split"
    a, b = ours.hashes.get(name), theirs.hashes.get(name)
    if same_form and a and b and a != b:
        return f"other {split} items ({name}: {a[:12]} and {b[:12]})"
    a_, b_ = ours.items(split), theirs.items(split)
    if a_ is None or b_ is None:
        return ""
    ours_by, theirs_by = (dict(zip(one.index.tolist(), one.label.tolist(), strict=True)) for one in (a_, b_))
    if split == "train":  # its last incomplete batch is left out, and another order leaves out others
        common = ours_by.keys() & theirs_by.keys()
        ours_by, theirs_by = ({index: one[index] for index in common} for one in (ours_by, theirs_by))
    return "" if ours_by and ours_by == theirs_by else f"other {split} items (by the labels in predictions.csv)"


def _form(run: RunRecord) -> set[str]:
    return {key for key in run.config if key.startswith(SHAPE)}


def mixed_items(runs: Iterable[RunRecord], split: str) -> str:
    """The same for all runs of an arm: the first that differs from the first of all."""
    first, *rest = sorted(runs, key=lambda run: run.seed)
    for run in rest:
        if problem := other_items(first, run, split):
            return f"seeds {first.seed} and {run.seed} were tested on {problem}"
    return ""
