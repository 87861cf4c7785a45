"""Findings that were published of one model and are asked of another: an answer, and never a verdict on the book."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from synthetic import write_run

from scratchlab.__main__ import run
from scratchlab.book import claims, experiments
from scratchlab.evidence import bundle
from scratchlab.evidence.verdicts import Answer, Verdict
from scratchlab.evidence.verify import verify
from scratchlab.report import verdicts as tables
from scratchlab.tasks.coverage import Coverage
from scratchlab.tasks.report import Report
from scratchlab.tasks.reproduce import Reproduce

SEEDS = (123, 124, 125, 126)
EXPERIMENTS = experiments.read_all()
FINDINGS = [stated for stated in claims.of(EXPERIMENTS.values()) if stated.claim.is_finding]


def finding(direction: str, **more: Any) -> dict[str, Any]:
    words = {"asks": "ch06_3_first_token", "asks_versus": "ch06_row01_baseline", "quote": "worse", "source": "made up"}
    return {"metric": "test_accuracy", "kind": "finding", "versus": "base", "direction": direction} | words | more


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A baseline at 95%, and arms ten points below: of one it was asked whether it is lower, of another higher."""
    for seed in SEEDS:
        write_run(tmp_path, "base", seed, 0.95)
        for name, direction in (("lower", "lower"), ("higher", "higher")):
            write_run(tmp_path, name, seed, 0.85, claims=[finding(direction)])
    return tmp_path


def reproduce(out: Path, **options: Any) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    result = run(Reproduce(name="reproduce", out=str(out), **options))
    files = {stem: Path(result["folder"]) / f"{stem}.json" for stem in ("verdicts", "findings")}
    return result["metrics"], {stem: json.loads(path.read_text()) for stem, path in files.items() if path.exists()}


def test_a_finding_has_an_answer_in_a_table_of_its_own_and_counts_for_nothing_else(out: Path) -> None:
    metrics, rows = reproduce(out, select="base,lower,higher")
    assert {row["experiment"]: row["verdict"] for row in rows["findings"]} == {
        "lower": "HOLDS",
        "higher": "DOES_NOT_HOLD",
    }
    assert rows["verdicts"] == [] and metrics["claims"] == 0
    assert (metrics["findings"], metrics["HOLDS"], metrics["DOES_NOT_HOLD"]) == (2, 1, 1)
    assert not any(metrics[verdict.name] for verdict in Verdict) and metrics["tested"] == 0
    assert Reproduce(name="reproduce").exit_code(metrics) == 0


def test_the_same_runs_held_against_a_claim_of_the_same_words_do_count(tmp_path: Path) -> None:
    words = {key: value for key, value in finding("higher").items() if not key.startswith("asks")}
    for seed in SEEDS:
        write_run(tmp_path, "base", seed, 0.95)
        write_run(tmp_path, "arm", seed, 0.85, claims=[words | {"kind": "relation"}])
    metrics, rows = reproduce(tmp_path, select="base,arm")
    assert metrics["NOT_REPRODUCED"] == 1 and "findings" not in rows
    assert Reproduce(name="reproduce").exit_code(metrics) == 1


def test_findings_that_have_not_run_are_no_claims_that_have_not_run(tmp_path: Path) -> None:
    metrics, rows = reproduce(tmp_path, select="smol_ch06_*")
    assert metrics["NOT_RUN"] == metrics["claims"] == 0
    assert len(rows["findings"]) == metrics["findings"] > 10
    assert {row["verdict"] for row in rows["findings"]} == {"NOT_RUN"}
    assert "it needs SmolLM2 weights" in rows["findings"][0]["reason"]
    assert all(re.search(" findings?: ", line) for line in tables.not_run(rows["findings"]))


def test_no_verdict_is_an_answer_and_every_verdict_has_one() -> None:
    assert {answer.value for answer in Answer} == set(Verdict)
    assert not {"REPRODUCED", "NOT_REPRODUCED"} & {answer.name for answer in Answer}


def test_the_coverage_of_the_appendix_knows_no_finding(out: Path) -> None:
    def lines(select: str) -> str:
        result = run(Coverage(name="coverage", out=str(out), select=select, force=True))
        return (Path(result["folder"]) / "coverage.json").read_text()

    assert lines("*") == lines("ch*")
    assert not any(EXPERIMENTS[stated.experiment].exercise for stated in FINDINGS)


def test_the_page_has_a_section_for_findings_where_there_are_any(out: Path) -> None:
    def page(select: str) -> str:
        result = run(Report(name="report", out=str(out), select=select))
        return (Path(result["folder"]) / "report.html").read_text()

    with_findings = page("base,lower,higher")
    section = with_findings[with_findings.index('id="findings"') : with_findings.index('id="compare-classify"')]
    assert section.count("DOES_NOT_HOLD</span>") == 2 and "ch06_3_first_token against ch06_row01_baseline" in section
    assert "-10.00 points" in section and "REPRODUCED" not in section
    assert 'id="findings"' not in page("base")


def test_a_bundle_holds_findings_and_they_are_computed_again(out: Path, tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    found = bundle.pack(out, {}, path, select="lower", seeds=[], baseline="")
    assert [row["verdict"] for row in found.verdicts] == ["HOLDS"]
    assert verify(path, {}) == []


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (finding("lower", asks=""), "a finding needs all three"),
        (finding("lower", quote=""), "a finding needs all three"),
        (finding("lower", value=0.75), "a number of one model is none of another's"),
        (finding("none"), "it needs versus=EXPERIMENT and direction"),
        (finding("lower", kind="relation"), "only a finding asks again"),
    ],
)
def test_a_finding_says_of_whom_it_was_published_and_nothing_else_does(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        claims.parse(entry, "here")


def test_shipped_findings_ask_one_model_what_was_published_of_another() -> None:
    assert len(FINDINGS) > 10
    for stated in FINDINGS:
        here, versus = EXPERIMENTS[stated.experiment], EXPERIMENTS[stated.claim.versus]
        there = [EXPERIMENTS[name] for name in (stated.claim.asks, stated.claim.asks_versus)]
        assert here.defaults["model"] == versus.defaults["model"]
        assert all("model" not in one.defaults and one.claims for one in there)
        assert all(claim["kind"] != "finding" for one in there for claim in one.claims)
        # what differs between the two runs is what differed between the published two
        settings = [_settings(here, versus), _settings(*there)]
        assert settings[0] == settings[1], stated.label


def _settings(one: experiments.Experiment, other: experiments.Experiment) -> set[tuple[str, str]]:
    return {(k, str(v)) for k, v in one.differences.items()} ^ {(k, str(v)) for k, v in other.differences.items()}
