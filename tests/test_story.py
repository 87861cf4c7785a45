"""What a comparison says beyond its table: the headline, all pairs, effects of grids, and commands that work."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import write_run

from scratchlab.book import experiments
from scratchlab.evidence import gather
from scratchlab.evidence.effects import effects
from scratchlab.evidence.headline import _listed, headline, p_text, short_names
from scratchlab.evidence.runs import arms, read_runs
from scratchlab.launch import command, compose, jobs
from scratchlab.report import plots, tables
from scratchlab.runs import identity, record
from scratchlab.runs.tracking import Tracker

SEEDS = (1, 2, 3, 4, 5)


def arm(out: Path, choices: dict[str, str], values: list[float] | None = None, right: int = 0, **more: Any) -> None:
    """An arm of five seeds, with its own losses; accuracies come with predictions, other numbers without."""
    place = len(list(out.glob("*/*")))
    for seed in SEEDS:
        more["losses"] = [place + seed / 10]
        more["started"] = f"2026-01-01T00:{place:02d}:{seed:02d}+00:00"
        common = {"config": choices, "choices": choices, "changes": choices} | more
        if values is None:
            write_run(out, "sweep", seed, (right + seed % 3) / 300, **common)
        else:
            write_run(out, "sweep", seed, metrics={"chrf": values[seed - 1]}, **common)


def found(out: Path) -> gather.Comparison:
    (one,) = gather.comparisons(read_runs(out), {})
    return one


def test_a_difference_is_told_with_its_number_and_an_arm_at_chance_by_name(tmp_path: Path) -> None:
    for position, right in (("first", 150), ("last_real", 255), ("mean", 273)):
        arm(tmp_path, {"position": position}, right=right)
    said = found(tmp_path).headline
    assert said.startswith("mean beats last_real by 6.0 points [") and said.endswith("; first is at chance")
    pair = next(
        pair for pair in found(tmp_path).pairs if {pair.arm, pair.versus} == {"position=mean", "position=last_real"}
    )
    assert pair.shown and f"{100 * abs(pair.interval[0]):.1f}" in said  # type: ignore[index]


def test_names_that_hold_commas_are_not_listed_with_commas() -> None:
    assert _listed(["first"]) == "first"
    assert _listed(["first", "last", "mean"]) == "first, last and mean"
    grid = ["first, tune=all", "first, tune=lora", "mean, tune=lora"]
    assert _listed(grid) == "first, tune=all and first, tune=lora and mean, tune=lora"


def test_a_sweep_ends_in_its_table_and_the_notes_that_bear_on_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arm(tmp_path, {"position": "first"}, right=150)
    arm(tmp_path, {"position": "mean", "train.lr": "0.1"}, right=270)
    tables.show(found(tmp_path))
    whole = capsys.readouterr().out
    tables.show_sweep([run.folder for run in read_runs(tmp_path)], tmp_path / ".sweeps" / "one")
    brief = capsys.readouterr().out
    assert "McNemar" in whole and "seeds find differences from" in whole
    assert "McNemar" not in brief and "seeds find differences from" not in brief
    for text in (whole, brief):
        assert "CONFOUNDED: more than one setting differs" in " ".join(text.split())


def test_noise_is_called_noise_and_the_next_shown_difference_follows(tmp_path: Path) -> None:
    for position, right in (("first", 200), ("last_real", 270), ("mean", 271)):
        arm(tmp_path, {"position": position}, right=right)
    said = found(tmp_path).headline
    assert said.startswith("mean is ahead of last_real by 0.3 points") and "not more than noise" in said
    assert "; but mean beats first by 23.7 points" in said


def test_of_a_loss_the_lower_one_is_ahead_and_one_seed_shows_nothing(tmp_path: Path) -> None:
    for place, name in enumerate(("one", "two")):
        write_run(tmp_path, name, 1, metrics={"val_loss": 1.0 - place / 4}, losses=[float(place)])
    said = headline(arms(read_runs(tmp_path)), "val_loss")
    assert said == "two is ahead of one by 0.25 nats, on one seed: another seed may say otherwise"


def test_the_same_losses_are_told_as_such(tmp_path: Path) -> None:
    for name in ("one", "two"):
        for seed in SEEDS:
            write_run(tmp_path, name, seed, 0.9, losses=[float(seed)])
    assert found(tmp_path).headline == "one and two have the same losses to the last digit"


def test_p_values_are_written_as_journals_do() -> None:
    assert [p_text(p) for p in (0.0004, 0.0042, 0.021, 0.5, 1.0)] == [
        *("p < .001", "p = .004", "p = .02", "p = .50", "p = 1.00"),
    ]


@pytest.mark.parametrize(
    ("labels", "short"),
    [
        (["position=first", "position=last"], ["first", "last"]),
        (["position=first", "position=fast"], ["first", "fast"]),
        (["lr=1, mask", "lr=1, no mask"], ["1, mask", "1, no mask"]),
        (["one", "other"], ["one", "other"]),
        (["mask", "no mask"], ["mask", "no mask"]),
    ],
)
def test_a_sentence_leaves_out_the_key_that_all_labels_begin_with(labels: list[str], short: list[str]) -> None:
    assert list(short_names(labels).values()) == short


def test_batch_losses_are_smoothed_over_their_neighbours_and_drawn_behind_the_evaluations(tmp_path: Path) -> None:
    assert plots.smoothed([4.0, 2.0, 6.0, 1.0], 3) == [3.0, 4.0, 3.0, 3.5]
    assert plots.smoothed([1.0, 3.0], 5) == [2.0, 2.0]
    history: list[dict[str, Any]] = [{"step": step, "batch_loss": 1 / (step + 1)} for step in range(40)]
    history += [{"step": 5, "batch_loss": float("nan")}, *({"step": s, "train_loss": 1.0} for s in (0, 20))]
    sizes = []
    for raw in ("", "batch_loss"):
        plots.curves(history, ("train_loss",), by="step", path=tmp_path / "loss.png", raw=raw)
        sizes.append((tmp_path / "loss.png").stat().st_size)
    assert sizes[1] > sizes[0] > 1000


def test_pairs_are_corrected_for_all_of_them(tmp_path: Path) -> None:
    for position, right in (("first", 240), ("last", 255), ("mean", 258)):
        arm(tmp_path, {"position": position}, right=right)
    pairs = found(tmp_path).pairs
    assert len(pairs) == 3
    ps = sorted((pair.p, pair.p_holm) for pair in pairs if pair.p is not None and pair.p_holm is not None)
    assert ps[0][1] == pytest.approx(3 * ps[0][0]) and all(holm >= p for p, holm in ps)


def grid(out: Path, value: Any, noise: float = 0.002) -> None:
    draw = np.random.default_rng(0)
    for prompt in ("alpaca", "phi3"):
        for mask in ("false", "true"):
            values = [value(prompt == "phi3", mask == "true") + noise * draw.normal() for _ in SEEDS]
            arm(out, {"prompt": prompt, "mask_instruction": mask}, values, task="instruct")


def test_a_grid_without_interaction_has_the_two_main_effects_that_were_put_in(tmp_path: Path) -> None:
    grid(tmp_path, lambda phi3, mask: 0.3 + 0.05 * phi3 - 0.02 * mask)
    one, two, both = found(tmp_path).effects
    by = {effect.what: effect for effect in (one, two, both)}
    assert by["prompt=phi3 instead of prompt=alpaca"].value == pytest.approx(0.05, abs=0.004)
    assert by["mask_instruction=true instead of mask_instruction=false"].value == pytest.approx(-0.02, abs=0.004)
    assert both.interaction and both.value == pytest.approx(0, abs=0.006) and both.p > 0.05  # type: ignore[operator]
    assert one.p_holm < 0.01 and one.p_holm >= one.p  # type: ignore[operator]


def test_an_interaction_that_was_put_in_is_found(tmp_path: Path) -> None:
    grid(tmp_path, lambda phi3, mask: 0.3 + 0.05 * (phi3 and mask))
    *_, both = found(tmp_path).effects
    assert both.interaction and both.value == pytest.approx(0.05, abs=0.006) and both.p_holm < 0.01  # type: ignore[operator]


def test_arms_that_are_no_full_grid_have_no_effects(tmp_path: Path) -> None:
    arm(tmp_path, {"prompt": "alpaca", "mask_instruction": "true"}, [0.1] * 5)
    arm(tmp_path, {"prompt": "phi3", "mask_instruction": "true"}, [0.2] * 5)
    arm(tmp_path, {"prompt": "phi3", "mask_instruction": "false"}, [0.3] * 5)
    assert effects(arms(read_runs(tmp_path)), "chrf") == []


TINY = ["weights=random", "model=gpt2_tiny"]


@pytest.mark.parametrize(
    "words",
    [
        ["experiment=quickstart", "position=mean"],
        ["experiment=quickstart", "name=of_my_own", "train.lr=5e-4", "data.size=200"],
        ["task=classify", *TINY, "model.emb_dim=128", "data=messages", "dropout=uniform", "tune=lora"],
        ["task=instruct", *TINY, "prompt=phi3", "mask_instruction=true", "name=mine"],
        ["experiment=ch07_1_phi3", "prompt.answer='\\nsay: {output}'"],
        ["task=count", "name='with a space & more'"],
    ],
)
@pytest.mark.parametrize("typed", [pytest.param(True, marks=pytest.mark.slow), False])
def test_the_command_of_a_record_composes_to_its_fingerprint(words: list[str], typed: bool, tmp_path: Path) -> None:
    job = jobs.job([*words, f"out={tmp_path}"])
    for seed in (1, 2):
        config = compose.compose([*job.overrides, f"seed={seed}"])
        tracker = Tracker(type(config.tracking)())
        record.keep(config, lambda *_: {}, changes={}, tracker=tracker, choices=job.choices if typed else {})
    (one,) = arms(read_runs(tmp_path))
    line = command.of_arm(one)
    program, flag, *given = shlex.split(line)
    assert (program, flag) == ("scratchlab", "-m")
    made = jobs.expand(given)
    assert [identity.fingerprint(job.config) for job in made] == [run.fingerprint for run in one.runs]
    assert {job.config.name for job in made} == {one.name}


def test_what_nothing_composes_to_is_said_to_have_no_command(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", 1, 0.9)
    assert command.of_arm(arms(read_runs(tmp_path))[0]) == command.NONE


def test_every_published_run_has_the_command_of_its_experiment(tmp_path: Path) -> None:
    name = next(iter(experiments.select("ch04_2_small")))
    config = compose.compose([f"experiment={name}", f"out={tmp_path}"])
    record.keep(config, lambda *_: {}, changes={}, tracker=Tracker(config.tracking))
    assert command.of_arm(arms(read_runs(tmp_path))[0]) == f"scratchlab experiment={name} seed=123"
