"""Look at this machine: what is there, what is missing, and what to do about it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.assets.fetch import Asset
    from scratchlab.runs.record import Record

Finding = tuple[str, str, str]
"""What was looked at, what was found, and what to do; empty where nothing is to be done."""
LITTLE = 5 * 2**30
"""Bytes of disk below which a large run may not find room: GPT-2 XL with its optimizer's state is 25 GB."""
SIZE, REPEATS = (512, 768, 3072), 5
"""Rows, columns and columns of the product that number formats are compared by: one layer of GPT-2 small."""


@dataclass(kw_only=True)
class Doctor(Run):
    task: ClassVar[str] = "doctor"
    recorded: ClassVar[bool] = False

    wait: float = 3.0
    """Seconds that a server may take to answer before it counts as out of reach."""

    def __post_init__(self) -> None:
        if self.wait <= 0:
            raise ValueError(f"wait={self.wait}: must be above 0 seconds")


def doctor(config: Doctor, record: "Record | None") -> dict[str, Any]:
    from scratchlab.report import terminal

    found = [*versions(), *processors(config), *disks(config), *files(config), *services(config)]
    rows = [(what, how, advice or "-") for what, how, advice in found]
    terminal.show("this machine", ("what", "found", "to do"), rows)
    return {}


def versions() -> Iterator[Finding]:
    from importlib.util import find_spec

    from scratchlab.runs import environment

    yield "versions", ", ".join(f"{name} {number}" for name, number in environment.versions().items()), ""
    for launcher in ("joblib", "submitit", "ray"):
        package = f"hydra_{launcher}_launcher"
        try:
            there = find_spec(f"hydra_plugins.{package}") is not None
        except ModuleNotFoundError:
            there = False
        preset = {"joblib": "parallel", "submitit": "slurm"}.get(launcher, launcher)
        advice = "" if there else f"for launch={preset}: pip install 'scratchlab[{preset}]'"
        yield f"launcher {launcher}", "installed" if there else "not installed", advice


def processors(config: Doctor) -> Iterator[Finding]:
    import os

    import torch

    from scratchlab.model import compute

    machine = compute.prepare(config.compute)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield (
        "device",
        machine.name,
        "" if machine.device.type != "cpu" else "nothing, unless there is a GPU: see torch's page",
    )
    threads = torch.get_num_threads()
    advice = f"compute.threads={cores}, or unset OMP_NUM_THREADS" if threads != cores else ""
    yield "threads", f"{threads} of {cores} processors", advice
    gain = gain_of_bfloat16(machine.device)
    pays = gain > 1.1
    advice = "compute.precision=bfloat16, where its rounding is allowed" if pays else "leave compute.precision=float32"
    yield "bfloat16", f"{gain:.2g} times as fast as float32 here", advice


def gain_of_bfloat16(device: Any) -> float:
    """How many times as fast a layer of GPT-2 small is in bfloat16 as in float32."""
    import time

    import torch

    rows, inner, outer = SIZE
    layer = torch.nn.Linear(inner, outer).to(device)
    batch = torch.randn(rows, inner, device=device)

    def seconds(enabled: bool) -> float:
        best = float("inf")
        for _ in range(REPEATS):
            started = time.perf_counter()
            with torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled):
                float(layer(batch)[0, 0])  # waits for a GPU
            best = min(best, time.perf_counter() - started)
        return best

    return seconds(False) / seconds(True)


def disks(config: Doctor) -> Iterator[Finding]:
    import os
    import shutil
    from pathlib import Path

    from scratchlab.assets.fetch import cache_folder

    for what, folder in (("out", Path(config.out)), ("cache", cache_folder())):
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free
        advice = "make room, or name another place" if free < LITTLE else ""
        if not os.access(there, os.W_OK):
            advice = "it cannot be written: name another place"
        name = "out=FOLDER" if what == "out" else "SCRATCHLAB_CACHE"
        yield what, f"{folder}, {free / 2**30:.0f} GiB free", f"{advice} ({name})" if advice else ""


def files(config: Doctor) -> Iterator[Finding]:
    """Every file from outside: at hand, or where it may be had from."""
    from scratchlab.assets import catalogue
    from scratchlab.assets.fetch import Asset
    from scratchlab.model import weights

    known = [asset for asset in vars(catalogue).values() if isinstance(asset, Asset)]
    for asset in dict.fromkeys((*known, *catalogue.JUDGED.values())):
        yield of_file(asset.name, [asset], config.wait)
    for size, parts in weights.OPENAI.items():
        yield of_file(f"GPT-2 {size} (weights=openai)", list(parts.values()), config.wait)
    for size, asset in weights.HUGGINGFACE.items():
        yield of_file(f"GPT-2 {size} (weights=huggingface)", [asset], config.wait)


def of_file(what: str, parts: "Iterable[Asset]", wait: float) -> Finding:
    from scratchlab.assets.fetch import at_hand, reachable

    missing = [asset for asset in parts if at_hand(asset) is None]
    if not missing:
        return what, "at hand", ""
    sources = missing[0].sources
    if within := [str(source) for source in sources if reachable(source, wait)]:
        return what, "not here", f"nothing: it is fetched when it is needed, from {within[0]}"
    tried = "; ".join(map(str, sources)) or "nowhere to be had from"
    return (
        what,
        f"not here, and out of reach ({tried})",
        f"put {missing[0].name} into a folder named by SCRATCHLAB_MIRROR",
    )


def services(config: Doctor) -> Iterator[Finding]:
    from scratchlab.assets.fetch import Web, reachable
    from scratchlab.files import read_yaml, resource
    from scratchlab.runs import tracking

    login = tracking.logged_in()
    yield "W&B", "logged in" if login else "no login", "" if login else "`wandb login` for tracking=wandb; else offline"
    for name in ("ollama", "openai"):
        settings = read_yaml(resource("conf") / "judge" / f"{name}.yaml")
        url = settings["url"]
        there = reachable(Web(url), config.wait)
        advice = "" if there else f"for judge={name}: start one, or judge.url=http://HOST:PORT"
        yield f"judge={name}", f"{url}: {'answers' if there else 'nobody answers'}", advice
