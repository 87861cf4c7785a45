"""What can be run. A task is one file here: a dataclass, which is the root of its configuration, and a function.

Task modules are imported to compose any configuration, even for `--help`, so they import slow libraries inside their
functions.
"""

from collections.abc import Callable
from typing import Any

from scratchlab.run import Run
from scratchlab.tasks.attention import Attention, attention
from scratchlab.tasks.classify import Classify, classify
from scratchlab.tasks.count import Count, count_parameters
from scratchlab.tasks.deterministic import Deterministic, deterministic
from scratchlab.tasks.dropout import Dropout, dropout
from scratchlab.tasks.generate import Generate, generate
from scratchlab.tasks.list import List, list_experiments
from scratchlab.tasks.matmul import Matmul, matmul
from scratchlab.tasks.network import Network, network
from scratchlab.tasks.pretrain import Pretrain, pretrain
from scratchlab.tasks.sample_counts import SampleCounts, sample_counts
from scratchlab.tasks.sampling_grid import SamplingGrid, sampling_grid
from scratchlab.tasks.score import Score, score
from scratchlab.tasks.tokenize import Tokenize, tokenize
from scratchlab.tasks.windows import Windows, windows

TASKS: dict[type[Run], Callable[..., dict[str, Any]]] = {
    Attention: attention,
    Classify: classify,
    Count: count_parameters,
    Deterministic: deterministic,
    Dropout: dropout,
    Generate: generate,
    List: list_experiments,
    Matmul: matmul,
    Network: network,
    Pretrain: pretrain,
    SampleCounts: sample_counts,
    SamplingGrid: sampling_grid,
    Score: score,
    Tokenize: tokenize,
    Windows: windows,
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
