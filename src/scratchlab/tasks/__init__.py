"""What can be run. A task is one file here: a dataclass, which is the root of its configuration, and a function.

Task modules are imported to compose any configuration, even for `--help`, so they import slow libraries inside their
functions.
"""

from collections.abc import Callable
from typing import Any

from scratchlab.run import Run
from scratchlab.tasks.ablate import Ablate, ablate
from scratchlab.tasks.bundle import Bundle, Verify, pack, verify
from scratchlab.tasks.classify import Classify, classify
from scratchlab.tasks.compare import Compare, compare
from scratchlab.tasks.coverage import Coverage, coverage
from scratchlab.tasks.golden import Golden, golden
from scratchlab.tasks.lint import Lint, lint
from scratchlab.tasks.list import List, list_experiments
from scratchlab.tasks.report import Report, report
from scratchlab.tasks.reproduce import Reproduce, reproduce

TASKS: dict[type[Run], Callable[..., dict[str, Any]]] = {
    Ablate: ablate,
    Bundle: pack,
    Classify: classify,
    Compare: compare,
    Coverage: coverage,
    Golden: golden,
    Lint: lint,
    List: list_experiments,
    Report: report,
    Reproduce: reproduce,
    Verify: verify,
}

SCHEMAS: dict[str, type[Run]] = {schema.task: schema for schema in TASKS}
