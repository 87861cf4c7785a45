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

    def schema(self) -> type[Run]:
        return cast(type[Run], getattr(self._imported(), self.config))

    def run(self, config: Run, record: Any) -> dict[str, Any]:
        """Do the run; its metrics."""
        function: TaskFunction = getattr(self._imported(), self.function)
        return function(config, record)

    def _imported(self) -> Any:
        return import_module(f"scratchlab.tasks.{self.module}")


TASKS = {
    "ablate": Task("ablate", "Ablate", "ablate"),
    "attention": Task("attention", "Attention", "attention"),
    "bundle": Task("bundle", "Bundle", "pack"),
    "calibrate": Task("calibrate", "Calibrate", "calibrate"),
    "chat": Task("chat", "Chat", "chat"),
    "classify": Task("classify", "Classify", "classify"),
    "compare": Task("compare", "Compare", "compare"),
    "count": Task("count", "Count", "count_parameters"),
    "coverage": Task("coverage", "Coverage", "coverage"),
    "deterministic": Task("deterministic", "Deterministic", "deterministic"),
    "dropout": Task("dropout", "Dropout", "dropout"),
    "export": Task("export", "Export", "export"),
    "generate": Task("generate", "Generate", "generate"),
    "golden": Task("golden", "Golden", "golden"),
    "instruct": Task("instruct", "Instruct", "instruct"),
    "judge": Task("judge", "Judge", "judge"),
    "lint": Task("lint", "Lint", "lint"),
    "list": Task("list", "List", "list_experiments"),
    "matmul": Task("matmul", "Matmul", "matmul"),
    "network": Task("network", "Network", "network"),
    "pretrain": Task("pretrain", "Pretrain", "pretrain"),
    "preview": Task("preview", "Preview", "preview"),
    "report": Task("report", "Report", "report"),
    "reproduce": Task("reproduce", "Reproduce", "reproduce"),
    "sample_counts": Task("sample_counts", "SampleCounts", "sample_counts"),
    "sampling_grid": Task("sampling_grid", "SamplingGrid", "sampling_grid"),
    "score": Task("score", "Score", "score"),
    "tokenize": Task("tokenize", "Tokenize", "tokenize"),
    "verify": Task("bundle", "Verify", "verify"),
    "windows": Task("windows", "Windows", "windows"),
}
"""A new task is a file in tasks/, a line here, and a file in conf/task."""


def schema_of(task: str) -> type[Run]:
    """The configuration's class, for a task named by a record; `Run` where this version has no such task."""
    return TASKS[task].schema() if task in TASKS else Run
