"""Go on from what another run has trained: find the checkpoint that it left."""

from pathlib import Path
from typing import TYPE_CHECKING

from scratchlab.files import read_yaml
from scratchlab.model.config import ModelConfig
from scratchlab.runs.identity import as_before, plain
from scratchlab.runs.record import CONFIG, folders, result_or_warning

if TYPE_CHECKING:
    import torch
    from torch import nn

CHECKPOINT, WEIGHTS = "checkpoint/model_and_optimizer.pth", "checkpoint/model.safetensors"
"""Where a run leaves its model, below its folder: in the book's layout, and for other programs."""


def leave(model: "nn.Module", optimizer: "torch.optim.Optimizer", folder: Path) -> None:
    """Write what another run can go on from into a run's folder."""
    from scratchlab.model import weights

    weights.save_state(model, folder / CHECKPOINT, optimizer)
    weights.save_state(model, folder / WEIGHTS)


def run_of(checkpoint: Path) -> str:
    """The fingerprint of the run that left a checkpoint."""
    return checkpoint.parents[1].name


def checkpoint_of(name: str, *, out: str, seed: int, model: ModelConfig) -> Path:
    """The checkpoint of the last finished run of that name, with this seed and model, below `out`.

    Raises:
        FileNotFoundError: there is none; says which runs were looked at, and what each one lacks.
    """
    wanted = {"seed": seed, "model": plain(model)}
    before = as_before(type(model))  # what a record means that is older than some of a model's keys
    found, tried = [], []
    for folder in folders(out, name):
        then = read_yaml(folder / CONFIG)
        result = result_or_warning(folder)
        if isinstance(then, dict):
            then["model"] = before | (then.get("model") or {})
        if result is None or result.get("status") != "done" or not isinstance(then, dict):
            tried.append(f"{folder}: not done")
        elif different := [key for key, value in wanted.items() if then.get(key) != value]:
            tried.append(f"{folder}: another {' and '.join(different)}")
        elif not (folder / CHECKPOINT).is_file():
            tried.append(f"{folder}: has no {CHECKPOINT} (save_checkpoint=true leaves one)")
        else:
            found.append((str(result.get("started")), folder / CHECKPOINT))
    if not found:
        raise FileNotFoundError(
            f"continue_run={name}: no finished run of that name, with seed={seed} and this "
            f"model, below out={out}; found\n  " + "\n  ".join(tried or ["none"]) + "\n"
            f"possible: scratchlab experiment={name} seed={seed} out={out} first, or "
            "weights=checkpoint weights.path=FILE, the book's model_and_optimizer.pth for one"
        )
    return max(found)[1]
