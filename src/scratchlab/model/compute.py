"""Carry a run's compute settings out: device, number format, compilation, threads."""

import logging
import re
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scratchlab import processes
from scratchlab.model import sharded
from scratchlab.model.decoder import Decoder
from scratchlab.runs.config import ComputeConfig, Device, Precision

log = logging.getLogger(__name__)

_VARIANTS = 64
"""Most compiled forms of a block."""


@dataclass(frozen=True)
class Compute:
    """A device, ready to use."""

    device: torch.device
    config: ComputeConfig

    @property
    def name(self) -> str:
        """What the numbers were computed on: `cpu ...`, `cuda ...` or `mps`."""
        if self.device.type == "cuda":
            return f"cuda {torch.cuda.get_device_name(self.device)}"
        if self.device.type == "cpu":
            return f"cpu {torch.backends.cpu.get_cpu_capability()} {torch.get_num_threads()} threads"
        return self.device.type

    def autocast(self) -> AbstractContextManager[Any]:
        """Computes in bfloat16 where asked; weights and optimizer stay in float32."""
        if self.config.precision is Precision.bfloat16:
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def prepare(self, model: nn.Module) -> None:
        """Move the model to the device and compile it where asked.

        Of a decoder each block is compiled, because that is what everybody calls: training, scoring, classification and
        generation. Embedding, norm and head are a table, a mean and one matrix product, with little to gain.
        """
        if isinstance(model, Decoder):
            model.checkpoints = self.config.checkpoint_activations
        if self.config.shard and isinstance(model, Decoder):
            sharded.shard(model, self.device)
        else:
            model.to(self.device)
        if self.config.compile:
            import torch._dynamo

            # one block's code serves them all, in training, evaluation and generation, each with shapes of its own:
            # past the limit (8 as it comes) torch goes back to what is not compiled
            torch._dynamo.config.cache_size_limit = max(_VARIANTS, torch._dynamo.config.cache_size_limit)
            for part in model.blocks if isinstance(model, Decoder) else [model]:
                part.compile()


def prepare(config: ComputeConfig) -> Compute:
    """Choose the device and set the number of threads.

    Raises:
        ValueError: the device asked for is not there.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    name = config.device.name
    if config.device is Device.auto:
        name = "cuda" if there["cuda"] else "cpu"
    if not there[name]:
        possible = ", ".join(["auto", *(key for key, value in there.items() if value)])
        raise ValueError(f"compute.device={name}: this machine has none that torch can use; possible: {possible}")
    if config.precision is Precision.bfloat16 and name == "cpu" and has_bfloat16() is False:
        log.warning(
            "compute.precision=bfloat16: this processor has no instructions for it (%s), which makes it slower than "
            "compute.precision=float32",
            ", ".join(_BFLOAT16),
        )
    return Compute(_device(name, config), config)


def _device(name: str, config: ComputeConfig) -> torch.device:
    """The device of that kind; of several processes each has its own.

    Raises:
        ValueError: there are fewer than processes, or what is asked for takes several processes.
    """
    count = processes.count()
    if config.shard and (count == 1 or config.compile):
        found = "one process has all weights" if count == 1 else "its blocks are not compiled"
        raise ValueError(
            f"compute.shard=true compute.compile={str(config.compile).lower()}: {found}; possible: "
            "torchrun --nproc-per-node=2 -m scratchlab ... compute.shard=true compute.compile=false"
        )
    if count > 1 and name == "mps":
        raise ValueError("compute.device=mps: of one process alone; possible: compute.device=cpu, or without torchrun")
    if count == 1 or name != "cuda":
        return torch.device(name)
    own, here = processes.on_this_machine()
    if here > torch.cuda.device_count():
        raise ValueError(
            f"torchrun --nproc-per-node={here}: this machine has {torch.cuda.device_count()} GPUs, one for each process"
            f"; possible: 1 to {torch.cuda.device_count()}, or compute.device=cpu"
        )
    torch.cuda.set_device(own)
    return torch.device("cuda", own)


_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")
"""What the kernel calls matrix instructions in bfloat16; the last one is ARM's."""


def has_bfloat16(described: str | None = None) -> bool | None:
    """Whether the processor multiplies matrices in bfloat16; None where nothing says so.

    `described`: what the kernel says of it (default: Linux's own file).
    """
    if described is None:
        with suppress(OSError):
            described = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", described or "", re.MULTILINE)
    return None if flags is None else bool(set(_BFLOAT16) & set(flags[1].split()))
