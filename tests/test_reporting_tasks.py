"""The tasks that read records, through the command where its exit code or its words are the point."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from synthetic import write_run

from scratchlab.__main__ import run
from scratchlab.book import claims
from scratchlab.book.exercises import EXERCISES
from scratchlab.book.experiments import read_all
from scratchlab.cli.arguments import quote_lists
from scratchlab.evidence import goldens
from scratchlab.evidence.missing import missing_runs
from scratchlab.evidence.reading import seed_list
from scratchlab.evidence.runs import read_run, read_runs
from scratchlab.launch.ablation import CONTROL_SHIFT, Design, arms
from scratchlab.report.verdicts import by_experiment, coverage
from scratchlab.runs.registry import TASKS
from scratchlab.tasks.compare import Compare
from scratchlab.tasks.reproduce import Reproduce


def scratchlab(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scratchlab", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def score(value: float) -> list[dict[str, Any]]:
    return [{"metric": "test_accuracy", "kind": "score", "value": value, "n": 300, "source": "made up"}]


def test_every_task_that_reports_on_records_is_left_out_of_them() -> None:
    schemas = {name: task.schema() for name, task in TASKS.items()}
    leaving_a_record = {name for name, schema in schemas.items() if schema.recorded and not schema.reusable}
    about_records = {name for name, schema in schemas.items() if schema.about_records}
    assert about_records == leaving_a_record | {"list"}


def test_records_about_records_are_not_read_as_runs(tmp_path: Path) -> None:
    write_run(tmp_path, "one", 123, 0.9)
    write_run(tmp_path, "two", 123, 0.9, task="a_task_of_another_version")
    write_run(tmp_path, "mine", 123, 0.9, task="compare")
    write_run(tmp_path, "report", 123, 0.9, task=None)
    assert [run.name for run in read_runs(tmp_path)] == ["one", "two"]


def test_the_exit_code_is_1_only_for_a_claim_that_is_not_reproduced(tmp_path: Path) -> None:
    for seed in (123, 124, 125, 126):
        write_run(tmp_path / "outputs", "good", seed, 0.95, claims=score(0.95))
        write_run(tmp_path / "outputs", "bad", seed, 0.8, claims=score(0.95))
    open_, bad = (
        scratchlab("task=reproduce", f"select={names}", cwd=tmp_path) for names in ("good,ch06_row08_xl", "*d")
    )
    assert open_.returncode == 0, open_.stderr
    assert bad.returncode == 1 and "1 REPRODUCED, 1 NOT_REPRODUCED" in bad.stdout, bad.stderr
    written = [json.loads(path.read_text()) for path in tmp_path.glob("outputs/reproduce/*/verdicts.json")]
    found = {(row["experiment"], row["verdict"]) for rows in written for row in rows}
    assert {("good", "REPRODUCED"), ("bad", "NOT_REPRODUCED"), ("ch06_row08_xl", "NOT_RUN")} <= found
    keys = "experiment metric kind verdict reported measured interval seeds reason source".split()
    assert all(set(keys) <= set(row) for rows in written for row in rows)


def test_the_short_table_counts_what_is_as_printed_and_shows_what_is_not() -> None:
    common = {"experiment": "one", "kind": "exact", "verdict": "REPRODUCED"}
    rows: list[dict[str, Any]] = [
        common | {"metric": "ids", "reported": [1, 2], "measured": [1, 2]},
        common | {"metric": "train_loss", "reported": 0.391, "measured": 0.390961},
        common | {"metric": "test_accuracy", "reported": 0.95, "measured": 0.950001},
        common | {"metric": "decoded", "reported": "a" * 70, "measured": "a" * 69 + "b", "verdict": "NOT_REPRODUCED"},
        common | {"experiment": "two", "metric": "ids", "reported": [1], "measured": None, "verdict": "NOT_RUN"},
    ]
    _, (line,) = by_experiment(rows)
    shown = "a" * 57 + "..."
    numbers = f"2 equal; train loss 0.391 \u2192 0.390961; decoded {shown} \u2192 {shown}"
    assert line == ["one", "4", "3 REPRODUCED, 1 NOT_REPRODUCED", numbers]


def test_claims_are_selected_by_chapter_exercise_experiment_and_claim(tmp_path: Path) -> None:
    def judged(**options: Any) -> set[str]:
        result = run(Reproduce(name="reproduce", out=str(tmp_path), **options))
        rows = json.loads((Path(result["folder"]) / "verdicts.json").read_text())
        return {f"{row['experiment']}:{row['metric']}:{row['kind']}" for row in rows}

    assert judged(exercise="6.3", claim="*:relation") == {"ch06_3_first_token:test_accuracy:relation"}
    assert {label.split(":")[0] for label in judged(select="ch06_row0[67]*")} == {
        "ch06_row06_medium",
        "ch06_row07_large",
    }
    assert judged(chapter="6") == judged(select="ch06_*")
    with pytest.raises(ValueError, match="no claim is selected"):
        judged(exercise="9.9")


def test_a_plan_lists_the_arms_of_relations_and_puts_prerequisites_first(tmp_path: Path) -> None:
    files = read_all()
    stated = claims.of([files["ch06_3_first_token"]])
    wanted = missing_runs(stated, {}, files, [])
    assert [(item.experiment.name, item.seed) for item in wanted] == [
        ("ch06_3_first_token", 123),
        ("ch06_row01_baseline", 123),
    ]
    assert all("GPT-2 weights" in item.obstacle for item in wanted)
    there = {"ch06_3_first_token": [read_run(write_run(tmp_path, "ch06_3_first_token", 123, 0.75))]}
    assert [item.experiment.name for item in missing_runs(stated, there, files, [123])] == ["ch06_row01_baseline"]


def test_coverage_lists_every_exercise_of_the_appendix() -> None:
    table = coverage([{"experiment": "ch06_main", "verdict": "REPRODUCED"}], read_all())
    assert [line[0] for line in table] == list(EXERCISES) and len(table) == 25
    assert {line[0] for line in table if "ch06_main" in line[2]} == {"6.1", "6.2", "6.3"}


def test_compare_writes_the_table_of_the_contract_and_says_where_texts_are_missing(tmp_path: Path) -> None:
    config = {"data": {"source": "messages", "size": 200, "split": "script", "split_seed": 123}}
    for seed in (1, 2):
        write_run(tmp_path, "baseline", seed, 0.95, config=config)
        write_run(tmp_path, "variant", seed, 0.8, config=config | {"position": "first"})
    result = run(Compare(name="compare", out=str(tmp_path), baseline="baseline"))
    rows = json.loads((Path(result["folder"]) / "table.json").read_text())
    assert [row["name"] for row in rows] == ["baseline", "variant"]
    assert rows[1]["changed"] == {"position": "first"} and rows[1]["seeds"] == [1, 2]
    assert set(rows[1]["metrics"]["test_accuracy"]) >= {"mean", "spread"}
    assert set(rows[1]["delta"]) >= {"value", "interval", "p"} and isinstance(rows[1]["notes"], list)
    flips = json.loads((Path(result["folder"]) / "flips.json").read_text())["variant"]
    assert flips and any("text" in item for item in flips)
    with pytest.raises(ValueError, match="no finished run"):
        run(Compare(name="compare", out=str(tmp_path), select="nothing"))


def test_a_comma_makes_a_list_of_names_and_no_sweep() -> None:
    assert quote_lists(["task=compare", "select=a,b"]) == ["task=compare", "select='a,b'"]
    assert quote_lists(["seeds=[1,2]", "select='a,b'", "train.lr=1,2"]) == [
        "seeds=[1,2]",
        "select='a,b'",
        "train.lr=1,2",
    ]
    assert quote_lists(["-m", "select=a,b"]) == ["-m", "select=a,b"]


def test_seeds_are_read_in_every_form() -> None:
    assert seed_list(None) == [] and seed_list(7) == [7] and seed_list([1, 2]) == [1, 2]
    assert seed_list("123-125,7") == [123, 124, 125, 7]
    with pytest.raises(ValueError, match="seeds=one"):
        seed_list("one")


def test_designs_make_their_arms() -> None:
    def labels(design: Design) -> list[str]:
        return [arm.label for arm in arms(["a=1", "b=2"], design, control=False, shuffled_labels=False)]

    assert labels(Design.one_at_a_time) == ["baseline", "a=1", "b=2"]
    assert labels(Design.leave_one_out) == ["all factors", "without a=1", "without b=2"]
    assert labels(Design.factorial) == ["baseline", "a=1", "b=2", "a=1, b=2"]
    *_, control, shuffled = arms(["a=1"], Design.one_at_a_time, control=True, shuffled_labels=True)
    assert control.overrides == () and control.shift == CONTROL_SHIFT
    assert shuffled.overrides == ("data.shuffle_labels=true",)
    with pytest.raises(ValueError, match="no override"):
        arms(["a"], Design.factorial, control=False, shuffled_labels=False)


def test_goldens_find_a_change_keep_old_values_and_need_a_reason(tmp_path: Path) -> None:
    store, out = tmp_path / "goldens", tmp_path / "out"
    write_run(out, "a", 123, metrics={"loss": 0.5, "count": 7, "train_seconds": 1.0})
    with pytest.raises(ValueError, match="reason"):
        goldens.record(store, read_runs(out), reason=" ", date="2026-01-01")
    goldens.record(store, read_runs(out), reason="first", date="2026-01-01")
    assert goldens.check(store, read_runs(out)) == (1, [])
    other = tmp_path / "other"
    write_run(other, "a", 123, metrics={"loss": 0.5001, "count": 7, "train_seconds": 9.0})
    checked, found = goldens.check(store, read_runs(other))
    assert checked == 1 and [(d.metric, d.golden, d.measured) for d in found] == [("loss", 0.5, 0.5001)]
    goldens.record(store, read_runs(other), reason="the loss is right now", date="2026-01-02")
    assert goldens.check(store, read_runs(other)) == (1, [])
    (path,) = store.iterdir()
    assert path.name == "cpu-float32-torch-2.13.json"
    assert [entry["reason"] for entry in json.loads(path.read_text())] == ["first", "the loss is right now"]
