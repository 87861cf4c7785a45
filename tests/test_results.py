"""The results in the repository: every bundle is consistent, and every page says what its bundle says."""

import json
import re
import zipfile
from pathlib import Path

import pytest

import results
from scratchlab.launch import compose
from scratchlab.launch.execute import run

NAMES = sorted(path.parent.name for path in results.RESULTS.glob(f"*/{results.BUNDLE}"))


def test_there_are_results_and_each_is_known() -> None:
    assert NAMES == sorted(results.SELECT)


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_of_results_is_consistent(name: str, tmp_path: Path) -> None:
    bundle = results.RESULTS / name / results.BUNDLE
    verified = run(compose.compose(["task=verify", f"bundle={bundle}", f"out={tmp_path}"]))
    assert verified["metrics"]["differences"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_the_pages_of_results_say_what_the_bundle_says(name: str, tmp_path: Path) -> None:
    place = results.RESULTS / name
    made = results.pages(place / results.BUNDLE, name, tmp_path)
    assert {path.name for path in place.iterdir()} == {results.BUNDLE, *made}
    for file, text in made.items():
        assert (place / file).read_text(encoding="utf-8") == text, (
            f"make it anew: python tests/results.py {name} OUTPUTS"
        )


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_of_results_holds_no_data_no_weights_and_no_place_of_a_machine(name: str) -> None:
    with zipfile.ZipFile(results.RESULTS / name / results.BUNDLE) as packed:
        for member in packed.namelist():
            assert Path(member).suffix in (".json", ".yaml", ".jsonl", ".csv"), member
            assert not re.search(r"/(root|home|tmp|work)/", packed.read(member).decode()), member


@pytest.mark.parametrize("page", ["README.md", "results/README.md"])
def test_accuracies_told_on_a_page_are_those_of_the_bundle(page: str) -> None:
    """Lines of the form `| NAME | MEAN ± SD | ...`, by the name of an experiment."""
    text = (results.RESULTS.parent / page).read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(smol_\w+)` \| .*?(\d+\.\d\d ± \d+\.\d\d)", text, flags=re.MULTILINE))
    table = (results.RESULTS / "smol_ch06" / "table.md").read_text(encoding="utf-8")
    measured = dict(re.findall(r"^\| (smol_\w+).*?(\d+\.\d\d ± \d+\.\d\d)", table, flags=re.MULTILINE))
    assert told == measured


def test_every_run_of_a_bundle_is_done() -> None:
    for name in NAMES:
        with zipfile.ZipFile(results.RESULTS / name / results.BUNDLE) as packed:
            done = [json.loads(packed.read(m))["status"] for m in packed.namelist() if m.endswith("result.json")]
        assert done and set(done) == {"done"}


def test_what_reproduces_is_told_on_the_readme_as_the_bundle_has_it() -> None:
    page = (results.RESULTS.parent / "README.md").read_text(encoding="utf-8")
    told = page.partition("### What reproduces here")[2].partition("\n### ")[0].partition("\n## ")[0]
    table = (results.RESULTS / "numbers" / "experiments.md").read_text(encoding="utf-8").partition("\n\n")[2]
    assert table.strip() in told
    claims = [int(count) for count in re.findall(r"^\| ch\w+ \| (\d+) \|", table, flags=re.MULTILINE)]
    assert f"{sum(claims)} claims" in " ".join(told.split()) and f"of {len(claims)} experiments" in " ".join(
        told.split()
    )
