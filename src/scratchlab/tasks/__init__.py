"""What can be run. A task is one file here: a dataclass, which is the root of its configuration, and a function.

Task modules are imported to compose any configuration, even for `--help`, so they import slow libraries inside their
functions.
"""

from collections.abc import Callable
from typing import Any

from scratchlab.run import Run
from scratchlab.tasks.ablate import Ablate, ablate
from scratchlab.tasks.attention import Attention, attention
from scratchlab.tasks.bundle import Bundle, Verify, pack, verify
from scratchlab.tasks.calibrate import Calibrate, calibrate
from scratchlab.tasks.chat import Chat, chat
from scratchlab.tasks.classify import Classify, classify
from scratchlab.tasks.compare import Compare, compare
from scratchlab.tasks.count import Count, count_parameters
from scratchlab.tasks.coverage import Coverage, coverage
from scratchlab.tasks.deterministic import Deterministic, deterministic
from scratchlab.tasks.dropout import Dropout, dropout
from scratchlab.tasks.export import Export, export
from scratchlab.tasks.generate import Generate, generate
from scratchlab.tasks.golden import Golden, golden
from scratchlab.tasks.instruct import Instruct, instruct
from scratchlab.tasks.judge import Judge, judge
from scratchlab.tasks.lint import Lint, lint
from scratchlab.tasks.list import List, list_experiments
from scratchlab.tasks.matmul import Matmul, matmul
from scratchlab.tasks.network import Network, network
from scratchlab.tasks.pretrain import Pretrain, pretrain
from scratchlab.tasks.preview import Preview, preview
from scratchlab.tasks.report import Report, report
from scratchlab.tasks.reproduce import Reproduce, reproduce
from scratchlab.tasks.sample_counts import SampleCounts, sample_counts
from scratchlab.tasks.sampling_grid import SamplingGrid, sampling_grid
from scratchlab.tasks.score import Score, score
from scratchlab.tasks.tokenize import Tokenize, tokenize
from scratchlab.tasks.windows import Windows, windows

TASKS: dict[type[Run], Callable[..., dict[str, Any]]] = {
    Ablate: ablate,
    Attention: attention,
    Bundle: pack,
    Calibrate: calibrate,
    Chat: chat,
    Classify: classify,
    Compare: compare,
    Count: count_parameters,
    Coverage: coverage,
    Deterministic: deterministic,
    Dropout: dropout,
    Export: export,
    Generate: generate,
    Golden: golden,
    Instruct: instruct,
    Judge: judge,
    Lint: lint,
    List: list_experiments,
    Matmul: matmul,
    Network: network,
    Pretrain: pretrain,
    Preview: preview,
    Report: report,
    Reproduce: reproduce,
    SampleCounts: sample_counts,
    SamplingGrid: sampling_grid,
    Score: score,
    Tokenize: tokenize,
    Verify: verify,
    Windows: windows,
}

SCHEMAS: dict[str, type[Run]] = {schema.task: schema for schema in TASKS}
