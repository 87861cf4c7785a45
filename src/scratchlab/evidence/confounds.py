"""What differs between two arms besides what was meant to: the reason not to believe a difference."""

from collections.abc import Callable, Sequence
from typing import Any

from scratchlab.evidence.items import SHAPE, mixed_items, other_items
from scratchlab.evidence.runs import Arm, RunRecord
from scratchlab.runs.metrics import Act, Metric
from scratchlab.runs.metrics import metric as declaration

SIZE = ("model.emb_dim", "model.n_layers", "model.n_heads")


def factor(key: str) -> str:
    """The choice behind a configuration key: several keys of one choice, as those of LoRA, are one factor."""
    if key in SIZE:
        return "model size"
    for prefix, name in (
        ("model.drop_rate", "dropout"),
        ("tune.", "tune"),
        ("weights.", "weights"),
        ("prompt.", "prompt"),
    ):
        if key.startswith(prefix):
            return name
    return "judge" if key.startswith("judge.") else key


def factors(arm: Arm, other: Arm) -> dict[str, list[str]]:
    """What two arms set differently: factor -> keys."""
    found: dict[str, list[str]] = {}
    for key in dict.fromkeys((*arm.config, *other.config)):
        if arm.config.get(key) != other.config.get(key):
            found.setdefault(factor(key), []).append(key)
    return found


def _hash(name: str) -> Callable[[RunRecord], Any]:
    return lambda run: run.hashes.get(name)


def _metric(name: str) -> Callable[[RunRecord], Any]:
    return lambda run: run.metrics.get(name)


LENGTH = ("train.epochs", "train.batch_size", "data.", "prompt.")

EFFECTS: tuple[tuple[str, Callable[[RunRecord], Any], tuple[str, ...]], ...] = (
    ("data bytes", _hash("data"), ("data.source",)),
    ("training examples", _hash("train_split"), SHAPE),
    ("test examples", _hash("test_split"), SHAPE),
    ("starting weights", _hash("weights"), ("weights.", "model.")),
    ("batch order", _hash("batch_order"), (*LENGTH, "model.drop_rate", "model.context_length", "train.eval_")),
    ("training steps", lambda run: run.batches, (*LENGTH, "train.accumulate", "model.context_length")),
    ("examples seen", _metric("examples_seen"), LENGTH),
    ("tokens seen", _metric("tokens_seen"), (*SHAPE, *LENGTH)),
    ("trainable parameters", _metric("trainable_parameters"), ("tune.", "model.")),
    ("judge", lambda run: judge_card(run), ("judge.",)),
    ("device", lambda run: run.device, ("compute.device",)),
)
"""What ran in effect, how a record shows it, and the configuration keys that rightly change it."""


TARGETS = ("mask_instruction", "prompt.")
"""Settings that choose which tokens a loss is over."""


def unlike(variant: Arm, baseline: Arm, metric: str) -> str:
    """Why the two arms' numbers are of two kinds, so that nothing can be said of their difference; empty if not."""
    declared = declaration(metric)
    if Act.targets in declared.acts and (problem := _other_targets(variant, baseline)):
        return problem
    if not declared.steady and (problem := _other_device(declared, variant, baseline)):
        return problem
    return "" if declared.split == "train" else _tested_on_others(variant, baseline, declared.split)


def _tested_on_others(variant: Arm, baseline: Arm, split: str) -> str:
    """Whether the runs of the two arms, or of one of them, were tested on different items."""
    for arm in (variant, baseline):
        if problem := mixed_items(arm.runs, split):
            return f"{arm.label}: {problem}"
    return other_items(variant.runs[0], baseline.runs[0], split)


def _other_targets(variant: Arm, baseline: Arm) -> str:
    keys = [key for group in factors(variant, baseline).values() for key in group if key.startswith(TARGETS)]
    if keys:
        return f"a loss over other targets ({', '.join(keys)})"
    for seed in _common(variant, baseline):
        for name in ("targets", "masked_targets"):
            ours, theirs = (arm.run(seed).metrics.get(name) for arm in (variant, baseline))
            if ours is not None and theirs is not None and ours != theirs:
                return f"a loss over other targets ({name}: {_short(ours)}, baseline {_short(theirs)})"
    return ""


def _other_device(declared: Metric, variant: Arm, baseline: Arm) -> str:
    devices = [{arm.run(seed).device for seed in _common(variant, baseline)} for arm in (variant, baseline)]
    if len(set.union(*devices)) < 2 and "" not in devices[0]:
        return ""
    ours, theirs = (", ".join(sorted(names)) or "a device that no record names" for names in devices)
    what = "it was timed" if declared.timed else "it was measured"
    return f"{what} on {ours}, the baseline on {theirs}"


def _common(variant: Arm, baseline: Arm) -> list[int]:
    return sorted(set(variant.seeds) & set(baseline.seeds))


def unexplained(variant: Arm, baseline: Arm, metric: str, aside: Sequence[str] = ()) -> list[str]:
    """Effects on `metric` that differ at a common seed although no setting that differs can be the reason, in words.

    `aside`: effects, as `EFFECTS` names them, that are not asked about.
    """
    keys = [key for group in factors(variant, baseline).values() for key in group]
    without = {*aside, *([] if declaration(metric).judged else ["judge"])}
    found = []
    for what, read, causes in EFFECTS:
        if what in without or any(key.startswith(causes) for key in keys):
            continue
        for seed in _common(variant, baseline):
            ours, theirs = read(variant.run(seed)), read(baseline.run(seed))
            if ours and theirs and ours != theirs:
                found.append(f"{what} differ at seed {seed}: {_short(ours)}, baseline {_short(theirs)}")
                break
    return found


def several_factors(variant: Arm, baseline: Arm, metric: str, declared: Sequence[str] = ()) -> str:
    """Words for arms that differ in more than one factor of `metric`; those behind `declared` keys count as one."""
    groups = factors(variant, baseline)
    if not declaration(metric).judged:
        groups.pop("judge", None)
    extra = [name for name, keys in groups.items() if not all(_declared(key, declared) for key in keys)]
    if not extra or len(extra) + (len(extra) < len(groups)) < 2:
        return ""
    return f"more than one setting differs ({', '.join(extra)}): the difference cannot be put down to one of them"


def _declared(key: str, declared: Sequence[str]) -> bool:
    return any(
        key == d or key.startswith(f"{d}.") or (d == "dropout" and key.startswith("model.drop_rate")) for d in declared
    )


def judge_card(run: RunRecord) -> str:
    """Who judged the answers, as one line of `key=value`; empty if the record names no judge."""
    parts = {k: v for k, v in run.hashes.items() if k.startswith("judge")}
    for key, value in run.metrics.items():
        if key in ("judge", "judge_card", "judge_model", "judge_digest", "judge_prompt"):
            parts |= value if isinstance(value, dict) else {key: value}
    return ", ".join(f"{key}={value}" for key, value in sorted(parts.items()))


def _short(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
