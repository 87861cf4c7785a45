"""The pages that the command shows about itself, and what it does not load to answer."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import command

from scratchlab import __version__
from scratchlab.book import experiments
from scratchlab.cli import help, keys
from scratchlab.launch.options import groups, options
from scratchlab.runs.registry import TASKS

ROW_1 = "experiment=ch06_row01_baseline"
SLOW = {"torch", "pandas", "numpy", "rich", "wandb", "tensorflow", "matplotlib", "scipy", "transformers", "tiktoken"}


def loaded(code: str, *words: str) -> tuple[set[str], str]:
    """The modules that a fresh Python has loaded after `code`, and what it printed."""
    report = "\nimport json, sys\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code + report, *words], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1])), done.stdout


MAIN = "from scratchlab.__main__ import main\ntry:\n    main()\nexcept SystemExit as end:\n    assert not end.code"


def test_help_is_answered_without_hydra_or_anything_slow() -> None:
    modules, shown = loaded("from scratchlab.cli import help\nprint(help.page(['--help']))")
    assert not ({"hydra", "omegaconf"} | SLOW) & modules
    assert not [name for name in modules if name.startswith("scratchlab.tasks.")]
    assert "ch06_row01_baseline" in shown


def test_the_command_s_help_composes_nothing_and_imports_nothing_slow() -> None:
    modules, shown = loaded(MAIN, "--help")
    assert not ({"scratchlab.launch.compose"} | SLOW) & modules
    assert not [name for name in modules if name.startswith("scratchlab.tasks.")]
    assert shown.rstrip("\n") == help.page(["--help"])


def test_what_would_run_is_composed_from_one_task_and_one_experiment() -> None:
    modules, shown = loaded(MAIN, ROW_1, "--cfg", "job")
    assert "pad_to: longest" in shown
    assert {name for name in modules if name.startswith("scratchlab.tasks.")} == {"scratchlab.tasks.classify"}
    assert not SLOW & modules


def test_only_the_experiment_that_is_composed_is_read(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "broken.yaml").write_text("[no experiment")
    assert command(ROW_1, "--cfg", "job", cwd=tmp_path).returncode == 0
    broken = command("experiment=broken", "--cfg", "job", cwd=tmp_path)
    assert broken.returncode == 1 and "broken.yaml is no YAML" in broken.stderr


@pytest.mark.parametrize(
    ("swept", "names"),
    [
        ("ch03_2_two_heads,chA_3_parameters", ["ch03_2_two_heads", "chA_3_parameters"]),
        ("glob(chA_*)", ["chA_3_parameters", "chA_4_matmul"]),
    ],
)
def test_a_sweep_over_experiments_of_several_tasks_runs_each(swept: str, names: list[str], tmp_path: Path) -> None:
    done = command("-m", f"experiment={swept}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.parent.parent.name for path in tmp_path.glob("outputs/*/*/result.json")) == names


def test_help_names_every_group_option_and_task_and_fits_a_screen() -> None:
    shown = help.page(["--help"])
    assert shown is not None
    words = set(shown.replace(",", " ").split())
    assert set(TASKS) <= words
    for group in groups():
        assert group == "experiment" or set(options(group)) <= words, group
    assert str(len(experiments.paths())) in words
    lines = shown.splitlines()
    assert len(lines) <= 65 and max(map(len, lines)) <= help.WIDTH + 10


@pytest.mark.parametrize("task", TASKS)
def test_the_page_of_a_task_shows_all_its_keys_with_what_they_take(task: str) -> None:
    shown = help.page([f"task={task}", "--help"])
    assert shown is not None
    for key, _ in keys.kinds(TASKS[task].schema()):
        assert f"\n  {key}=" in shown or key == "claims", key


def test_the_page_of_an_experiment_shows_composed_values_possible_ones_and_the_text_under_the_field() -> None:
    shown = help.page(["experiment=ch07_main", "train.epochs=3", "--help"])
    assert shown is not None
    text = " ".join(shown.split())
    assert shown.startswith("experiment=ch07_main: Chapter 7")
    assert "train.epochs=3 (a whole number)" in text
    assert "sampling.top_k=null (a whole number or null) How many of the likeliest tokens" in text
    assert "tune.lora_scaling=alpha (alpha, alpha_over_rank)" in text
    assert "model=gpt2_medium gpt2_large gpt2_small" in text


def test_what_must_be_given_is_marked_and_a_mistake_is_an_error_as_in_a_run(tmp_path: Path) -> None:
    assert "responses=???" in (help.page(["task=judge", "-h"]) or "")
    wrong = command(ROW_1, "train.epoch=3", "--help", cwd=tmp_path)
    assert wrong.returncode == 1 and "nearest: epochs" in wrong.stderr


def test_piped_help_is_plain_text_and_leaves_nothing_behind(tmp_path: Path) -> None:
    for words in (("--help",), (ROW_1, "--help")):
        done = command(*words, cwd=tmp_path)
        assert done.returncode == 0 and done.stdout.isascii() and "\x1b" not in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_version_is_ours_and_hydra_s_own_help_and_info_still_answer(tmp_path: Path) -> None:
    assert command("--version", cwd=tmp_path).stdout == f"scratchlab {__version__}\n"
    assert "--multirun" in command("--hydra-help", cwd=tmp_path).stdout
    defaults = command("task=list", "--info", "defaults", cwd=tmp_path)
    assert defaults.returncode == 0 and "schema/list" in defaults.stdout


def test_a_command_without_a_question_about_itself_has_no_page() -> None:
    assert help.page([ROW_1, "seed=1", "--cfg", "job"]) is None


@dataclass(kw_only=True)
class Inner:
    size: int = 1
    """How large it is,
    on two lines."""
    plain: int | str = 2


@dataclass(kw_only=True)
class Base:
    name: str
    """What it is called."""


@dataclass(kw_only=True)
class Outer(Base):
    inner: Inner = field(default_factory=Inner)
    words: list[str] = field(default_factory=list)


def test_texts_under_fields_are_found_in_base_classes_and_inner_ones() -> None:
    assert keys.documentation(Outer) == {
        "name": "What it is called.",
        "inner.size": "How large it is, on two lines.",
    }
    assert {key: keys.possible(kind) for key, kind in keys.kinds(Outer)} == {
        "name": "text",
        "inner.size": "a whole number",
        "inner.plain": "a word or a whole number",
        "words": "list: text",
    }


def test_a_reader_that_has_seen_enough_ends_the_page_without_a_traceback() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "scratchlab", "task=classify", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.wait()
