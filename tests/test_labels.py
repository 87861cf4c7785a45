"""What arms are called, which one is the baseline, and that every table says the same."""

import csv
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from synthetic import write_run

import scratchlab
from scratchlab.book import experiments
from scratchlab.evidence import gather, sweeps
from scratchlab.evidence.baseline import by_rule, choose_baseline
from scratchlab.evidence.gather import Comparison
from scratchlab.evidence.runs import arms, read_run, read_runs
from scratchlab.report import paste, tables

SEEDS = (1, 2, 3)


def arm(
    out: Path, choices: dict[str, str] | None, right: int = 270, *, name: str = "sweep", place: int = 0, **more: Any
) -> None:
    """An arm of three seeds, started in the `place`th minute; its choices are its changes, unless some are given."""
    more.setdefault("changes", choices)
    config = more.pop("config", choices)
    for seed in SEEDS:
        started = f"2026-01-01T00:{place:02d}:{seed:02d}+00:00"
        losses = [0.1 * seed + place, float(len(str(config))), right / 300]
        write_run(
            out,
            name,
            seed,
            (right + seed) / 300,
            config=config,
            choices=choices,
            started=started,
            losses=losses,
            **more,
        )


def told(out: Path) -> set[str]:
    return {one.label for one in arms(read_runs(out))}


def compared(out: Path, **options: Any) -> Comparison:
    (found,) = gather.comparisons(read_runs(out), experiments.read_all(), **options)
    return found


def test_arms_are_called_by_the_choices_that_tell_them_apart_and_not_by_a_name_they_share(tmp_path: Path) -> None:
    for prompt, mask in (("phi3", "true"), ("phi3", "false"), ("alpaca", "true"), ("alpaca", "false")):
        arm(tmp_path, {"prompt": prompt, "mask_instruction": mask, "data.size": "200"})
    assert told(tmp_path) == {f"prompt={p}, {m}" for p in ("phi3", "alpaca") for m in ("mask", "no mask")}


def test_what_was_not_typed_is_filled_in_from_the_configuration_or_the_experiment(tmp_path: Path) -> None:
    arm(tmp_path, {"position": "mean"}, name="ch07_main")
    arm(tmp_path, {}, name="ch07_main", config={"position": "last"})
    assert told(tmp_path) == {"position=mean", "position=last"}
    other = tmp_path / "other"
    arm(other, {"prompt": "phi3"}, name="ch07_main", task="instruct")
    arm(other, {}, name="ch07_main", task="instruct", config={"x": 1})
    assert told(other) == {"prompt=phi3", "prompt=alpaca"}


def test_names_that_differ_are_told_and_choices_within_one_name_follow_it(tmp_path: Path) -> None:
    arm(tmp_path, {}, name="one")
    arm(tmp_path, {"tune.lora_rank": "4"}, name="two")
    arm(tmp_path, {"tune.lora_rank": "8"}, name="two")
    assert told(tmp_path) == {"one", "two, lora_rank=4", "two, lora_rank=8"}


@pytest.mark.parametrize("long", ["x" * 300, "<|user|>\n{instruction}\n" * 20])
def test_labels_stay_short_and_distinct_whatever_was_chosen(long: str, tmp_path: Path) -> None:
    arm(tmp_path, {"prompt.question": f"{long}a"})
    arm(tmp_path, {"prompt.question": f"{long}b"})
    found = told(tmp_path)
    assert len(found) == 2 and all(len(label) < 120 and "\n" not in label for label in found)


def test_arms_that_only_their_configuration_tells_apart_are_called_by_it(tmp_path: Path) -> None:
    for rate in (0.1, 0.25):
        arm(tmp_path, {"dropout": "mine"}, config={"model.drop_rate_emb": rate})
    assert told(tmp_path) == {"drop_rate_emb=0.1", "drop_rate_emb=0.25"}


def test_records_that_do_not_say_what_was_typed_are_called_by_what_they_change(tmp_path: Path) -> None:
    arm(tmp_path, None, changes={"position": "mean"}, config={"position": "mean"})
    arm(tmp_path, None, changes={}, config={"position": "last"})
    assert told(tmp_path) == {"position=mean", "position=last"}


@pytest.mark.parametrize(
    ("typed", "changes", "baseline", "why"),
    [
        (["first", "last", "mean"], [1, 0, 1], "last", "the unaltered arm"),
        (["first", "last", "mean"], [2, 2, 1], "mean", "the arm with fewest changes"),
        (["mean", "first", "last"], [1, 1, 1], "mean", "the first of 3 arms with as few changes"),
        (["mean", "first", "last"], [0, 0, 0], "mean", "the first of 3 unaltered arms"),
    ],
)
def test_one_rule_chooses_the_baseline(
    typed: list[str], changes: list[int], baseline: str, why: str, tmp_path: Path
) -> None:
    for place, (position, count) in enumerate(zip(typed, changes, strict=True)):
        arm(tmp_path, {"position": position}, place=place, changes={f"key{i}": position for i in range(count)})
    found, said = by_rule(arms(read_runs(tmp_path)))
    assert (found.label, said) == (f"position={baseline}", why)


def test_of_several_unaltered_arms_the_one_called_baseline_comes_first(tmp_path: Path) -> None:
    for place, name in enumerate(("ch06_main", "ch06_row01_baseline", "ch06_row10_random")):
        arm(tmp_path, {}, name=name, place=place)
    found, said = by_rule(arms(read_runs(tmp_path)))
    assert (found.label, said) == ("ch06_row01_baseline", "called baseline")


def test_many_keys_of_one_choice_are_one_change(tmp_path: Path) -> None:
    arm(tmp_path, {"tune": "lora"}, changes={"tune.trainable": "lora", "tune.lora_rank": 8, "tune.lora_alpha": 8})
    arm(tmp_path, {"position": "mean", "data.pad_to": "context"})
    assert by_rule(arms(read_runs(tmp_path)))[0].label.startswith("tune=lora")


def test_the_order_of_a_sweep_counts_and_not_that_of_starting_or_of_folders(tmp_path: Path) -> None:
    for place, position in enumerate(("first", "last", "mean")):
        arm(tmp_path, {"position": position}, place=place)
    runs = read_runs(tmp_path)
    assert by_rule(arms(runs))[0].label == "position=first"
    order = sorted(runs, key=lambda run: ("mean", "first", "last").index(run.choices["position"]))
    folders = [run.folder for run in order]
    tables.show_sweep(folders, tmp_path / ".sweeps" / "20260101")
    assert by_rule(arms(runs))[0].label == "position=mean"
    (stored,) = sweeps.read(tmp_path)
    assert stored.runs == [run.fingerprint for run in order]
    assert set(stored.baselines) == {run.fingerprint for run in order[:3]}
    (tmp_path / ".sweeps" / "20260102").mkdir()  # later, and spoilt
    (tmp_path / ".sweeps" / "20260102" / "sweep.json").write_text("spoilt")
    assert by_rule(arms(runs))[0].label == "position=mean"


def test_the_sweep_s_table_compare_report_and_python_take_one_baseline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from scratchlab.launch import compose
    from scratchlab.launch.execute import run

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    out = tmp_path / "outputs"
    for place, position in enumerate(("mean", "first", "last")):
        arm(out, {"position": position}, 270 - place, place=place)
    tables.show_sweep([one.folder for one in sorted(read_runs(out), key=lambda r: r.started)], out / ".sweeps" / "1")
    said = "baseline: position=mean (the first of 3 arms with as few changes)"
    assert said in " ".join(capsys.readouterr().out.split())
    run(compose.compose(["task=compare"]))
    assert said in " ".join(capsys.readouterr().out.split())
    table = json.loads(next(out.glob("compare/*/table.json")).read_text())
    assert {row["baseline"] for row in table} == {table[0]["name"]} == {"position=mean"}
    run(compose.compose(["task=report"]))
    assert "position=mean" in next(out.glob("report/*/table_classify.tex")).read_text()
    assert scratchlab.compare(out).baseline.label == "position=mean"


def test_arms_of_two_tasks_share_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for position in ("first", "mean"):
        arm(tmp_path, {"position": position})
    for prompt in ("phi3", "alpaca"):
        arm(
            tmp_path, {"prompt": prompt}, name="told", task="instruct", metrics={"val_loss": 1.0, "test_accuracy": None}
        )
    found = gather.comparisons(read_runs(tmp_path), {})
    assert [(one.task, len(one.rows)) for one in found] == [("classify", 2), ("instruct", 2)]
    assert all({run.task for one_arm in one.arms for run in one_arm.runs} == {one.task} for one in found)
    with pytest.raises(ValueError, match="no such arm"):
        gather.comparisons(read_runs(tmp_path), {}, "position=nowhere")
    asked = gather.comparisons(read_runs(tmp_path), {}, "prompt=alpaca")
    assert asked[1].baseline.label == "prompt=alpaca" and asked[1].why == "baseline=prompt=alpaca"


def test_a_baseline_is_found_by_what_was_typed_and_by_its_label(tmp_path: Path) -> None:
    for prompt in ("phi3", "alpaca"):
        arm(tmp_path, {"prompt": prompt}, config={"prompt": {"question": prompt}})
    found = arms(read_runs(tmp_path))
    assert choose_baseline(found, "prompt=phi3").config["prompt.question"] == "phi3"
    assert choose_baseline(found, read_run(found[1].runs[0].folder).fingerprint) is found[1]


def test_the_csv_is_long_and_numeric(tmp_path: Path) -> None:
    arm(tmp_path, {"position": "first"}, 240, metrics={"train_loss": 0.25})
    arm(tmp_path, {"position": "mean"}, 270, metrics={"train_loss": 0.5}, place=1)
    found = compared(tmp_path)
    lines = list(csv.DictReader(io.StringIO(paste.long_csv([found]))))
    assert len(lines) == 4 and {line["metric"] for line in lines} == {"test_accuracy", "train_loss"}
    by = {(line["arm"], line["metric"]): line for line in lines}
    accuracy = by["position=mean", "test_accuracy"]
    delta = found.rows[1]["delta"]
    assert float(accuracy["mean"]) == pytest.approx(272 / 300, rel=1e-12)
    assert (float(accuracy["difference"]), float(accuracy["low"])) == (delta["value"], delta["interval"][0])
    assert float(accuracy["p_holm"]) == delta["p_holm"] and accuracy["baseline"] == "position=first"
    assert by["position=mean", "train_loss"]["difference"] == ""
    for line in lines:
        for column in ("n", "mean", "sd"):
            float(line[column])
    shown = csv.DictReader(io.StringIO(paste.long_csv([found], ["test_accuracy"])))
    assert {line["metric"] for line in shown} == {"test_accuracy"}


def test_latex_has_six_columns_and_notes_below(tmp_path: Path) -> None:
    arm(tmp_path, {"position": "first & last", "x": "50%"}, 240)
    arm(tmp_path, {"position": "mean_of_all", "x": "#1"}, 270, place=1)
    text = paste.latex_table(compared(tmp_path))
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and " & " in line]
    assert len(rows) == 3 and all(line.replace(r"\&", "").count("&") == 5 for line in rows)
    assert r"\begin{tabular}{lrrrrr}" in text and r"\textsuperscript{1}" in text and r"mean\_of\_all" in text
    assert text.index(r"\end{tabular}") < text.index("McNemar")
    latex = shutil.which("pdflatex") or shutil.which("tectonic")
    if latex is None:
        pytest.skip("no LaTeX on the PATH: apt-get install texlive-latex-recommended")
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{text}\end{{document}}"
    (tmp_path / "paper.tex").write_text(document)
    done = subprocess.run(
        [latex, "-interaction=nonstopmode", "paper.tex"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_markdown_has_a_short_table_and_numbered_notes(tmp_path: Path) -> None:
    arm(tmp_path, {"position": "first"}, 240)
    arm(tmp_path, {"position": "mean"}, 270, place=1)
    text = paste.markdown(compared(tmp_path))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4 and len({line.count("|") for line in rows}) == 1
    assert "position=mean [1]" in text and "\n1. McNemar" in text


def test_metrics_chooses_columns_and_lines(tmp_path: Path) -> None:
    arm(tmp_path, {"position": "first"}, 240, metrics={"train_seconds": 12.5, "val_loss": 0.5})
    arm(tmp_path, {"position": "mean"}, 270, metrics={"train_seconds": 10.0, "val_loss": 0.4})
    found = compared(tmp_path)
    columns, _ = tables.short(found)
    assert len(columns) == 7
    columns, cells = tables.short(found, ["train_seconds"])
    assert columns[-1] == "train seconds" and {line[-1] for line in cells} == {"12.5 ± 0.0", "10.0 ± 0.0"}


def test_metrics_is_a_list_that_names_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scratchlab.cli.arguments import quote_lists
    from scratchlab.launch import compose
    from scratchlab.launch.execute import run

    assert quote_lists(["metrics=val_loss,train_seconds"]) == ["metrics='val_loss,train_seconds'"]
    monkeypatch.chdir(tmp_path)
    for position in ("first", "mean"):
        arm(tmp_path / "outputs", {"position": position}, metrics={"train_seconds": 12.5, "val_loss": 0.5})
    folder = Path(run(compose.compose(["task=compare", "metrics='val_loss,train_seconds'"]))["folder"])
    assert "| val loss | train seconds |" in (folder / "table.md").read_text()
    assert "tokens" not in (folder / "table.csv").read_text()
    with pytest.raises(ValueError, match="no run has a number 'val_los'.*nearest: val_loss"):
        run(compose.compose(["task=compare", "metrics=val_los"]))
