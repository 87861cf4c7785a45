"""What finished runs took, in time and memory, and which runs take the same."""

import hashlib
import json
from typing import Any, NamedTuple

from scratchlab.evidence.runs import RunRecord
from scratchlab.runs.checks import is_number

TIMELESS = (
    *("seed", "position", "train.lr", "train.weight_decay", "train.warmup", "train.initial_lr", "train.min_lr"),
    *("train.ignore_index", "tune.lora_alpha", "tune.lora_scaling", "data.split", "data.split_seed"),
    *("data.shuffle_labels", "model.causal"),
)
"""Keys that cost no time, whatever they are."""
EPOCHS = "train.epochs"
DEVICES = ("cpu", "cuda", "mps")


class Cost(NamedTuple):
    """What one run took."""

    kind: str
    """The same for runs that differ in nothing that costs time, the number of epochs aside; see `kind`."""
    epochs: float
    seconds: float
    training: float
    """Of the seconds, those that grow with the epochs."""
    memory: int | None
    """Bytes at the peak."""
    device: str
    device_class: str
    started: str


def of(run: RunRecord) -> Cost | None:
    """None for a run that is not done, or whose training was done elsewhere."""
    if not run.done or run.metrics.get("trained_in"):
        return None
    memory, training = run.metrics.get("peak_memory_bytes"), run.metrics.get("train_seconds")
    epochs = run.config.get(EPOCHS)
    return Cost(
        kind(run.task, run.acting),
        float(epochs) if is_number(epochs) else 0.0,
        run.seconds,
        float(training) if is_number(training) else 0.0,
        memory if isinstance(memory, int) else None,
        run.device,
        run.device_class,
        run.started,
    )


def kind(task: str, acting: dict[str, Any]) -> str:
    """A hash of the task and of all that acts in a run and costs time."""
    rest = {key: value for key, value in acting.items() if key not in (*TIMELESS, EPOCHS, "compute.device")}
    text = json.dumps([task, rest], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
