"""Checks of the published claims themselves, on those of this repository and on made-up ones."""

from pathlib import Path
from typing import Any

import pytest

from scratchlab.book import claims, experiments, lint, printed, prose


def made_up(claims: list[dict[str, Any]], name: str = "made_up") -> experiments.Experiment:
    return experiments.Experiment(name, Path(f"{name}.yaml"), {"defaults": [], "claims": claims})


def rules(*made: experiments.Experiment) -> list[str]:
    found = lint.check({experiment.name: experiment for experiment in made}, printed.Printed())
    return [finding.rule for finding in found]


def test_row_8s_impossible_percentage_is_found() -> None:
    found = [f for f in lint.check(experiments.read_all()) if f.rule == "unattainable"]
    assert [(f.experiment, f.metric) for f in found] == [("ch06_row08_xl", "val_accuracy")]
    assert "99.81%" in found[0].text and "99.33%" in found[0].text and "train_accuracy" in found[0].text


def test_the_baselines_of_another_split_are_found() -> None:
    found = [f for f in lint.check(experiments.read_all()) if f.rule == "mixed_baseline" and "95.67%" in f.text]
    assert {f.experiment for f in found} == {"ch06_1_pad_to_context", "ch06_2_whole_model", "ch06_3_first_token"}
    assert all("95.00%" in f.text and "ch06_main" in f.text for f in found)
    assert any("+1.67 points, not +1.00" in f.text for f in found)


def test_the_row_that_repeats_another_is_found() -> None:
    found = [f for f in lint.check(experiments.read_all()) if f.rule == "copied"]
    assert [f.experiment for f in found] == ["ch06_row18_ignore_index"] and "ch06_row01_baseline" in found[0].text


def test_duplicates_conflicts_and_unknown_experiments_are_found() -> None:
    score = {"metric": "test_accuracy", "kind": "score", "source": "s", "n": 300}
    assert rules(made_up([score | {"value": 0.95}, score | {"value": 0.95}])) == ["duplicate"]
    assert rules(made_up([score | {"value": 0.95}, score | {"value": 0.96}])) == ["conflict"]
    relation = {"metric": "test_accuracy", "kind": "relation", "source": "s", "versus": "base"}
    base = made_up([score | {"value": 0.95}], "base")
    assert rules(base, made_up([score | {"value": 0.97}, relation | {"direction": "lower"}])) == ["conflict"]
    assert rules(made_up([relation | {"direction": "lower"}])) == ["unknown_experiment"]
    hits = {"metric": "word_count", "kind": "count", "value": 80, "n": 1000, "probability": 0.043, "source": "s"}
    assert rules(made_up([hits])) == ["unlikely_count"]


# prose, tables, logs and commands


def all_slips() -> set[tuple[str, str, str]]:
    found = lint.check(experiments.read_all())
    return {(f.rule, f.experiment, f.metric) for f in found if f.rule in ("sentence", "table_against_log", "command")}


def test_of_all_that_was_printed_only_what_is_wrong_is_found() -> None:
    assert all_slips() == {
        ("sentence", "ch06_row10_random", "test_accuracy"),
        ("sentence", "ch06_row11_lora", "test_accuracy"),
        ("sentence", "ch06_row11_lora", "train_accuracy"),
        ("sentence", "ch07_2_masking", "judge_score"),
        ("sentence", "ch07_main", "judge_score"),
        ("sentence", "ch05_main", "loss"),
        ("sentence", "ch05_1_pizza", "temperature"),
        ("sentence", "ch02_bonus_bpe", "tokens"),
        ("table_against_log", "355M RoBERTa", "test_accuracy"),
        ("table_against_log", "304M DeBERTa-v3", "test_accuracy"),
        ("command", "ch06_row09_xl_whole", ""),
        ("command", "ch06_3_first_token", ""),
    }
    assert len(printed.read().sentences) > 25 and [len(script.commands) for script in printed.read().scripts] == [20]


def test_the_findings_say_what_the_cells_have() -> None:
    texts = {(f.experiment, f.metric): f.text for f in lint.check(experiments.read_all()) if f.rule == "sentence"}
    assert "1.33 and 3.00 points; in the other order" in texts["ch06_row10_random", "test_accuracy"]
    assert "0.00 points (row 11: 96.67%; row 5: 96.67%)" in texts["ch06_row11_lora", "test_accuracy"]
    assert "it holds of an earlier print of row 11: 97.67%" in texts["ch06_row11_lora", "test_accuracy"]
    assert "0.30 points" in texts["ch06_row11_lora", "train_accuracy"]
    assert "earlier print of row 11: 99.52% less 97.99%" in texts["ch06_row11_lora", "train_accuracy"]
    assert "2.59 (47.73 against 50.32); 51.75, another print" in texts["ch07_2_masking", "judge_score"]
    commands = [f.text for f in lint.check(experiments.read_all()) if f.rule == "command"]
    assert "a space is missing in 'gpt2-xl (1558M)--trainable_layers'" in commands[0]
    assert "nearest: additional_experiments.py" in commands[1]


def slips(quote: str, rows: dict[Any, dict[str, Any]], **sentence: Any) -> list[str]:
    made = {"table": "t", "text": "a text", "quote": quote, "metric": "test_accuracy"} | sentence
    content = printed.parse({"tables": {"t": {"source": "a table", "rows": rows}}, "sentences": [made]})
    return [slip.text for slip in prose.check(content, [])]


@pytest.mark.parametrize(
    ("quote", "one", "other", "says"),
    [
        ("even improves the performance by 1% point", 0.9767, 0.9667, "higher"),  # of the cells it was written for
        ("only slightly worse by 1.3%", 0.9367, 0.95, "lower"),
        ("a 3.33% accuracy boost", 0.9833, 0.95, "higher"),
        ("an improvement of ~2%", 0.9667, 0.95, "higher"),
        ("better by three points", 0.98, 0.95, "higher"),
        ("about 20% worse", 0.75, 0.95, "lower"),
        ("no difference", 0.95, 0.95, "same"),
    ],
)
def test_a_sentence_is_held_against_its_cells(quote: str, one: float, other: float, says: str) -> None:
    rows = {1: {"test_accuracy": one}, 2: {"test_accuracy": other}}
    assert slips(quote, rows, pairs=[[1, 2]], says=says) == []
    turned = {"higher": "lower", "lower": "higher", "same": "higher"}[says]
    assert slips(quote, rows, pairs=[[1, 2]], says=turned) or says == "same"
    further = rows | {1: {"test_accuracy": one + (0.1 if one >= other else -0.1)}}
    assert slips(quote, further, pairs=[[1, 2]], says=says)


@pytest.mark.parametrize(
    ("quote", "one", "other", "right"),
    [
        ("17% faster", 1.50, 1.80, True),
        ("approximately 28% faster", 1.30, 1.80, True),
        ("28% faster", 1.50, 1.80, False),
        ("twice as long", 3.61, 1.80, True),
        ("almost three times longer", 0.69, 0.28, True),
        ("four times longer", 0.69, 0.28, False),
    ],
)
def test_times_are_spoken_of_in_percent_of_the_other_or_as_a_multiple(
    quote: str, one: float, other: float, right: bool
) -> None:
    rows = {1: {"train_minutes": one}, 2: {"train_minutes": other}}
    assert (slips(quote, rows, pairs=[[1, 2]], metric="train_minutes") == []) is right


def test_several_amounts_go_with_several_pairs_in_their_order() -> None:
    rows = {1: {"test_accuracy": 0.95}, 5: {"test_accuracy": 0.9667}, 10: {"test_accuracy": 0.9367}}
    pairs = [[10, 1], [10, 5]]
    assert slips("worse (by 1.3% and 3%)", rows, pairs=pairs, says="lower") == []
    assert "in the other order" in slips("worse (by 3% and 1.3%)", rows, pairs=pairs, says="lower")[0]
    assert "in the other order" not in slips("worse (by 5% and 1.3%)", rows, pairs=pairs, says="lower")[0]


def test_numbers_that_repeat_cells_are_held_to_the_digit() -> None:
    rows = {1: {"test_accuracy": 0.95, "train_minutes": 0.28}, 2: {"test_accuracy": 0.9633, "train_minutes": 0.32}}
    both = [[1, "test_accuracy"], [2, "test_accuracy"]]
    assert slips("from 95.00% to 96.33%", rows, cells=both) == []
    assert slips("from 95% to 96%", rows, cells=both) == []
    assert "says 96.67, a table has 96.33%" in slips("from 95.00% to 96.67%", rows, cells=both)[0]
    with pytest.raises(ValueError, match="2 cells are named"):
        slips("from 95.00%", rows, cells=both)


def test_a_cell_and_the_log_of_its_run_are_held_to_each_other() -> None:
    rows = {"a": {"test_accuracy": 0.9, "test_accuracy_in_log": 0.9}, "b": {"test_accuracy": 0.8}}
    content = {"tables": {"t": {"source": "a table", "rows": rows}}}
    assert list(prose.check(printed.parse(content), [])) == []
    rows["b"]["test_accuracy_in_log"] = 0.81
    (slip,) = prose.check(printed.parse(content), [])
    assert slip.text == "a table: b has 80.00% in the table and 81.00% in its log"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("python script.py --layers all --rank 8 --fast", ""),
        ("python script.py --lay all", ""),  # argparse takes what is unambiguous
        ("python script.py --layers some", "invalid choice"),
        ("python script.py --rank eight", "invalid int"),
        ("python script.py --fast yes", "unrecognized arguments: yes"),
        ("python script.py --slow", "unrecognized arguments: --slow"),
        ('python script.py --layers "all"--fast', "a space is missing in 'all--fast'"),
        ("python scripts.py", "there is no scripts.py; nearest: script.py"),
    ],
)
def test_a_command_is_parsed_as_its_script_would(line: str, said: str) -> None:
    script: dict[str, Any] = {
        "table": "t",
        "values": {"layers": ["all", "one"]},
        "numbers": ["rank"],
        "switches": ["fast"],
    }
    script["commands"] = [{"row": 1, "line": line}]
    content = {"tables": {"t": {"source": "a table", "rows": {1: {}}}}, "scripts": {"script.py": script}}
    found = list(prose.check(printed.parse(content), []))
    assert [said in slip.text for slip in found] == ([True] if said else [])


def test_what_is_printed_names_rows_experiments_and_metrics_that_are_there() -> None:
    known, stated = experiments.read_all(), claims.of(experiments.read_all().values())
    for table in printed.read().tables.values():
        assert {row["experiment"] for row in table.rows.values() if "experiment" in row} <= set(known)
    for sentence in printed.read().sentences:
        table = printed.read().tables[sentence.table]
        cells = sentence.cells or [[row, sentence.metric] for pair in sentence.pairs for row in pair]
        assert cells, sentence.text
        for row, name in cells:
            assert table.cell(row, name, stated) is not None, f"{sentence.text}: {row} {name}"
