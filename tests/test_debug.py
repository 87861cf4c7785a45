"""Trials: every experiment can be tried, in seconds, and a trial is never evidence."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from scratchlab.__main__ import run
from scratchlab.book.experiments import paths, read_all
from scratchlab.evidence.gather import gather
from scratchlab.evidence.verdicts import Verdict
from scratchlab.launch import compose, execute, many
from scratchlab.launch.jobs import Job
from scratchlab.launch.published import Compositions
from scratchlab.runs.config import DEBUG_BATCHES, Debug, TrackingMode
from scratchlab.runs.identity import fingerprint

ENTRIES = [{"instruction": f"Say {n}.", "input": "", "output": f"{n}, as you asked."} for n in range(60)]
TRAINED = {
    "ch06_row01_baseline": ["data=messages"],
    "ch06_row15_accumulate": ["data=messages"],
    "ch07_1_phi3": ["data=entries", "data.path=mine.json"],
    "ch05_4_continue": ["data=text", "data.path=mine.txt", "train.max_length=32"],
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.json").write_text(json.dumps(ENTRIES))
    Path("mine.txt").write_text(" ".join(entry["output"] for entry in ENTRIES))


def composed(*words: str) -> Any:
    return compose.compose(list(words))


def test_every_experiment_can_be_tried() -> None:
    names = list(paths())
    found = list(many.compose_all([(f"experiment={name}", "debug=tiny") for name in names]))
    for name, job in zip(names, found, strict=True):
        assert isinstance(job, Job), f"{name}: {job}"
        tiny: Any = job.config
        assert tiny.debug is Debug.tiny and tiny.out == "outputs/debug" and tiny.tracking.mode is TrackingMode.none
        if hasattr(tiny, "train"):
            assert tiny.model.emb_dim == 48 and tiny.model.n_layers == 2 and tiny.weights.source.name == "random"
            assert tiny.train.epochs <= 2 and tiny.train.eval_batches == 1


def test_the_model_stays_as_it_is_where_only_batches_are_cut() -> None:
    whole, cut = composed("experiment=smol_ch07_main"), composed("experiment=smol_ch07_main", "debug=batches")
    assert fingerprint(cut) != fingerprint(whole)
    assert cut.model == whole.model and cut.weights == whole.weights and cut.prompt == whole.prompt
    assert composed("experiment=smol_ch07_main", "debug=none") == whole


@pytest.mark.vocabulary
@pytest.mark.parametrize("name", TRAINED)
def test_a_trial_uses_two_batches_of_each_split_and_comes_to_its_end(name: str) -> None:
    config = composed(f"experiment={name}", "debug=tiny", *TRAINED[name])
    folder = Path(run(config)["folder"])
    steps = [json.loads(line)["step"] for line in (folder / "pace.jsonl").read_text().splitlines()]
    assert folder.parts[-4:-1] == ("outputs", "debug", name)
    assert len(steps) == config.train.epochs * config.train.accumulate * DEBUG_BATCHES
    most = DEBUG_BATCHES * config.train.batch_size * config.train.accumulate
    if (folder / "predictions.csv").exists():
        with (folder / "predictions.csv").open() as file:
            splits = [row["split"] for row in csv.DictReader(file)]
        assert {splits.count(split) for split in ("train", "val", "test")} == {most}
    if (folder / "responses.json").exists():
        assert 0 < len(json.loads((folder / "responses.json").read_text())) <= most


def test_a_trial_is_no_evidence_even_where_it_changes_nothing_else() -> None:
    name = "ch04_1_block_parameters"
    trial, whole = (composed(f"experiment={name}", *more, "out=records") for more in (["debug=tiny"], []))
    run(trial)
    found = gather("records", read_all(), select=name, published=Compositions()).verdicts
    assert {row["verdict"] for row in found} == {Verdict.NOT_COMPARABLE.name}
    assert all("debug=tiny" in row["reason"] for row in found)
    run(whole)
    found = gather("records", read_all(), select=name, published=Compositions()).verdicts
    assert {row["verdict"] for row in found} == {Verdict.REPRODUCED.name}, "the whole run speaks for itself"


def test_a_run_says_what_comes_next_in_a_command_that_finds_it() -> None:
    config = composed("experiment=ch04_1_block_parameters", "out=my records")
    assert execute.ending(config, {}, False)[-1] == (
        """next: scratchlab task=reproduce select=ch04_1_block_parameters 'out='"'"'my records'"'"''"""
    )
    assert "no evidence" in execute.ending(composed("experiment=ch06_main", "debug=batches"), {}, False)[-1]


def test_a_job_of_a_sweep_leaves_what_comes_next_to_the_sweep() -> None:
    config = composed("experiment=ch04_1_block_parameters")
    alone, one_of_many = (execute.ending(config, {}, False, alone=alone) for alone in (True, False))
    assert alone[:-1] == one_of_many and alone[-1].startswith("next: ")
