"""Records that are not what a run writes: each is a line, and never the end of a table."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import write_run

from scratchlab.__main__ import run
from scratchlab.book import experiments
from scratchlab.evidence import bundle
from scratchlab.evidence.gather import gather
from scratchlab.evidence.remarks import problem_lines
from scratchlab.evidence.runs import read_run
from scratchlab.evidence.verify import verify
from scratchlab.tasks.bundle import Bundle, Verify
from scratchlab.tasks.compare import Compare
from scratchlab.tasks.report import Report

CLAIM = {"metric": "test_accuracy", "kind": "score", "value": 0.95, "n": 300, "source": "made up"}


def result(**changes: Any) -> Callable[[Path], None]:
    """Changes fields of a result."""

    def spoil(folder: Path) -> None:
        content = json.loads((folder / "result.json").read_text())
        metrics = content["metrics"] | changes.get("metrics", {})
        (folder / "result.json").write_text(json.dumps(content | changes | {"metrics": metrics}))

    return spoil


def text(name: str, content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(content) and None


def cut(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / name
        path.write_text(path.read_text()[: path.stat().st_size // 2 + 2].rsplit(",", 1)[0])

    return spoil


SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "a metric is text": (result(metrics={"test_accuracy": "much"}), "test_accuracy is 'much': it must be one number"),
    "a metric is a list": (result(metrics={"test_accuracy": [0.9]}), "test_accuracy is [0.9]: it must be one number"),
    "a metric is true": (result(metrics={"test_accuracy": True}), "test_accuracy is True: it must be one number"),
    "a metric is huge": (result(metrics={"tokens_seen": 10**400}), "tokens_seen is a number of more than 30 digits"),
    "an accuracy above 1": (result(metrics={"test_accuracy": 95}), "test_accuracy is 95: it must lie between 0 and 1"),
    "no seed": (result(seed=None), "seed is null, must be a whole number"),
    "a seed with a point": (result(seed=1.5), "seed is 1.5, must be a whole number"),
    "another seed": (result(seed=7), "seed is 7 in result.json"),
    "another name": (result(name="other"), "name is 'other' in result.json"),
    "metrics are a list": (text("result.json", '{"status": "done", "metrics": [1]}'), "metrics is [1], must be"),
    "a result that is a list": (text("result.json", "[]"), "result.json is no mapping but []"),
    "a result cut short": (cut("result.json"), "result.json cannot be read"),
    "a key twice": (text("result.json", '{"metrics": {}, "metrics": {}}'), "'metrics' stands there twice"),
    "an empty result": (text("result.json", ""), "result.json cannot be read"),
    "a result of one word": (text("result.json", '{"status": "done"}'), "metrics is missing"),
    "an unknown status": (result(status="great"), "status is 'great', must be one of done, failed, interrupted"),
    "hashes of numbers": (result(hashes={"data": 1}), "hashes is {'data': 1}, must be a mapping of texts"),
    "a device that is a list": (result(device=["cpu"]), "device is ['cpu'], must be a text"),
    "changes that are text": (result(changes="none"), "changes is 'none', must be a mapping"),
    "predictions cut in a line": (cut("predictions.csv"), "predictions.csv: line"),
    "empty predictions": (text("predictions.csv", ""), "predictions.csv: is empty"),
    "predictions of other columns": (text("predictions.csv", "a,b\n1,2\n"), "predictions.csv: its columns are 'a,b'"),
    "predictions of other numbers": (result(metrics={"test_accuracy": 0.5}), "test_accuracy is said to be 0.5"),
    "a configuration that is a list": (text("config.yaml", "- 1\n"), "config.yaml is no mapping but [1]"),
    "a configuration that is no YAML": (text("config.yaml", "a: [1"), "config.yaml cannot be read"),
    "a configuration with a key twice": (text("config.yaml", "a: {b: 1, b: 2}"), "the key 'b' stands there twice"),
    "a configuration without end": (text("config.yaml", "a: &a [*a]\n"), "nested deeper than"),
    "claims that are text": (result(claims="all"), "claims are 'all', must be a list"),
    "a claim that is none": (result(claims=[{"metric": "x"}]), "lacks source"),
    "a claim of a word": (result(claims=[CLAIM | {"value": "much"}]), "value is 'much', must be a finite number"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_record_is_a_line_and_the_others_are_judged_without_it(tmp_path: Path, case: str) -> None:
    for seed in (123, 124, 125, 126):
        write_run(tmp_path, "good", seed, 0.95, claims=[CLAIM])
    spoil, said = SPOILT[case]
    spoil(write_run(tmp_path, "good", 127, 0.95, claims=[CLAIM]))
    found = gather(tmp_path, {})
    assert len(found.problems) == 1 and said in found.problems[0]
    assert found.problems[0].startswith("spoilt record good/")
    assert [row["verdict"] for row in found.verdicts] == ["REPRODUCED"]
    assert set(found.verdicts[0]["seeds"]) >= {123, 124, 125, 126}


def test_a_run_that_came_to_no_end_is_told_in_the_row_of_the_survivors(tmp_path: Path) -> None:
    for seed in (123, 124, 125):
        write_run(tmp_path, "good", seed, 0.95, claims=[CLAIM])
    write_run(tmp_path, "good", 126, status="failed", error="FloatingPointError: nan", claims=[CLAIM])
    write_run(tmp_path, "good", 127, status="interrupted", claims=[CLAIM])
    (write_run(tmp_path, "good", 128, 0.95) / "result.json").unlink()
    write_run(tmp_path, "good", 129, metrics={"val_accuracy": 0.9}, claims=[CLAIM])
    (line,) = gather(tmp_path, {}).verdicts
    told = " ".join(line["notes"])
    assert line["seeds"] == [123, 124, 125] and "survivors only: 3 of 7 records" in told
    for words in ("seed 126 (failed: FloatingPointError", "seed 127 (interrupted)", "seed 128 (unfinished)"):
        assert f"does not speak: {words}" in told
    assert "seed 129 (its record has no metric test_accuracy)" in told


def test_mixtures_of_devices_and_versions_and_two_results_of_one_seed_are_told(tmp_path: Path) -> None:
    write_run(tmp_path, "good", 123, 0.95, claims=[CLAIM], versions={"torch": "2.12"})
    write_run(tmp_path, "good", 124, 0.95, claims=[CLAIM], device="cuda NVIDIA H100")
    write_run(tmp_path, "good", 125, 0.95, claims=[CLAIM])
    write_run(tmp_path, "good", 125, 0.94, claims=[CLAIM], config={"tracking": {"mode": "none"}})
    (line,) = gather(tmp_path, {}).verdicts
    told = " ".join(line["notes"])
    assert "different devices: cpu, cuda NVIDIA H100" in told and "versions of torch: 2.12, 2.13" in told
    assert "seed 125 of good has 2 records that differ" in told


TEN = list(SPOILT)[::3]


def test_of_fifty_records_ten_of_them_spoilt_every_command_gives_a_whole_table_and_ten_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "outputs"
    for seed in range(100, 125):
        for name, right in (("baseline", 0.95), ("variant", 0.9)):
            spoilt = name == "variant" and seed - 100 < len(TEN)
            folder = write_run(out, name, seed, right, claims=[CLAIM] if name == "baseline" else [])
            if spoilt:
                SPOILT[TEN[seed - 100]][0](folder)
    ended = command("task=reproduce", cwd=tmp_path)
    assert "Traceback" not in ended.stderr and ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stdout.count("spoilt record variant/") == len(TEN) == 10, ended.stdout
    run(Compare(name="compare", out=str(out)))
    assert capsys.readouterr().out.count("spoilt record variant/") == 10
    packed = Path(run(Bundle(name="bundle", out=str(out)))["folder"]) / "bundle.zip"
    assert capsys.readouterr().out.count("spoilt record variant/") == 10
    page = Path(run(Report(name="report", out=str(out)))["folder"]) / "report.html"
    assert page.read_text().count("<li>spoilt record variant/") == 10
    table = json.loads(next(out.glob("compare/*/table.json")).read_text())
    assert {row["name"] for row in table} == {"baseline", "variant"}
    verdicts = json.loads(next(out.glob("reproduce/*/verdicts.json")).read_text())
    assert [row["verdict"] for row in verdicts if row["experiment"] == "baseline"] == ["REPRODUCED"]
    capsys.readouterr()
    run(Verify(name="verify", bundle=str(packed), out=str(tmp_path / "other")))
    assert capsys.readouterr().out.count("spoilt record variant/") == 10


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    "name task status error fingerprint changes seed metrics claims seconds started versions git hashes device "
    "no_effect choices revision"
).split()
METRICS = ("test_accuracy", "val_accuracy", "train_loss", "train_seconds", "judge_score", "tokens_seen", "made_up")
KINDS = st.sampled_from(["score", "count", "close", "exact", "relation", "ratio"])


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(FIELDS), ANY, max_size=3),
    st.dictionaries(st.sampled_from(METRICS), ANY, max_size=3),
    st.dictionaries(st.sampled_from(["seed", "name", "data", "model", "train", "compute", "claims"]), ANY, max_size=2),
    st.lists(st.sampled_from(FIELDS), max_size=2),
    KINDS,
)
def test_whatever_a_record_holds_every_table_is_made(
    tmp_path: Path, fields: dict[str, Any], metrics: dict[str, Any], config: dict[str, Any], left: list[str], kind: str
) -> None:
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    out = tmp_path / "out"
    claims = [CLAIM | {"kind": kind, "versus": "other", "direction": "lower", "probability": 0.5}]
    for name in ("good", "other"):
        for seed in (1, 2):
            write_run(out, name, seed, 0.95, claims=claims, losses=[1.0])
    folder = write_run(out, "good", 3, 0.95, claims=claims, losses=[1.0])
    content = json.loads((folder / "result.json").read_text())
    content["metrics"] |= metrics
    content = {key: value for key, value in (content | fields).items() if key not in left}
    (folder / "result.json").write_text(json.dumps(content))
    stated = {"name": "good", "seed": 3} | config
    (folder / "config.yaml").write_text(json.dumps(stated))
    read = read_run(folder)
    assert read.status in ("done", "failed", "interrupted", "unreadable") and len(problem_lines([read])) <= 1
    found = gather(out, {})
    assert all(row["verdict"] and row["reason"] for row in found.verdicts)
    (comparison,) = [one for one in found.comparisons if one.task == "classify"]
    assert {"good", "other"} <= {row["name"].split(" [")[0] for row in comparison.rows}
    every = comparison.arms
    if read.status == "unreadable":
        assert all(math.isfinite(value) for arm in every if arm.name == "good" for value in arm.values("test_accuracy"))


def test_a_bundle_of_spoilt_records_is_packed_and_opened(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for case, (spoil, _) in SPOILT.items():
        spoil(write_run(out, case.replace(" ", "_"), 123, 0.95, claims=[CLAIM]))
    write_run(out, "good", 123, 0.95, claims=[CLAIM])
    files = experiments.read_all()
    bundle.pack(out, files, tmp_path / "bundle.zip", select="*", seeds=(), baseline="")
    lines = verify(tmp_path / "bundle.zip", files)
    assert len(lines) == len(SPOILT) and all(line.startswith("spoilt record") for line in lines)
