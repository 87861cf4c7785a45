"""Every task by name, and where it is written; imported only when it is asked for."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

from scratchlab.runs.config import Run


class TaskFunction(Protocol):
    """What a task does with its configuration and the open record of its run; gives the metrics."""

    def __call__(self, config: Any, record: Any) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Task:
    """Where a task is: a module of `scratchlab.tasks`, and in it the configuration's class and the function."""

    module: str
    config: str
    function: str
    part: str
    """Where it belongs: a chapter of the book, `any` chapter, or the `evidence` that runs leave."""

    def schema(self) -> type[Run]:
        return cast(type[Run], getattr(self._imported(), self.config))

    def run(self, config: Run, record: Any) -> dict[str, Any]:
        """Do the run; its metrics."""
        function: TaskFunction = getattr(self._imported(), self.function)
        return function(config, record)

    def _imported(self) -> Any:
        return import_module(f"scratchlab.tasks.{self.module}")


TASKS = {
    "ablate": Task("ablate", "Ablate", "ablate", "evidence"),
    "attention": Task("attention", "Attention", "attention", "3"),
    "bundle": Task("bundle", "Bundle", "pack", "evidence"),
    "cache": Task("cache", "Cache", "cache", "any"),
    "calibrate": Task("calibrate", "Calibrate", "calibrate", "7"),
    "chat": Task("chat", "Chat", "chat", "any"),
    "classify": Task("classify", "Classify", "classify", "6"),
    "compare": Task("compare", "Compare", "compare", "evidence"),
    "count": Task("count", "Count", "count_parameters", "4"),
    "coverage": Task("coverage", "Coverage", "coverage", "evidence"),
    "deterministic": Task("deterministic", "Deterministic", "deterministic", "5"),
    "dropout": Task("dropout", "Dropout", "dropout", "4"),
    "export": Task("export", "Export", "export", "any"),
    "generate": Task("generate", "Generate", "generate", "5"),
    "golden": Task("golden", "Golden", "golden", "evidence"),
    "instruct": Task("instruct", "Instruct", "instruct", "7"),
    "judge": Task("judge", "Judge", "judge", "7"),
    "lint": Task("lint", "Lint", "lint", "evidence"),
    "list": Task("list", "List", "list_experiments", "any"),
    "matmul": Task("matmul", "Matmul", "matmul", "A"),
    "network": Task("network", "Network", "network", "A"),
    "pretrain": Task("pretrain", "Pretrain", "pretrain", "5"),
    "preview": Task("preview", "Preview", "preview", "7"),
    "report": Task("report", "Report", "report", "evidence"),
    "reproduce": Task("reproduce", "Reproduce", "reproduce", "evidence"),
    "sample_counts": Task("sample_counts", "SampleCounts", "sample_counts", "5"),
    "sampling_grid": Task("sampling_grid", "SamplingGrid", "sampling_grid", "5"),
    "score": Task("score", "Score", "score", "5"),
    "tokenize": Task("tokenize", "Tokenize", "tokenize", "2"),
    "verify": Task("bundle", "Verify", "verify", "evidence"),
    "windows": Task("windows", "Windows", "windows", "2"),
}
"""A new task is a file in tasks/, a line here, and a file in conf/task."""


def schema_of(task: str) -> type[Run]:
    """The configuration's class, for a task named by a record; `Run` where this version has no such task."""
    return TASKS[task].schema() if task in TASKS else Run
