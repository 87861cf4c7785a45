"""Time a matrix product on the CPU and, where there is one, on the GPU (exercise A.4)."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.runs.checks import at_least
from scratchlab.runs.config import Device, Precision, Run

if TYPE_CHECKING:
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Matmul(Run):
    task: ClassVar[str] = "matmul"

    rows: int = 100
    inner: int = 200
    columns: int = 300
    """The product of (rows, inner) and (inner, columns)."""
    repeats: int = 50
    """Times that are taken; each is over `loops` products."""
    loops: int = 100
    warmup: int = 200
    """Products before the first time is taken."""

    def __post_init__(self) -> None:
        for key, least in (("rows", 1), ("inner", 1), ("columns", 1), ("repeats", 4), ("loops", 1), ("warmup", 0)):
            at_least(least, self, key)


def matmul(config: Matmul, record: "Record") -> dict[str, Any]:
    import torch

    from scratchlab.model import compute

    machine = compute.prepare(config.compute)
    record.device = machine.name
    torch.manual_seed(config.seed)
    a, b = torch.rand(config.rows, config.inner), torch.rand(config.inner, config.columns)
    dtype = torch.bfloat16 if config.compute.precision is Precision.bfloat16 else torch.float32
    devices = {"cpu": torch.device("cpu")}
    if config.compute.device is not Device.cpu and machine.device.type != "cpu":
        devices["gpu"] = machine.device
    metrics: dict[str, Any] = {"operations": 2 * config.rows * config.inner * config.columns}
    for name, device in devices.items():
        x, y = a.to(device, dtype), b.to(device, dtype)

        def product(x: torch.Tensor = x, y: torch.Tensor = y) -> None:
            x @ y

        times = timed(product, waiter(device.type), config)
        quarters = statistics.quantiles(times, n=4)
        metrics |= {
            f"{name}_seconds_median": statistics.median(times),
            f"{name}_seconds_spread": quarters[2] - quarters[0],
            f"{name}_seconds_least": min(times),
        }
    if "gpu" in devices:
        metrics["gpu_speedup"] = metrics["cpu_seconds_median"] / metrics["gpu_seconds_median"]
    return metrics


def waiter(device: str) -> Callable[[], None]:
    """What waits for the device: a GPU is only given the work, and a clock read at once would time the giving."""
    import torch

    if device == "cuda":
        return torch.cuda.synchronize
    return torch.mps.synchronize if device == "mps" else lambda: None


def timed(call: Callable[[], None], wait: Callable[[], None], config: Matmul) -> list[float]:
    """Seconds for one call, `repeats` times."""
    for _ in range(config.warmup):
        call()
    times = []
    for _ in range(config.repeats):
        wait()
        started = time.perf_counter()
        for _ in range(config.loops):
            call()
        wait()
        times.append((time.perf_counter() - started) / config.loops)
    return times
