"""`import scratchlab`: the command line's words from Python, lazily and typed."""

import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import write_run

import scratchlab
from scratchlab.runs.record import read_result

TINY = ["experiment=ch02_1_unknown_words"]


def test_importing_it_loads_nothing_heavy_and_dir_shows_what_is_offered() -> None:
    code = """
import sys, scratchlab
heavy = {"torch", "hydra", "pandas", "numpy", "omegaconf"} & set(sys.modules)
assert not heavy, heavy
assert {"compose", "run", "read", "compare", "reproduce", "record"} <= set(dir(scratchlab))
assert callable(scratchlab.read)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_name_that_is_not_offered_is_told_with_those_that_are() -> None:
    with pytest.raises(AttributeError, match="no 'sweep'.*compare, compose, read"):
        scratchlab.sweep  # noqa: B018


def test_the_package_says_that_it_is_typed() -> None:
    assert Path(scratchlab.__file__).with_name("py.typed").is_file()


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_may_be_text_or_a_path_everywhere(kind: type, tmp_path: Path) -> None:
    out = kind(tmp_path)
    for name, right in (("one", 285), ("two", 270)):
        for seed in (1, 2, 3):
            write_run(tmp_path, name, seed, (right + seed) / 300)
    assert len(scratchlab.read(out)) == 6
    assert scratchlab.compare(out).table["name"].tolist() == ["one", "two"]
    assert scratchlab.reproduce(out, "one").empty
    assert scratchlab.compose("experiment=ch02_2_stride_2", out=out).out == str(out)


def test_a_run_is_recorded_as_the_command_line_records_it(tmp_path: Path) -> None:
    words = ["task=count", "model=gpt2_tiny", "model.n_layers=2"]
    first = scratchlab.run(*words, out=tmp_path)
    result = read_result(first.folder)
    assert result is not None and first.done
    assert result["choices"] == {"model": "gpt2_tiny", "model.n_layers": "2"}
    assert result["changes"]["model.n_layers"] == 2
    again = scratchlab.run(scratchlab.compose(*words, out=tmp_path))
    assert (again.folder, again.started) == (first.folder, first.started)


def test_a_changed_experiment_that_is_run_as_a_configuration_is_no_published_run(tmp_path: Path) -> None:
    config = scratchlab.compose("experiment=ch04_1_block_parameters", "model.emb_dim=24", out=tmp_path)
    assert scratchlab.run(config).changes == {"model.emb_dim": 24}


@pytest.mark.parametrize(
    ("words", "keys", "message"),
    [
        (["experiment=quickstar"], {}, "nearest: quickstart"),
        (["experiment=quickstart", "train.learning_rate=1"], {}, "nearest: lr"),
        (["experiment=quickstart"], {"seed": "x"}, "seed"),
        (["experiment=quickstart"], {"position": "end"}, "position.*possible|position takes"),
        (["experiment=quickstart"], {"seed": {1}}, "possible: text, a path"),
    ],
)
def test_a_mistake_says_what_is_possible(words: list[str], keys: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scratchlab.compose(*words, **keys)


@pytest.mark.parametrize("text", ["a b", "12", "true", "it's", "a,b", "x=y", "ä/ö"])
def test_text_of_any_kind_reaches_its_key_whole(text: str) -> None:
    assert scratchlab.compose("task=count", out=text).out == text


def test_arms_of_two_tasks_are_not_compared_with_each_other(tmp_path: Path) -> None:
    write_run(tmp_path, "one", 1, 0.9)
    write_run(tmp_path, "two", 1, 0.8, task="instruct")
    with pytest.raises(ValueError, match="runs of classify, instruct; possible: task='classify'"):
        scratchlab.compare(tmp_path)
    with pytest.raises(ValueError, match="1 arms"):
        scratchlab.compare(tmp_path, task="classify")


def test_what_is_neither_overrides_nor_one_configuration_is_refused() -> None:
    config = scratchlab.compose(*TINY)
    with pytest.raises(ValueError, match="possible: overrides"):
        scratchlab.run(config, seed=124)
    with pytest.raises(ValueError, match="leaves no record"):
        scratchlab.run("task=list")
