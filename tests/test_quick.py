"""What is put together from the files of the options is what Hydra composes, and what is beyond it is left to Hydra."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from scratchlab.book import experiments
from scratchlab.launch import compose, jobs, quick
from scratchlab.launch.options import groups, options
from scratchlab.runs.config import Run
from scratchlab.runs.registry import TASKS

OF_RUNS = ("classify", "pretrain", "instruct", "generate", "chat", "judge")
VALUES = {
    "classify": ["position=first", "data.pad_to=64", "train.lr=1e-3", "model.causal=false", "tracking.tags=[a,b]"],
    "pretrain": ["model.context_length=64", "train.warmup=2", "sampling.top_k=5", "start_context='a, b'"],
    "instruct": ["mask_instruction=true", "train.batch_size=2", "judge.seed=1", "prompt.input='{input}, b'"],
}


@pytest.fixture(autouse=True)
def hydra_at_hand() -> Iterator[None]:
    with jobs.at_hand():
        yield


def quickly(words: list[str]) -> Run | str | None:
    """The run, or what is wrong with it; None where it is left to Hydra."""
    try:
        return quick.compose(words)
    except quick.NotQuickly:
        return None
    except ValueError as error:
        return str(error)


def hold(words: list[str]) -> bool:
    """Whether it is a run; then it is the same both ways, to its types. What is wrong is said in the same words."""
    found = quickly(words)
    try:
        wanted = compose.by_hydra(words)
    except Exception as error:
        assert found is None or found == str(error), words
        return False
    assert type(found) is type(wanted) and repr(found) == repr(wanted), words
    return True


EXPERIMENTS = [[f"experiment={name}"] for name in experiments.paths()]
TRIALS = [
    [f"experiment={name}", f"debug={debug}"] for name in list(experiments.paths())[::9] for debug in options("debug")
]
CHOSEN = [
    [f"task={task}", f"{group}={option}"]
    for task in OF_RUNS
    for group in groups()
    for option in options(group)
    if group not in ("task", "experiment", "launch")
]
"""Many of them choose from a group that the task does not have, or what the family of the model refuses."""
EVERY = [*EXPERIMENTS, *([f"task={task}"] for task in TASKS), *TRIALS, *CHOSEN]


@pytest.mark.slow
def test_every_experiment_task_and_option_is_what_hydra_composes() -> None:
    held = sum(hold(words) for words in EVERY)
    assert held > len(EVERY) // 2


def test_the_later_of_two_values_counts() -> None:
    assert hold(["task=classify", "weights=random", "seed=1", "train.lr=1e-3", "seed=2"])


def test_a_sample_of_them_is() -> None:
    sample = [EXPERIMENTS[0], EXPERIMENTS[-1], *random.Random(0).sample(EVERY, 10)]
    assert sum(hold(words) for words in sample) > 5


@pytest.mark.slow
@pytest.mark.parametrize("task", VALUES)
def test_options_and_values_together_are_what_hydra_composes(task: str) -> None:
    draw = random.Random(task)
    own = [group for group in experiments.task_options(task) if group != "weights"]
    held = 0
    for _ in range(25):
        chosen = [f"{group}={draw.choice(options(group))}" for group in draw.sample(own, 2)]
        held += hold([f"task={task}", "weights=random", *chosen, *draw.sample(VALUES[task], 3)])
    assert held > 5


@pytest.mark.parametrize(
    "words",
    [
        ["task=classify", "+seed=1"],
        ["task=classify", "~tune"],
        ["task=classify", "hydra.job.name=other"],
        ["task=classify", "launch=parallel"],
        ["task=classify", "name=${task}"],
        ["task=classify", "seed=???"],
        ["task=instruct", "prompt@judge.question=phi3"],
        ["experiment=nope"],
        ["task=nope"],
        ["experiment=null", "task=classify"],
        ["task=classify", "claims=[]"],
        ["task=classify", "train={lr: 1e-3}"],
    ],
)
def test_what_is_beyond_it_is_left_to_hydra(words: list[str]) -> None:
    assert quickly(words) is None


def test_an_experiment_of_ones_own_is_read_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = Path("experiments") / "mine.yaml"
    own.parent.mkdir()
    for seed in (5, 6):
        own.write_text(f"defaults: [{{override /task: classify}}, {{override /tune: all}}]\nseed: {seed}\n")
        found = quickly(["experiment=mine"])
        assert isinstance(found, Run) and (found.name, found.seed) == ("mine", seed) and hold(["experiment=mine"])
    own.write_text("defaults: [{override /task: classify}]\nseed: ${train.epochs}\n")
    assert quickly(["experiment=mine"]) is None and compose.compose(["experiment=mine"]).seed == 5


def test_what_one_caller_changes_no_other_gets() -> None:
    first = compose.compose(["experiment=ch06_row10_random"])
    first.claims.clear()
    first.tracking.tags.append("mine")
    again = compose.compose(["experiment=ch06_row10_random"])
    assert again.claims and not again.tracking.tags
