"""What a plan measures where no record tells: parts of runs, from which the whole is drawn out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import TINY

from scratchlab.data import spam
from scratchlab.evidence.costs import Cost
from scratchlab.launch import compose, jobs, measure
from scratchlab.launch.estimate import Estimates
from scratchlab.runs.config import SHARES, Debug

WORDS = ["task=classify", "data=messages", "data.size=400", *TINY, "train.epochs=3"]


def test_a_share_of_every_split_is_used_and_at_least_a_batch() -> None:
    of = {debug: compose.compose([*WORDS, f"debug={debug.name}"]).few for debug in Debug}
    assert [of[debug](8, 400) for debug in (Debug.none, Debug.half, Debug.eighth, Debug.sixteenth)] == [
        400,
        200,
        50,
        25,
    ]
    assert [of[Debug.sixteenth](8, there) for there in (100, 5)] == [8, 5]
    assert [of[Debug.batches](8, there) for there in (100, 5)] == [16, 5]


def test_a_part_of_a_split_has_its_longest_text() -> None:
    frame = pd.DataFrame({"Text": ["a", "bb", "c", "dddd", "e"], "Label": [0, 1, 0, 1, 0]})
    assert [list(spam.part(frame, few)["Text"]) for few in (2, 4, 9)] == [
        ["a", "dddd"],
        ["a", "bb", "c", "dddd"],
        list(frame["Text"]),
    ]
    assert list(spam.part(frame.iloc[::-1], 3)["Text"]) == ["e", "dddd", "c"]


@pytest.mark.parametrize("seconds", [5.0, 50.0])
def test_what_grows_with_the_data_goes_on_growing(
    seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a run that reads for 2 seconds; a small part is followed by a large one, a long one by a smaller."""
    asked: list[Debug] = []

    def run(parts: Mapping[str, tuple[jobs.Job, Debug]], folder: Path, loading: list[float]) -> dict[str, Any]:
        loading.append(4.0 + len(loading))
        found = {}
        for kind, (_, debug) in parts.items():
            asked.append(debug)
            share = SHARES[debug]
            training = share * (seconds - 2.0) * 8
            found[kind] = measure._Part(share, Cost(kind, 1.0, 2.0 + training, training, 7, "cpu", "cpu", ""))
        return found

    monkeypatch.setattr(measure, "_run", run)
    three, one, nothing = (
        jobs.job([*words, f"out={tmp_path}"]) for words in (WORDS, [*WORDS, "train.epochs=1"], ["task=tokenize"])
    )
    estimates = Estimates([three, one, nothing], measured=True)
    assert asked == [Debug.eighth, Debug.half if seconds < measure.SHORT else Debug.sixteenth]
    assert estimates.of(one).seconds == pytest.approx(4.0 + 2.0 + 8 * (seconds - 2.0))
    assert estimates.of(three).seconds == pytest.approx(4.0 + 2.0 + 3 * 8 * (seconds - 2.0))
    assert (estimates.of(one).memory, estimates.of(one).told_by) == (7, "parts of runs")
    assert estimates.of(nothing).seconds is None, "only trainings are measured"


def test_a_part_is_the_run_itself_but_for_its_share_and_epochs(tmp_path: Path) -> None:
    job = jobs.job([*WORDS, "out=elsewhere", "seed=5"])
    part: Any = jobs.job(measure._words(job, Debug.half, tmp_path)).config
    assert (part.debug, part.train.epochs, part.seed, part.out) == (Debug.half, 1, 5, str(tmp_path))
    untrained = jobs.job(["task=instruct", *TINY, "train.epochs=0"])
    none: Any = jobs.job(measure._words(untrained, Debug.half, tmp_path)).config
    assert none.train.epochs == 0, "a model as it comes is not trained for it"


def test_a_job_that_cannot_be_done_is_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(measure.warm, "exit_codes", lambda lines, loaded: (1 for _ in lines))
    job = jobs.job([*WORDS, f"out={tmp_path}"])
    assert measure.costs_of({"kind": job}) == {} and "exit code 1" in caplog.text
