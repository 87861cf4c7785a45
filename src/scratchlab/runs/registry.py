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
    """Where it belongs: a chapter of the book, its `bonus` material, `any` chapter, or what runs leave, `evidence`."""

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
    "attention_ways": Task("attention_ways", "AttentionWays", "attention_ways", "bonus"),
    "bpe": Task("bpe", "BPE", "bpe", "bonus"),
    "bundle": Task("bundle", "Bundle", "pack", "evidence"),
    "cache": Task("cache", "Cache", "cache", "any"),
    "cached_text": Task("cached_text", "CachedText", "cached_text", "bonus"),
    "calibrate": Task("calibrate", "Calibrate", "calibrate", "7"),
    "chat": Task("chat", "Chat", "chat", "any"),
    "classify": Task("classify", "Classify", "classify", "6"),
    "compare": Task("compare", "Compare", "compare", "evidence"),
    "count": Task("count", "Count", "count_parameters", "4"),
    "coverage": Task("coverage", "Coverage", "coverage", "evidence"),
    "deterministic": Task("deterministic", "Deterministic", "deterministic", "5"),
    "doctor": Task("doctor", "Doctor", "doctor", "any"),
    "dropout": Task("dropout", "Dropout", "dropout", "4"),
    "experts": Task("experts", "Experts", "count_experts", "bonus"),
    "export": Task("export", "Export", "export", "any"),
    "flops": Task("flops", "Flops", "flops", "bonus"),
    "generate": Task("generate", "Generate", "generate", "5"),
    "golden": Task("golden", "Golden", "golden", "evidence"),
    "grid": Task("grid", "Grid", "grid", "bonus"),
    "instruct": Task("instruct", "Instruct", "instruct", "7"),
    "judge": Task("judge", "Judge", "judge", "7"),
    "judges": Task("judges", "Judges", "judges", "bonus"),
    "kv_cache": Task("kv_cache", "KVCache", "kv_cache", "bonus"),
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
    "sync": Task("sync", "Sync", "sync", "evidence"),
    "tokenize": Task("tokenize", "Tokenize", "tokenize", "2"),
    "verify": Task("bundle", "Verify", "verify", "evidence"),
    "where": Task("where", "Where", "where", "evidence"),
    "windows": Task("windows", "Windows", "windows", "2"),
}
"""A new task is a file in tasks/, a line here, and a file in conf/task."""


def schema_of(task: str) -> type[Run]:
    """The configuration's class, for a task named by a record; `Run` where this version has no such task."""
    return TASKS[task].schema() if task in TASKS else Run
