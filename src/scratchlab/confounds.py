"""What differs between two arms besides what was meant to: the reason not to believe a difference."""

from collections.abc import Callable, Sequence
from typing import Any

from scratchlab.measured import Arm, Measured

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


def _hash(name: str) -> Callable[[Measured], Any]:
    return lambda run: run.hashes.get(name)


def _metric(name: str) -> Callable[[Measured], Any]:
    return lambda run: run.metrics.get(name)


SHAPE = ("data.", "prompt.", "model.context_length", "train.max_length", "model.vocab_size")
LENGTH = ("train.epochs", "train.batch_size", "data.", "prompt.")

EFFECTS: tuple[tuple[str, Callable[[Measured], Any], tuple[str, ...]], ...] = (
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


NOT_JUDGED = (
    "accuracy", "loss", "parameters", "seconds", "length", "seen", "bytes", "second", "rouge_l", "chrf", "exact_match",
)  # fmt: skip
"""Endings of metrics that no judge has a part in."""


def judged(metric: str) -> bool:
    return not metric.endswith(NOT_JUDGED)


def unexplained(variant: Arm, baseline: Arm, metric: str) -> list[str]:
    """Effects on `metric` that differ at a common seed although no setting that differs can be the reason, in words."""
    keys = [key for group in factors(variant, baseline).values() for key in group]
    found = []
    for what, read, causes in EFFECTS:
        if (what == "judge" and not judged(metric)) or any(key.startswith(causes) for key in keys):
            continue
        for seed in sorted(set(variant.seeds) & set(baseline.seeds)):
            ours, theirs = read(variant.run(seed)), read(baseline.run(seed))
            if ours and theirs and ours != theirs:
                found.append(f"{what} differ at seed {seed}: {_short(ours)}, baseline {_short(theirs)}")
                break
    return found


def several_factors(variant: Arm, baseline: Arm, metric: str, declared: Sequence[str] = ()) -> str:
    """Words for arms that differ in more than one factor of `metric`; those behind `declared` keys count as one."""
    groups = factors(variant, baseline)
    if not judged(metric):
        groups.pop("judge", None)
    extra = [name for name, keys in groups.items() if not all(_declared(key, declared) for key in keys)]
    if not extra or len(extra) + (len(extra) < len(groups)) < 2:
        return ""
    return f"more than one setting differs ({', '.join(extra)}): the difference cannot be put down to one of them"


def _declared(key: str, declared: Sequence[str]) -> bool:
    return any(
        key == d or key.startswith(f"{d}.") or (d == "dropout" and key.startswith("model.drop_rate")) for d in declared
    )


def judge_card(run: Measured) -> str:
    """Who judged the answers, as one line of `key=value`; empty if the record names no judge."""
    parts = {k: v for k, v in run.hashes.items() if k.startswith("judge")}
    for key, value in run.metrics.items():
        if key in ("judge", "judge_card", "judge_model", "judge_digest", "judge_prompt"):
            parts |= value if isinstance(value, dict) else {key: value}
    return ", ".join(f"{key}={value}" for key, value in sorted(parts.items()))


def _short(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
