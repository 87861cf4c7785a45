"""Several processes that do one run together, as `torchrun` starts them.

Each knows its number. What they say to each other goes over the CPU, and all of them must say it in the same places; a
process alone says nothing, and every function here gives back what it was given.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

FAILED = "failed"
"""The key under which the first process that fails leaves its reason, in the store that torchrun keeps."""
_store: list[Any] = []
_runs = 0


class Left(Exception):
    """What remains of the run is the first process's: this one is done."""


def started() -> int:
    """How many processes torchrun has started for this command; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def number() -> int:
    """Which of them this is, from 0."""
    return int(os.environ["RANK"]) if started() > 1 else 0


def first() -> bool:
    """Whether this is the one that keeps the record and speaks: alone, or the first of several."""
    return number() == 0


def on_this_machine() -> tuple[int, int]:
    """Which of the processes on this machine this is, from 0, and how many they are."""
    if started() == 1:
        return 0, 1
    return int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])


def check_rows(rows: int) -> None:
    """Whether every process gets a row of a batch.

    Raises:
        ValueError: there are fewer.
    """
    if rows < started():
        raise ValueError(
            f"train.batch_size={rows}: {started()} processes divide every batch, and each needs a row; possible: "
            f"train.batch_size={started()} or more, torchrun --nproc-per-node={rows}"
        )


def join(*, gpus: bool) -> None:
    """Find the others; `gpus`: each has one of its own."""
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    store, rank, world = next(rendezvous("env://"))
    global _runs
    _runs += 1  # each run has its own words, in a process that does several
    store = distributed.PrefixStore(f"scratchlab{_runs}", store)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", store=store, rank=rank, world_size=world)
    _store[:] = [store]


def part() -> None:
    """Say no more to the others; what this process does from here on it does alone."""
    if count() > 1:
        from torch import distributed

        distributed.destroy_process_group()


def count() -> int:
    """How many processes are at this run now."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return 1
    return int(torch.distributed.get_world_size())


def agree(value: T) -> T:
    """What the first process was given."""
    if count() == 1:
        return value
    from torch import distributed

    said = [value if first() else None]
    distributed.broadcast_object_list(said, src=0, device=_cpu())
    found: Any = said[0]
    return found


def total(value: float) -> float:
    """The sum of what all were given."""
    if count() == 1:
        return value
    import torch
    from torch import distributed

    found = torch.tensor(value, dtype=torch.float64)
    distributed.all_reduce(found)
    return float(found)


def any_of(flag: bool) -> bool:
    """Whether one of them was given True."""
    return total(float(flag)) > 0


def each(value: T) -> list[T]:
    """What every process was given, in the order of their numbers."""
    if count() == 1:
        return [value]
    from torch import distributed

    found: list[Any] = [None] * count()
    distributed.all_gather_object(found, value)
    return found


def shared_out(items: Iterable[T], of: Callable[[T], R]) -> Iterator[R]:
    """`of` every item, in order, each computed by one process and known to all.

    All compute equally often, so that there may be words between them in it: at the end some do one again for nothing.
    """
    rest = iter(items)
    while group := list(islice(rest, count())):
        mine = of(group[min(number(), len(group) - 1)]) if count() > 1 else of(group[0])
        yield from each(mine)[: len(group)]


def leave_the_rest_to_the_first() -> None:
    """The first process goes on alone.

    Raises:
        Left: in every other.
    """
    if count() == 1:
        return
    part()
    if not first():
        raise Left


def tell_failure(error: BaseException) -> None:
    """Leave word of why this process ends, unless another one was first."""
    if _store:
        _store[0].compare_set(FAILED, "", f"process {number()} failed: {type(error).__name__}: {error}")


def failure() -> str:
    """Why another process has ended, if it left word."""
    if not _store or not _store[0].check([FAILED]):
        return ""
    return str(_store[0].get(FAILED).decode())


def _cpu() -> Any:
    import torch

    return torch.device("cpu")
