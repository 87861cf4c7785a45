"""Chapter 6's task: the author's loop, step by step, and what a run leaves."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import GENERATED, TINY, command

from scratchlab.__main__ import run
from scratchlab.launch import compose
from scratchlab.runs import record
from scratchlab.tasks.classify import Classify

pytestmark = pytest.mark.vocabulary


def classified(tmp_path: Path, *overrides: str) -> tuple[dict[str, Any], Path]:
    result = run(compose.compose([*overrides, f"out={tmp_path}"]))
    return result, Path(result["folder"])


def losses(folder: Path, key: str) -> list[float]:
    return [line[key] for line in record.read_history(folder) if key in line]


def test_row_1_at_tiny_size_starts_as_the_published_script_does(spam_file: Path, tmp_path: Path) -> None:
    # from the script behind the table, run at this size with seed 123: first batch loss, trainable parameters
    size = ["model.emb_dim=64", "model.n_layers=3", "model.n_heads=4", "train.epochs=1", "train.eval_every=1000"]
    result, folder = classified(tmp_path, "experiment=ch06_row01_baseline", *TINY, *size)
    assert losses(folder, "batch_loss")[0] == pytest.approx(1.0205, abs=5e-5)
    assert result["metrics"]["trainable_parameters"] == 50_242
    assert result["metrics"]["padded_length"] == 120 and result["metrics"]["examples_seen"] == 1040


def test_training_is_the_author_s_training_step_by_step(tmp_path: Path) -> None:
    """The author's package has the notebook's loop; ours must make the same draws and the same losses."""
    ch04 = pytest.importorskip("llms_from_scratch.ch04", reason="the author's package is not installed")
    ch06 = pytest.importorskip("llms_from_scratch.ch06", reason="the author's package is not installed")
    overrides = ["task=classify", *TINY, *GENERATED, "train.epochs=2", "train.eval_every=5", "tune=last_two_blocks"]
    result, folder = classified(tmp_path, *overrides)
    config = compose.compose(overrides)
    assert isinstance(config, Classify)
    ours, _ = config.build()

    from scratchlab.data import spam

    encoded = spam.encode(spam.load(config.data), config.data, config.model.tokenizer, config.model.context_length)
    loaders = spam.loaders(encoded.splits, 8)
    for loader in loaders.values():
        inner = loader.collate_fn
        loader.collate_fn = lambda batch, inner=inner: inner(batch)[:2]  # the author's batches carry no index
    shape = {"vocab_size": 50257, "context_length": 64, "emb_dim": 64, "n_heads": 4, "n_layers": 3}
    torch.manual_seed(123)
    theirs = ch04.GPTModel({**shape, "drop_rate": 0.0, "qkv_bias": True})
    theirs.out_head = torch.nn.Linear(64, 2)
    theirs.load_state_dict(ours.state_dict(), strict=False)
    for parameter, like in zip(theirs.parameters(), ours.parameters(), strict=True):
        parameter.requires_grad = like.requires_grad
    torch.manual_seed(123)
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=5e-5, weight_decay=0.1)
    train, val, train_accuracy, val_accuracy, examples = ch06.train_classifier_simple(
        theirs, loaders["train"], loaders["val"], optimizer, torch.device("cpu"), num_epochs=2, eval_freq=5, eval_iter=5
    )
    assert losses(folder, "train_loss") == pytest.approx(train, abs=1e-5)
    assert losses(folder, "val_loss") == pytest.approx(val, abs=1e-5)
    assert losses(folder, "train_accuracy") == train_accuracy and losses(folder, "val_accuracy") == val_accuracy
    assert result["metrics"]["examples_seen"] == examples
    final = [ch06.calc_accuracy_loader(loaders[name], theirs, torch.device("cpu")) for name in ("train", "val", "test")]
    assert [result["metrics"][f"{name}_accuracy"] for name in ("train", "val", "test")] == final


def test_eight_batches_of_one_with_accumulation_are_one_batch_of_eight(tmp_path: Path) -> None:
    common = ["task=classify", *TINY, *GENERATED, "tune=all", "data.pad_to=32", "train.eval_every=1000"]
    whole, _ = classified(tmp_path, *common)
    parts, _ = classified(tmp_path, *common, "train.batch_size=1", "train.accumulate=8")
    # 140 training rows make 17 batches of eight, and 18 groups of one; the same first 136 rows in the same order
    assert parts["metrics"]["val_loss"] == pytest.approx(whole["metrics"]["val_loss"], abs=5e-3)


def test_a_run_leaves_predictions_that_give_its_accuracies(tmp_path: Path) -> None:
    result, folder = classified(tmp_path, "task=classify", *TINY, *GENERATED, "position=last_real")
    with (folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["split", "index", "label", "prediction", "probability"]
    for name, size in (("train", 136), ("val", 20), ("test", 40)):
        mine = [row for row in rows if row["split"] == name]
        assert len(mine) == len({row["index"] for row in mine}) == size
        right = sum(row["label"] == row["prediction"] for row in mine)
        assert right / size == pytest.approx(result["metrics"][f"{name}_accuracy"])
        assert all((float(row["probability"]) > 0.5) == (row["prediction"] == "1") for row in mine)
    for name in ("loss.png", "accuracy.png", "pace.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    assert {"data", "weights"} & set(result["hashes"]) and "train_split" in result["hashes"]


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(tmp_path: Path) -> None:
    words = ["task=classify", *TINY, *GENERATED]
    first, folder = classified(tmp_path / "a", *words)
    again, folder_again = classified(tmp_path / "b", *words)
    other, folder_other = classified(tmp_path / "c", *words, "seed=124")
    assert losses(folder, "batch_loss") == losses(folder_again, "batch_loss") != losses(folder_other, "batch_loss")
    assert other["hashes"]["test_split"] == first["hashes"]["test_split"], "the split does not follow the seed"


@pytest.mark.parametrize(
    "overrides",
    [
        ["position=first"],
        ["position=mean", "model.causal=false"],
        ["tune=lora", "tune.lora_scaling=alpha_over_rank"],
        ["tune=last_layer", "data.pad_to=context"],
        ["data.pad_to=none", "train.batch_size=1", "train.accumulate=8"],
        ["compute.precision=bfloat16", "dropout=uniform"],
    ],
    ids=" ".join,
)
def test_every_axis_runs(overrides: list[str], tmp_path: Path) -> None:
    result, folder = classified(tmp_path, "task=classify", *TINY, *GENERATED, *overrides)
    assert result["status"] == "done"
    assert all(loss == loss for loss in losses(folder, "batch_loss"))


def test_a_sweep_ends_in_a_table_of_what_differed_and_repeats_nothing(tmp_path: Path) -> None:
    words = ["-m", "task=classify", *TINY, *GENERATED, "train.ignore_index=-100,50256", "seed=1,2"]
    done = command(*words, cwd=tmp_path, COLUMNS="200")
    assert done.returncode == 0, done.stderr
    assert "mean over seeds" in done.stdout and "records:" in done.stdout
    assert len(record.folders(tmp_path / "outputs")) == 2, "an override without effect is the same run"
    again = command(*words, cwd=tmp_path, COLUMNS="200")
    assert "4 jobs, 2 different runs: 2 done; 2 copies" in again.stderr + again.stdout


def test_a_sweep_over_experiments_takes_overrides_of_their_task(tmp_path: Path) -> None:
    rows = "experiment=ch06_row01_baseline,ch06_row18_ignore_index"
    done = command("-m", rows, *TINY, *GENERATED, cwd=tmp_path, COLUMNS="200")
    assert done.returncode == 0, done.stderr
    assert len(record.folders(tmp_path / "outputs")) == 2
    assert "no effect" in done.stdout, "row 18 measures what row 1 measured, and the table says so"


def test_a_failing_job_of_a_sweep_does_not_stop_the_others_and_ends_in_exit_code_1(tmp_path: Path) -> None:
    done = command("-m", "task=classify", *TINY, *GENERATED, "model.context_length=8,64", cwd=tmp_path)
    assert done.returncode == 1
    assert "makes rows of" in done.stderr
    results = [record.read_result(folder) for folder in record.folders(tmp_path / "outputs")]
    assert sorted(result["status"] for result in results if result) == ["done", "failed"]


def test_weights_of_a_missing_source_fail_with_every_source_named(tmp_path: Path, spam_file: Path) -> None:
    done = command(
        "experiment=ch06_row01_baseline", "tracking=none", cwd=tmp_path, SCRATCHLAB_CACHE=str(tmp_path / "c")
    )
    if done.returncode == 0:
        pytest.skip("this machine reaches the GPT-2 weights")
    assert done.returncode == 1 and "could not get" in done.stderr and "put the file at" in done.stderr
