"""Every experiment file: its name, its claims, that it composes, and into the run that it always was."""

import json
from pathlib import Path

import pytest
from conftest import command

from scratchlab.book import experiments
from scratchlab.launch import compose
from scratchlab.runs.claim import ClaimKind
from scratchlab.runs.identity import fingerprint
from scratchlab.runs.registry import TASKS

EXPERIMENTS = experiments.read_all()
PINNED = json.loads((Path(__file__).parent / "fingerprints.json").read_text())["experiments"]
"""When a line may change, `test_identity.py` says."""
CHAPTER_6 = """ch06_main ch06_row01_baseline ch06_3_first_token ch06_row03_last_layer ch06_row04_last_two_blocks
ch06_2_whole_model ch06_row06_medium ch06_row07_large ch06_row08_xl ch06_row09_xl_whole
ch06_row10_random ch06_row11_lora ch06_row12_xl_lora ch06_1_pad_to_context ch06_row14_no_padding
ch06_row15_accumulate ch06_row16_last_real ch06_row17_no_causal_mask ch06_row18_ignore_index
ch06_row19_mean quickstart""".split()


def test_chapter_6_has_the_run_and_all_nineteen_rows() -> None:
    assert set(CHAPTER_6) <= set(EXPERIMENTS)


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_an_experiment_composes_into_its_task_and_is_short(name: str) -> None:
    experiment = EXPERIMENTS[name]
    config = compose.compose([f"experiment={name}"])
    assert type(config) is TASKS[experiment.task].schema() and config.name == name
    assert fingerprint(config) == PINNED[name]
    assert 3 <= len(experiment.path.read_text().splitlines()) <= 15
    assert experiment.summary, "the first line says what to look for"
    for claim in config.claims:
        assert claim.source
        if claim.kind is ClaimKind.score:
            assert 0 <= claim.value <= 1 and claim.n > 0
        if claim.versus:
            assert claim.versus in EXPERIMENTS


def test_every_pinned_experiment_is_there() -> None:
    assert sorted(PINNED) == sorted(EXPERIMENTS)


def test_no_experiment_on_generated_messages_makes_a_claim() -> None:
    for experiment in EXPERIMENTS.values():
        if experiment.defaults.get("data") == "messages":
            assert not experiment.claims


def test_the_list_shows_exercise_changes_claims_and_needs(tmp_path: object) -> None:
    done = command("task=list", "select=ch06_*", cwd=tmp_path, COLUMNS="220")  # type: ignore[arg-type]
    assert done.returncode == 0, done.stderr
    for part in (
        "ch06_1_pad_to_context",
        "data.pad_to=context",
        "0.7833",
        "GPT-2 weights (small)",
        "SMSSpamCollection",
    ):
        assert part in done.stdout, part
    nothing = command("task=list", "select=ch06_row1_baseline", cwd=tmp_path)  # type: ignore[arg-type]
    assert nothing.returncode == 1 and "nearest: ch06_row01_baseline" in nothing.stderr


def test_published_judge_scores_name_the_judge_that_this_package_asks_as_the_book_does() -> None:
    from scratchlab.judging import scores
    from scratchlab.launch import compose

    config = compose.compose(["task=calibrate"]).judge  # type: ignore[attr-defined]

    class Server:
        identity = {"backend": config.backend.name, "model": config.model}

    card = scores.card_of(config, Server())  # type: ignore[arg-type]
    wanted = ", ".join(f"{key}={card[key]}" for key in ("backend", "model", "prompt"))
    claims = [claim for e in experiments.read_all().values() for claim in e.claims if claim["metric"] == "judge_score"]
    assert len(claims) == 6 and {claim["judge"] for claim in claims} == {wanted}
