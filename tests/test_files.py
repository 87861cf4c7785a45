"""JSON that every reader can read, and mappings laid flat."""

import json
import math
from pathlib import Path

from synthetic import write_run

from scratchlab.evidence import goldens
from scratchlab.evidence.runs import read_runs
from scratchlab.files import as_json, dotted, to_json, with_numbers


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def test_numbers_that_json_does_not_know_come_back_as_they_were() -> None:
    values = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 0.5, "e": "text", "f": [1, 2]}
    found = with_numbers(json.loads(to_json(values), parse_constant=refuse))
    assert math.isnan(found.pop("a")) and found == {k: v for k, v in values.items() if k != "a"}


def test_records_and_tables_write_them_in_the_same_way() -> None:
    data = [{"interval": (-math.inf, math.nan)}]
    assert json.loads(as_json(data), parse_constant=refuse) == [{"interval": ["-inf", "nan"]}]
    assert json.loads(as_json(data)) == json.loads(to_json(data))


def test_nested_mappings_become_dotted_keys_but_for_those_that_stay_whole() -> None:
    nested = {"a": {"b": 1, "c": {"d": [2]}}, "e": {"f": 3}}
    assert dotted(nested) == {"a.b": 1, "a.c.d": [2], "e.f": 3}
    assert dotted(nested, keep=("a.c", "e")) == {"a.b": 1, "a.c": {"d": [2]}, "e": {"f": 3}}


def test_a_golden_that_is_no_finite_number_is_met_by_itself_alone(tmp_path: Path) -> None:
    write_run(tmp_path / "out", "a", 123, metrics={"train_loss": "nan"})
    goldens.record(tmp_path / "store", read_runs(tmp_path / "out"), reason="first", date="2026-01-01")
    assert goldens.check(tmp_path / "store", read_runs(tmp_path / "out")) == (1, [])
    write_run(tmp_path / "other", "a", 123, metrics={"train_loss": 0.5})
    _, found = goldens.check(tmp_path / "store", read_runs(tmp_path / "other"))
    assert [difference.metric for difference in found] == ["train_loss"]
