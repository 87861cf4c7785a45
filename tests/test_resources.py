"""What experiments take stands in a table made from records; page, list and evidence agree with it."""

import importlib.util
import json
import statistics
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from synthetic import write_run

from scratchlab.book import experiments, resources
from scratchlab.book.resources import Cost
from scratchlab.launch import compose
from scratchlab.runs.identity import fingerprint, plain

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("resources_tool", ROOT / "benchmarks" / "resources.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_made_from_the_table_and_names_every_experiment(tool: ModuleType) -> None:
    text = (ROOT / "docs" / "resources.md").read_text(encoding="utf-8")
    assert text == tool.page(), "made by: python benchmarks/resources.py"
    for name in experiments.paths():
        assert f"| `{name}` |" in text
    assert set(resources.read()) < set(experiments.paths())
    assert text.count(resources.NOT_MEASURED) == len(experiments.paths()) - len(resources.read())


@pytest.mark.parametrize("bundle", sorted((ROOT / "results").glob("*/bundle.zip")), ids=lambda path: path.parent.name)
def test_the_table_says_what_the_bundles_of_results_hold(bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        names = [name for name in archive.namelist() if name.endswith("/result.json")]
        every: list[dict[str, Any]] = [json.loads(archive.read(name)) for name in names]
    results = [result for result in every if result["status"] == "done"]
    measured = {result["name"] for result in results} & set(resources.read())
    assert len(measured) >= 3
    for name in measured:
        runs = [result for result in results if result["name"] == name]
        cost = resources.read()[name]
        assert cost.runs == len(runs) and cost.device == (runs[0]["device"] or "no device recorded")
        took = [max(run["seconds"], run["metrics"].get("train_seconds", 0)) for run in runs]
        assert cost.seconds == pytest.approx(statistics.median(took), abs=0.051)
        assert cost.most_seconds == pytest.approx(max(took), abs=0.051)
        assert cost.memory == max(run["metrics"]["peak_memory_bytes"] for run in runs)


def test_only_runs_as_published_count_and_the_longest_is_told(tool: ModuleType, tmp_path: Path) -> None:
    name = "ch04_1_block_parameters"
    for seed, seconds, words in ((123, 2.0, []), (124, 300.0, []), (125, 9000.0, ["model.emb_dim=768", "classes=2"])):
        config = compose.compose([f"experiment={name}", f"seed={seed}", *words])
        folder = write_run(
            *(tmp_path, name, seed),
            config=plain(config),
            task="count",
            fingerprint=fingerprint(config),
            metrics={"peak_memory_bytes": 3 * 2**30},
            seconds=seconds,
        )
        (folder / "checkpoint").write_bytes(b"0" * 5000)
    [cost] = tool.measured([tmp_path], "a machine")
    assert (cost.runs, cost.seconds, cost.most_seconds, cost.memory) == (2, 151.0, 300.0, 3 * 2**30)
    assert 5000 < cost.disk < 9000 and cost.in_short == "3 min (at most 5 min), 3.0 GiB"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "under 1 s"), (99.0, "99 s"), (100.0, "2 min"), (2619.0, "44 min"), (7000.0, "117 min")],
)
def test_a_time_is_told_in_the_unit_of_a_plan(seconds: float, words: str) -> None:
    assert resources.minutes(seconds) == words


def test_the_table_reads_back_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "place", lambda: tmp_path / "table.csv")
    cost = Cost("one", "2 cores, 24 GB", "cpu", 3, 1.5, 2.5, 1000, 10)
    resources.write([cost])
    resources.read.cache_clear()
    try:
        assert resources.read() == {"one": cost}
    finally:
        resources.read.cache_clear()
