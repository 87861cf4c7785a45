"""Composition: what is wrong is said before anything starts, and what can be set is read."""

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import command
from test_house import SOURCE

from scratchlab.__main__ import main
from scratchlab.cli import mistakes
from scratchlab.launch import compose
from scratchlab.launch.options import options
from scratchlab.runs.config import Run
from scratchlab.runs.identity import changes, fingerprint
from scratchlab.runs.registry import TASKS

ROW_1 = "experiment=ch06_row01_baseline"

MISTAKES = [
    # (command line, what the message must say)
    ("task=classfy", ["task=classfy", "possible:", "nearest: classify"]),
    ("experiment=ch06_row1_baseline", ["no such experiment", "task=list", "nearest: ch06_row01_baseline"]),
    (f"{ROW_1} model=gpt2_smal", ["model=gpt2_smal", "gpt2_medium", "nearest: gpt2_small"]),
    (f"{ROW_1} tune=last_blok", ["tune=last_blok", "last_two_blocks", "nearest: last_block"]),
    (f"{ROW_1} modl=gpt2_small", ["no key 'modl'", "possible:", "nearest: model"]),
    (f"{ROW_1} train.learning_rate=1e-4", ["no key 'train.learning_rate'", "weight_decay", "nearest: lr"]),
    (f"{ROW_1} +train.learning_rate=1e-4", ["no key 'train.learning_rate'", "nearest: lr"]),
    (f"{ROW_1} train.epoch=3", ["no key 'train.epoch'", "nearest: epochs"]),
    (f"{ROW_1} lr=1e-4", ["no key 'lr'", "nearest: train.lr"]),
    ("task=list tracking=wandb", ["tracking=", "task=list does not choose from tracking"]),
    ("task=reproduce model=gpt2_xl", ["model=", "task=reproduce does not choose from model, nor from any other group"]),
    (f"{ROW_1} +nonsense=1", ["no key 'nonsense'", "possible:", "seed"]),
    (f"{ROW_1} foo.bar=1", ["foo.bar=1", "no key 'foo'"]),
    (f"{ROW_1} train.epochs=twelve", ["train.epochs=twelve", "a whole number"]),
    (f"{ROW_1} seed=1.5", ["seed=1.5", "a whole number"]),
    (f"{ROW_1} model.causal=maybe", ["model.causal=maybe", "true or false"]),
    (f"{ROW_1} position=lst", ["position=lst", "first, last, last_real, mean", "nearest: last"]),
    (f"{ROW_1} model=3", ["model=3", "the name of an option", "gpt2_xl"]),
    (f"{ROW_1} +model=gpt2_xl", ["chosen already", "nearest: model=OPTION"]),
    (f"{ROW_1} ~train.lr", ["~train.lr", "deletion"]),
    (f"{ROW_1} train.epochs=1,2", ["several values are a sweep", "-m"]),
    (f"{ROW_1} seed", ["'seed' is no override", "key=value"]),
    (f"{ROW_1} model.n_heads=5", ["model.n_heads=5", "does not divide model.emb_dim=768", "nearest: 4"]),
    (f"{ROW_1} data.pad_to=2000", ["data.pad_to=2000", "model.context_length=1024", "nearest: data.pad_to=1024"]),
    (f"{ROW_1} data.pad_to=longst", ["data.pad_to=longst", "longest, context, none", "nearest: longest"]),
    (f"{ROW_1} data.pad_to=none", ["train.batch_size=8", "train.batch_size=1 train.accumulate=8"]),
    (f"{ROW_1} tune.lora_rank=8", ["tune.lora_rank=8", "only tune=lora", "nearest: tune=lora tune.lora_rank=8"]),
    (f"{ROW_1} tune=lora tune.lora_rank=0", ["tune.lora_rank=0", "above 0"]),
    (f"{ROW_1} weights=random weights.path=x.pth", ["weights.path=x.pth", "weights=checkpoint"]),
    (f"{ROW_1} weights=checkpoint", ["weights=checkpoint", "weights.path=FILE"]),
    (f"{ROW_1} weights=checkpoint weights.path=no.pth", ["weights.path=no.pth", "no such file"]),
    (f"{ROW_1} model.emb_dim=96", ["no published GPT-2 weights", "124M", "weights=random"]),
    (f"{ROW_1} weights=random model.n_layers=1 tune=last_two_blocks", ["last_two_blocks", "model.n_layers=1"]),
    (f"{ROW_1} train.batch_size=0", ["train.batch_size=0", "at least 1"]),
    (f"{ROW_1} train.lr=-1", ["train.lr=-1.0", "above 0"]),
    (f"{ROW_1} model.drop_rate_emb=1.5", ["model.drop_rate_emb=1.5", "below 1"]),
    (f"{ROW_1} train.ignore_index=1", ["train.ignore_index=1", "this is a class"]),
    (f"{ROW_1} data=messages data.size=3", ["data.size=3", "at least 100"]),
    (f"{ROW_1} compute.threads=-1", ["compute.threads=-1", "0 (torch's choice)"]),
]


@pytest.mark.parametrize(("line", "said"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_a_mistake_is_named_with_what_was_given_what_is_possible_and_the_nearest(line: str, said: list[str]) -> None:
    with pytest.raises(Exception) as caught:
        compose.compose(line.split())
    message = mistakes.explain(caught.value, line.split())
    assert message is not None
    for part in said:
        assert part in message, message


def test_a_typo_in_an_experiment_file_names_the_file_and_the_nearest_key(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text(
        "defaults: [{override /task: classify}]\nmodel: {drop_rate_embd: 0.5}\n"
    )
    done = command("experiment=mine", cwd=tmp_path)
    assert done.returncode == 1
    assert "mine.yaml" in done.stderr and "nearest: drop_rate_emb" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "outputs").exists()


def test_a_mistake_ends_the_command_with_exit_code_1_no_traceback_and_no_folder(tmp_path: Path) -> None:
    done = command(ROW_1, "data.pad_to=2000", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: data.pad_to=2000")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_cfg_job_prints_the_composed_config_and_runs_nothing(tmp_path: Path) -> None:
    done = command(ROW_1, "train.epochs=2", "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "epochs: 2" in done.stdout and "pad_to: longest" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_integer_and_the_equal_float_have_one_fingerprint() -> None:
    one, same = (compose.compose(["task=classify", f"train.weight_decay={value}"]) for value in ("0", "0.0"))
    assert fingerprint(one) == fingerprint(same)


def test_the_fingerprint_leaves_out_what_cannot_change_a_number_and_nothing_else() -> None:
    plain = fingerprint(compose.compose([ROW_1]))
    for override in ("out=x", "force=true", "tracking=none", "compute.threads=1", "train.ignore_index=7", "claims=[]"):
        assert fingerprint(compose.compose([ROW_1, override])) == plain, override
    for override in ("seed=1", "train.lr=1e-3", "position=first", "data.split_seed=1", "compute.precision=bfloat16"):
        assert fingerprint(compose.compose([ROW_1, override])) != plain, override


def test_rows_1_and_18_are_the_same_run_and_the_tool_says_why() -> None:
    row_1, row_18 = compose.compose([ROW_1]), compose.compose(["experiment=ch06_row18_ignore_index"])
    assert fingerprint(row_1) == fingerprint(row_18)
    assert row_18.idle() == {"train.ignore_index": "no label has the value 50256, so it ignores no example"}


def test_changes_are_what_differs_from_the_published_experiment() -> None:
    published = compose.compose([ROW_1])
    assert changes(compose.compose([ROW_1, "seed=7", "out=elsewhere", "tracking=none"]), published) == {}
    altered = compose.compose([ROW_1, "weights=random", "train.epochs=2"])
    assert changes(altered, published) == {"weights.source": "random", "train.epochs": 2}


def test_a_run_as_published_is_not_composed_again_to_find_what_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    composed: list[list[str]] = []
    original = compose.compose
    monkeypatch.setattr(compose, "compose", lambda overrides: composed.append(overrides) or original(overrides))

    def changes_recorded(*words: str) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["scratchlab", "experiment=chA_3_parameters", f"out={tmp_path}", *words])
        main()
        results = sorted(tmp_path.glob("*/*/result.json"), key=lambda path: path.stat().st_mtime_ns)
        changed: dict[str, Any] = json.loads(results[-1].read_text())["changes"]
        return changed

    assert changes_recorded() == {} and composed == []
    assert changes_recorded("compute.compile=true") == {"compute.compile": True}
    assert composed == [["experiment=chA_3_parameters"]]


CONF = sorted(compose.CONF.rglob("*.yaml"))


@pytest.mark.parametrize("path", CONF, ids=[str(p.relative_to(compose.CONF)) for p in CONF])
def test_every_option_fits_a_task(path: Path, tmp_path: Path) -> None:
    group, option = path.parent.name, path.stem
    if group == "of_task":  # chosen by another option and the task; see test_debug.py
        preset, task = option.split("_")
        assert preset in options("debug") and task in TASKS
        return
    if path.parent == compose.CONF:
        return  # the primary file is composed by every other case
    if group == "task":
        assert option in TASKS
        text = path.read_text()
        assert f"/schema/{option}" in text, "the type must stand in the list, or nothing is checked"
        return
    users = [task for task in TASKS if f"/{group}:" in (compose.CONF / "task" / f"{task}.yaml").read_text()]
    if f"- {group}:" in (compose.CONF / f"{compose.PRIMARY}.yaml").read_text():
        users = ["list"]  # like every other task
    assert users, f"no task chooses from {group}"
    own_file = [f"data.path={__file__}"]
    own_table = tmp_path / "own.csv"
    own_table.write_text("text,label\n" + "".join(f"words {n},{n % 2}\n" for n in range(40)))
    beside = {"checkpoint": [f"weights.path={__file__}"], "text": own_file, "entries": own_file}
    beside["csv"] = [f"data.path={own_table}"]
    beside["smollm2"] = ["model=smollm2_135m"] if group == "weights" else []
    extra = beside.get(option, [])
    problems = []
    for task in users:
        line = [f"task={task}", f"{group}={option}", *extra]
        try:
            compose.compose(line)
            return
        except Exception as error:
            problems.append(mistakes.explain(error, line))
    pytest.fail(f"{group}={option} fits none of {users}: {problems}")


def test_task_modules_import_no_slow_library_at_the_top() -> None:
    slow = {"torch", "pandas", "wandb", "tensorflow", "matplotlib", "scipy", "statsmodels", "transformers"}
    paths = list((SOURCE / "tasks").glob("*.py"))
    assert len(paths) > 25
    for path in paths:
        for node in ast.parse(path.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not slow & {name.split(".")[0] for name in names}, path


@pytest.mark.parametrize("name", TASKS)
def test_the_registry_s_line_leads_to_a_configuration_of_that_name_and_a_function(name: str) -> None:
    schema = TASKS[name].schema()
    assert issubclass(schema, Run) and schema.task == name
    module = sys.modules[schema.__module__]
    assert callable(getattr(module, TASKS[name].function))
