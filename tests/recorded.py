"""Values recorded by class of environment, for tests that hold numbers bit for bit."""

import contextlib
import json
import platform
import re
import subprocess
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

TOLERANCE, TOLERANCE_BFLOAT16 = 1e-4, 2e-2
"""Largest relative difference of a loss between two environments."""
COUNTS = (
    *("parameters", "trainable_parameters", "tokens_seen", "examples_seen", "padded_length", "targets"),
    *("masked_targets", "answers_cut", "answers_lost", "batches_without_target", "train_batches", "val_batches"),
)
"""Metrics that are the same in every environment."""


def environment() -> str:
    """What decides bits, as a file name: the processor, the instructions that kernels choose by, versions."""
    kind, maker, extra = torch.backends.cpu.get_cpu_capability(), platform.machine(), []
    with contextlib.suppress(OSError):
        described = Path("/proc/cpuinfo").read_text()
        if vendor := re.search(r"^vendor_id\s*: (\S+)", described, re.MULTILINE):
            maker = vendor[1]
        extra = [flag for flag in ("avx512_bf16", "amx_bf16") if re.search(rf"\b{flag}\b", described)]
    versions = [f"{module.__name__}-{'.'.join(module.__version__.split('.')[:2])}" for module in (torch, numpy)]
    return "-".join(["cpu", maker, kind, *extra, *versions])


class Store:
    """The values in `same_numbers/`: a file for each class of environment, with when and why they were taken."""

    def __init__(self, reason: str, replace: bool) -> None:
        self.reason, self.replace = reason, replace
        self.folder = Path(__file__).parent / "same_numbers"
        self.path = self.folder / f"{environment()}.json"
        self.content: dict[str, Any] = {"recordings": [], "runs": {}}
        if self.path.exists():
            self.content = json.loads(self.path.read_text())
        self.added: list[str] = []

    def records(self, case: str) -> bool:
        """Whether the values of a case are to be written now."""
        return bool(self.reason) and (self.replace or case not in self.content["runs"])

    def add(self, case: str, found: dict[str, Any]) -> None:
        self.content["runs"][case] = found
        self.added.append(case)

    def recorded(self, case: str) -> tuple[dict[str, Any], bool]:
        """What a case should give, and whether it was recorded in an environment like this."""
        if case in self.content["runs"]:
            return self.content["runs"][case], True
        for path in sorted(self.folder.glob("*.json")):
            if found := json.loads(path.read_text())["runs"].get(case):
                return found, False
        pytest.fail(f"{case}: recorded nowhere; record it with --record-numbers REASON, from code known to be right")

    def write(self) -> None:
        if not self.added:
            return
        now = f"{datetime.now(UTC):%Y-%m-%d}"
        self.content["recordings"].append({"commit": commit(), "date": now, "reason": self.reason, "runs": self.added})
        self.folder.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(self.content, indent=1) + "\n")


def commit() -> str:
    """The commit of the code that numbers come from, not of this test."""
    root = Path(__file__).parents[1]

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "src", "conf", "experiments")
    return git("rev-parse", "HEAD") + (" with changes" if changed else "")


def hold(store: Store, case: str, found: dict[str, Any]) -> None:
    """Fail where a run differs from what is recorded: in any bit, or beyond the tolerance in another environment."""
    wanted, same = store.recorded(case)
    if same:
        if differences := list(differing(found, wanted)):
            pytest.fail(f"{case}: not the recorded numbers\n  " + "\n  ".join(differences))
        return
    rtol = TOLERANCE_BFLOAT16 if "bfloat16" in case else TOLERANCE
    names = [name for name in wanted["metrics"] if name.endswith("_loss")]
    ours, theirs = ([*run["losses"], *(run["metrics"].get(name) for name in names)] for run in (found, wanted))
    assert ours == pytest.approx(theirs, rel=rtol)
    for name in COUNTS:
        assert found["metrics"].get(name) == wanted["metrics"].get(name), name
    warnings.warn(
        f"no bits are recorded for {store.path.stem}: only losses (to {rtol:g}) and counts were compared", stacklevel=2
    )


def differing(found: Any, wanted: Any, name: str = "") -> Iterator[str]:
    """Every value that is not the same, by its dotted name, and numbers with their distance."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted(found.keys() | wanted.keys()):
            yield from differing(found.get(key), wanted.get(key), f"{name}.{key}" if name else key)
    elif found != wanted:
        numbers = isinstance(found, float) and isinstance(wanted, float)
        yield f"{name}: {found}, recorded {wanted}" + (f" (by {found - wanted:.3g})" if numbers else "")
