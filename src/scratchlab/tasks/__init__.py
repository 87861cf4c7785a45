"""What can be run. A task is one file here: a dataclass, which is the root of its configuration, and a function.

Task modules are imported to compose any configuration, even for `--help`, so they import slow libraries inside their
functions.
"""

from collections.abc import Callable
from typing import Any

from scratchlab.run import Run
from scratchlab.tasks.calibrate import Calibrate, calibrate
from scratchlab.tasks.chat import Chat, chat
from scratchlab.tasks.classify import Classify, classify
from scratchlab.tasks.export import Export, export
from scratchlab.tasks.instruct import Instruct, instruct
from scratchlab.tasks.judge import Judge, judge
from scratchlab.tasks.list import List, list_experiments
from scratchlab.tasks.preview import Preview, preview

TASKS: dict[type[Run], Callable[..., dict[str, Any]]] = {
    Calibrate: calibrate,
    Chat: chat,
    Classify: classify,
    Export: export,
    Instruct: instruct,
    Judge: judge,
    List: list_experiments,
    Preview: preview,
}

SCHEMAS: dict[str, type[Run]] = {schema.task: schema for schema in TASKS}
