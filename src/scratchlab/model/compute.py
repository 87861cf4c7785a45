"""Carry a run's compute settings out: device, number format, compilation, threads."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from scratchlab.runs.config import ComputeConfig, Device, Precision


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
        """Move the model to the device and compile its blocks where asked."""
        model.to(self.device)
        if self.config.compile:
            model.compile()


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
    return Compute(torch.device(name), config)
