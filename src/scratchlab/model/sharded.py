"""A model whose weights, gradients and optimizer state lie in parts on several devices (PyTorch's FSDP).

Files of a sharded model are those of a whole one: parts are brought together tensor by tensor, and only the first
process holds them then.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from scratchlab import processes
from scratchlab.model.decoder import Decoder


def shard(model: Decoder, device: torch.device) -> None:
    """Leave this process its part of every tensor: each block is one unit, what lies around the blocks another.

    A unit's weights are whole only while it computes. Blocks are moved to the device one by one.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    # what `forward_at` gives is one place of a longer tensor; nothing writes into it
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor", category=UserWarning)
    mesh = init_device_mesh(device.type, (processes.count(),))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
        register_fsdp_forward_method(block, "forward_at")
    fully_shard(model, mesh=mesh, reshard_after_forward=False)
    register_fsdp_forward_method(model, "through")
    model.sharded = True


@contextmanager
def whole(model: nn.Module) -> Iterator[None]:
    """Bring together what lies around the blocks, for any use of the model without gradients; all processes at once."""
    if not getattr(model, "sharded", False):
        yield
        return
    from torch.distributed.fsdp import FSDPModule

    assert isinstance(model, Decoder) and isinstance(model, FSDPModule)
    with torch.no_grad():
        model.through(lambda: None)
    try:
        yield
    finally:
        model.reshard()


def gathered(value: Any) -> Any:
    """Tensors in a state brought together, on the CPU, by all processes at once; all but the first get empty ones."""
    if _is_part(value):
        found = value.detach().full_tensor()
        return found.cpu() if processes.first() else found.new_empty(0, device="cpu")
    if isinstance(value, dict):
        return {key: gathered(item) for key, item in value.items()}
    if isinstance(value, list):
        return [gathered(item) for item in value]
    return value


def as_part(value: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor, where `like` is one; nothing is said to the others."""
    if not _is_part(like):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    moved = value.to(like.device)
    return distribute_tensor(moved, like.device_mesh, like.placements, src_data_rank=None)


def _is_part(value: Any) -> bool:
    """Whether it is a DTensor; asked so, a process alone need not import them."""
    return isinstance(value, Tensor) and hasattr(value, "placements")


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take up a whole optimizer's state, each process its part."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbered = dict(enumerate(parameters))
    parts = {
        number: {
            key: as_part(value, numbered[number])
            if isinstance(value, Tensor) and number in numbered and value.shape == numbered[number].shape
            else value
            for key, value in of.items()
        }
        for number, of in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": parts})
