"""What a run ran on: versions, source commit, memory."""

import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

_PACKAGES = ("torch", "numpy", "pandas", "tiktoken", "hydra-core", "omegaconf", "scipy", "statsmodels")


@cache
def versions() -> dict[str, str]:
    """Versions of Python, this package and what its numbers depend on, without importing any of them."""
    from importlib import metadata

    from scratchlab import __version__

    found = {"python": platform.python_version(), "scratchlab": __version__}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def git() -> dict[str, str | bool | None]:
    """Commit of the source tree and whether it has uncommitted changes; None for both when installed without one."""
    source = Path(__file__).parent

    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(source), *words], capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    if ask("ls-files", "--error-unmatch", str(Path(__file__))) is None:  # lies in a repository, but not of it
        return {"commit": None, "dirty": None}
    commit, status = ask("rev-parse", "HEAD"), ask("status", "--porcelain")
    return {"commit": commit.strip() if commit else None, "dirty": bool(status) if status is not None else None}


def threads() -> int | None:
    """CPU threads that torch computes with; None where it is not loaded. Sums of floats depend on it."""
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def start_memory_peak() -> None:
    """Begin a new measurement of peak memory, where the platform can (Linux; CUDA)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass  # not Linux: the peak of the whole process is then reported
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def memory_peak() -> int:
    """Largest memory since the start of the measurement, in bytes: the GPU's where one was used, else the process's."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_allocated())
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
