"""State dicts in files: compare them with a model, copy them in, read and write them.

Names and shapes are compared both ways before anything is copied, and tensors are copied one at a time, so that loading
needs the model and one tensor.
"""

import pickle
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scratchlab import processes
from scratchlab.files import in_one_step
from scratchlab.model.sharded import as_part, gathered


@dataclass(frozen=True)
class Stored:
    """A tensor in a file, read when asked for."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]


def safetensors(file: Any) -> dict[str, Stored]:
    """What an open safetensors file holds."""
    return {
        name: Stored(tuple(file.get_slice(name).get_shape()), partial(file.get_tensor, name)) for name in file.keys()
    }


def copy_into(model: nn.Module, found: dict[str, Stored], where: str, *, diverged: bool = False) -> None:
    """Copy tensors under the model's parameter names into it; one on the meta device comes to the CPU.

    `diverged`: NaN and infinity are what a training left, and are taken as they are.

    Raises:
        ValueError: names or shapes differ; says all differences at once, and nothing was copied. Or a tensor holds
            whole numbers, NaN or infinity: no weights.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    differences = {
        "missing": [f"{name} {shape}" for name, shape in expected.items() if name not in found],
        "unexpected": [f"{name} {tensor.shape}" for name, tensor in found.items() if name not in expected],
        "of another shape": [
            f"{name} {tensor.shape} instead of {expected[name]}"
            for name, tensor in found.items()
            if tensor.shape != expected.get(name, tensor.shape)
        ],
    }
    if any(differences.values()):
        lines = [f"{len(items)} {kind}: {_some(items)}" for kind, items in differences.items() if items]
        raise ValueError(f"{where} does not fit the model\n  " + "\n  ".join(lines))
    if any(parameter.is_meta for parameter in model.parameters()):
        model.to_empty(device="cpu")
    with torch.no_grad():
        for name, parameter in model.state_dict().items():
            value = found[name].read()
            if not value.is_floating_point():
                raise ValueError(f"{where}: {name} holds {str(value.dtype)[6:]}; possible: weights in floating point")
            if not diverged and not torch.isfinite(value).all():
                raise ValueError(f"{where}: {name} holds NaN or infinity: a training that diverged, or a damaged file")
            parameter.copy_(as_part(value, parameter))


def load_checkpoint(model: nn.Module, path: Path, *, diverged: bool = False) -> None:
    """Load a state dict with the book's parameter names: the author's published ones, the book's `.pth`, or our own.

    Causal masks saved as buffers are ignored, and so is an optimizer's state (see `optimizer_state`). Weights with
    LoRA layers fit a model that has them. `diverged`: as in `copy_into`.

    Raises:
        ValueError: the file is damaged, of another layout, or does not fit the model.
    """
    if path.suffix == ".safetensors":
        with open_safetensors(path) as file:
            _copy_named(model, safetensors(file), path, diverged)
        return
    state = _read_pickle(path)
    state = state.get("model_state_dict", state)
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise ValueError(f"{path} names no tensors; possible: a model's state_dict, alone or as model_state_dict")
    if others := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        raise ValueError(
            f"{path} holds {_some(map(str, others))} that are no tensors; possible: a model's state_dict, alone or as "
            "model_state_dict in a dictionary"
        )
    stored = {name: Stored(tuple(tensor.shape), tensor.detach) for name, tensor in state.items()}
    _copy_named(model, stored, path, diverged)


@contextmanager
def open_safetensors(path: Path) -> Iterator[Any]:
    """An open .safetensors file.

    Raises:
        ValueError: it is damaged, or none.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged, or no .safetensors file ({_line(error)})") from error


def _copy_named(model: nn.Module, stored: dict[str, Stored], path: Path, diverged: bool) -> None:
    lora = [name for name in stored if name.endswith((".lora.A", ".lora.B"))]
    if lora and not any(name.endswith(".lora.A") for name in model.state_dict()):
        raise ValueError(
            f"{path} has LoRA layers that were not merged ({_some(lora)}), and the model has none; possible: add_lora "
            "with the rank and alpha of that run before loading, or merge_lora before saving"
        )
    weights = {name: tensor for name, tensor in stored.items() if not name.endswith(".att.mask")}
    copy_into(model, weights, str(path), diverged=diverged)


def optimizer_state(path: Path) -> dict[str, Any]:
    """The optimizer's part of a checkpoint in the book's layout, for `optimizer.load_state_dict`.

    Raises:
        ValueError: the file has none.
    """
    state = {} if path.suffix == ".safetensors" else _read_pickle(path)
    if "optimizer_state_dict" not in state:
        raise ValueError(
            f"{path} has no optimizer_state_dict; possible: a .pth file that was saved with the optimizer, or loading "
            "the weights alone and starting the optimizer anew"
        )
    if not isinstance(state["optimizer_state_dict"], dict):
        raise ValueError(f"{path}: its optimizer_state_dict is none; possible: loading the weights alone")
    return state["optimizer_state_dict"]


def _read_pickle(path: Path) -> dict[str, Any]:
    """Read a `torch.save` file; the tensors stay on disk until they are used."""
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; possible: a .pth, .pt or .safetensors file")
    try:
        # files from before torch 1.6 are no zip archives and cannot be mapped
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is damaged, or can only be read by running code that it brings along (pickle), which is never "
            f"done; possible: a state_dict of tensors written by torch.save, or a .safetensors file ({_line(error)})"
        ) from error
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}; possible: a state_dict, a dictionary of tensors")
    return state


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _some(names: Iterable[str], most: int = 8) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def save_state(model: nn.Module, path: Path, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Write the weights as .safetensors, or as .pth in the book's layouts; `path` is whole or not there at all.

    A .pth file is the plain state dict, or with `optimizer` the book's `model_state_dict` and `optimizer_state_dict`.

    Raises:
        ValueError: another ending, or an optimizer for .safetensors, which holds tensors only.
    """
    if path.suffix not in (".safetensors", ".pth", ".pt") or (optimizer and path.suffix == ".safetensors"):
        what = "a model and its optimizer" if optimizer else "a model"
        raise ValueError(f"cannot save {what} as {path.name}; possible: .pth, .safetensors (without optimizer)")
    state = gathered(model.state_dict())
    of_optimizer = gathered(optimizer.state_dict()) if optimizer else None
    if not processes.first():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with in_one_step(path) as unfinished:
        if path.suffix == ".safetensors":
            from safetensors import SafetensorError
            from safetensors.torch import save_file

            try:
                save_file(state, unfinished)
            except SafetensorError as error:  # of a full disk, for one
                raise OSError(f"{path} could not be written ({_line(error)})") from error
        elif optimizer:
            torch.save({"model_state_dict": state, "optimizer_state_dict": of_optimizer}, unfinished)
        else:
            torch.save(state, unfinished)
