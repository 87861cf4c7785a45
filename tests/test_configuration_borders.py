"""What a record's configuration is when it is typed again: by hand, on the small configurations of two tasks."""

from pathlib import Path
from typing import Any

import pytest

from scratchlab.evidence import configuration
from scratchlab.evidence.configuration import differences, misprint, typed
from scratchlab.evidence.runs import RunRecord
from scratchlab.files import dotted
from scratchlab.model.config import ModelConfig
from scratchlab.runs.config import ComputeConfig, Precision
from scratchlab.runs.identity import fingerprint, plain
from scratchlab.tasks.count import Count
from scratchlab.tasks.tokenize import Tokenize

TEXT = Tokenize(name="mine", text="one")
MODEL = Count(name="mine", model=ModelConfig())


def record(nested: dict[str, Any], task: str = "tokenize", **more: Any) -> RunRecord:
    fields: dict[str, Any] = {"folder": Path("nowhere"), "name": "mine", "seed": 123, "status": "done"}
    return RunRecord(**(fields | {"task": task, "nested": nested, "config": dotted(nested)} | more))


def without(nested: dict[str, Any], *keys: str) -> dict[str, Any]:
    """A copy without some of its keys, dotted."""
    found = {key: dict(value) if isinstance(value, dict) else value for key, value in nested.items()}
    for key in keys:
        *parents, last = key.split(".")
        inner = found
        for parent in parents:
            inner = inner[parent]
        del inner[last]
    return found


def refused(nested: dict[str, Any], task: str = "tokenize") -> str:
    run = record(nested, task)
    with pytest.raises(ValueError) as first:
        typed(run)
    with pytest.raises(ValueError) as second:  # as it was kept
        typed(run)
    assert str(first.value) == str(second.value)
    return str(first.value)


@pytest.mark.parametrize(("config", "task"), [(TEXT, "tokenize"), (MODEL, "count")])
def test_a_configuration_comes_back_as_it_was_with_or_without_what_came_later(config: Any, task: str) -> None:
    nested = plain(config)
    again = typed(record(nested, task))
    assert type(again) is type(config) and again == config and fingerprint(again) == fingerprint(config)
    older = without(nested, "debug", *(("tune", "classes", "model.ff_dim") if task == "count" else ()))
    assert fingerprint(typed(record(older, task))) == fingerprint(config)
    # bookkeeping may be missing too, and what is typed once is kept
    run = record(without(nested, "exercise", "tracking"), task)
    assert fingerprint(typed(run)) == fingerprint(config) and typed(run) is typed(run)


def test_a_claim_in_a_configuration_is_not_typed() -> None:
    again = typed(record(plain(TEXT) | {"claims": [{"anything": 1}]}))
    assert again.claims == []


def test_what_looks_like_a_reference_is_text() -> None:
    assert typed(record(plain(TEXT) | {"text": "${seed} ${oc.env:HOME}"})).text == "${seed} ${oc.env:HOME}"  # type: ignore[attr-defined]


def test_a_configuration_that_says_too_little_names_the_first_three_keys_that_it_lacks() -> None:
    nested, parts = plain(TEXT), [f"compute.{key}" for key in ("device", "precision", "compile")]
    assert refused(without(nested, "text")) == "it lacks text"
    assert refused(without(nested, *parts)) == "it lacks compute.device, compute.precision, compute.compile"
    lacking = refused(without(nested, *parts, "seed"))
    assert lacking == "it lacks seed, compute.device, compute.precision and 1 more"
    lacking = refused(without(nested, "compute", "seed", "text"))
    assert lacking == "it lacks seed, compute.device, compute.precision and 2 more"
    assert refused(nested | {"compute": None}).startswith("it does not fit task=tokenize: ")


def test_a_configuration_of_another_kind_is_refused() -> None:
    nested = plain(TEXT)
    assert refused(nested, "no_such") == "there is no task 'no_such'"
    assert refused(nested | {"zebra": 1, "apple": 2}) == "task=tokenize has no apple, zebra"
    long = refused(nested | {"seed": "x" * 300})
    assert long.startswith("it does not fit task=tokenize: ") and "\n" not in long
    assert len(long) == len("it does not fit task=tokenize: ") + 160


@pytest.mark.parametrize(
    ("key", "there"),
    [("a", True), ("a.b", True), ("a.c", False), ("d", False), ("e.f", False), ("a.b.g", False), ("e", True)],
)
def test_a_key_is_there_if_each_part_of_it_is(key: str, there: bool) -> None:
    assert configuration._there({"a": {"b": None}, "e": 1}, key) is there


def test_a_fingerprint_is_that_of_the_configuration() -> None:
    nested, mark = plain(TEXT), fingerprint(TEXT)
    assert misprint(record(nested, fingerprint=mark)) == ""
    wrong = f"its fingerprint is {'0' * 12}, its config.yaml gives {mark}"
    assert misprint(record(nested, fingerprint="0" * 12)) == wrong
    assert misprint(record(nested, fingerprint="0" * 12, missing=("fingerprint",))) == ""
    assert misprint(record(nested, fingerprint="0" * 12, missing=("device",))) == wrong
    # nothing can be told of a configuration that is not there, or does not fit
    assert misprint(record({}, fingerprint="0" * 12)) == ""
    assert misprint(record(nested | {"zebra": 1}, fingerprint="0" * 12)) == ""


def test_a_fingerprint_is_computed_with_the_revision_of_its_time() -> None:
    nested, mark = plain(TEXT), fingerprint(TEXT)
    assert misprint(record(nested, fingerprint=mark, revision=TEXT.revision)) == ""
    later = misprint(record(nested, fingerprint=mark, revision=7))
    assert later.startswith(f"its fingerprint is {mark}, its config.yaml gives ") and not later.endswith(mark)
    assert Tokenize.revision == TEXT.revision != 7


def test_what_acts_otherwise_than_published_is_told_and_the_seed_is_not() -> None:
    published = {"text": "one", "seed": 1, "compute.device": "auto", "compute.precision": "float32"}
    published |= {"compute.compile": False}

    def told(config: Tokenize, **more: Any) -> dict[str, Any]:
        return differences(record(plain(config)), published | more)

    assert told(TEXT) == told(Tokenize(name="other", seed=5, text="one")) == {}
    assert told(Tokenize(name="mine", text="two")) == {"text": "two"}
    precise = Tokenize(name="mine", text="two", compute=ComputeConfig(precision=Precision.bfloat16))
    assert told(precise) == {"text": "two", "compute.precision": "bfloat16"}
    assert told(TEXT, debug="tiny") == {"debug": None}  # published, and not so here
    assert told(TEXT, **{"compute.compile": 0}) == {"compute.compile": False}
    with pytest.raises(ValueError, match="has no zebra"):
        differences(record(plain(TEXT) | {"zebra": 1}), published)


def test_a_number_is_no_flag_and_equal_numbers_are_one() -> None:
    assert configuration._same(1, 1.0) and configuration._same(None, None) and configuration._same(True, True)
    assert not configuration._same(True, 1) and not configuration._same(0, False) and not configuration._same(1, 2)
