"""What frozen blocks give, kept: the same training as without, computed once whoever asks, never trusted blindly."""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import GENERATED, TINY, command

from scratchlab.__main__ import run
from scratchlab.launch import compose
from scratchlab.runs import record
from scratchlab.tasks.classify import Classify
from scratchlab.training import kept

pytestmark = pytest.mark.vocabulary

SIZE = ["model.emb_dim=16", "model.n_layers=3", "compute.device=cpu"]
WORDS = ["task=classify", *TINY, *GENERATED, *SIZE, "train.lr=1e-3", "train.eval_every=5"]


@pytest.fixture
def features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCRATCHLAB_FEATURES", str(tmp_path / "features"))
    return tmp_path / "features"


@pytest.fixture
def written(features: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what was computed for keeping, in order."""
    names: list[str] = []
    write: Callable[..., None] = kept._write
    monkeypatch.setattr(kept, "_write", lambda path, *rest: (names.append(path.stem), write(path, *rest)))
    return names


def classified(tmp_path: Path, *words: str, base: Sequence[str] = WORDS) -> tuple[dict[str, Any], Path]:
    result = run(compose.compose([*base, *words, f"out={tmp_path}"]))
    return result, Path(result["folder"])


def values(folder: Path, key: str) -> list[float]:
    return [line[key] for line in record.read_history(folder) if key in line]


def predictions(folder: Path) -> list[tuple[str, ...]]:
    with (folder / "predictions.csv").open() as file:
        return [(row["split"], row["index"], row["label"], row["prediction"]) for row in csv.DictReader(file)]


def held(tmp_path: Path, *words: str, plain: Sequence[str] = (), base: Sequence[str] = WORDS) -> str:
    """Hold a run that keeps against one that does not; how the first was computed."""
    with_it, ours = classified(tmp_path / "kept", *words, base=base)
    without, there = classified(tmp_path / "plain", *words, "compute.reuse_frozen=false", *plain, base=base)
    assert without["computed"]["reuse_frozen"] == "off: compute.reuse_frozen=false"
    assert with_it["fingerprint"] == without["fingerprint"] and with_it["hashes"] == without["hashes"]
    for key in ("batch_loss", "train_loss", "val_loss"):
        found, expected = values(ours, key)[:20], values(there, key)[:20]
        assert found == pytest.approx(expected, abs=2e-6, rel=0), key
    assert predictions(ours) == predictions(there)
    assert with_it["metrics"]["tokens_seen"] == without["metrics"]["tokens_seen"]
    assert with_it["metrics"]["examples_seen"] == without["metrics"]["examples_seen"]
    return with_it["computed"]["reuse_frozen"]


@pytest.mark.parametrize(
    "words",
    [
        ["tune=last_layer", "position=mean", "data.pad_to=context"],
        ["tune=last_two_blocks", "position=last_real", "model.causal=false"],
        ["data.pad_to=none", "train.batch_size=1", "train.accumulate=8"],
    ],
    ids=" ".join,
)
def test_training_on_what_is_kept_is_training(words: list[str], features: Path, tmp_path: Path) -> None:
    """All combinations: test_shortcuts.py."""
    assert not held(tmp_path, *words).startswith("off")
    assert len(list(features.glob("*.bin"))) == 3


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    "experiment",
    [
        *("ch06_row01_baseline", "ch06_3_first_token", "ch06_row16_last_real", "ch06_row19_mean"),
        "ch06_1_pad_to_context",
    ],
)
def test_twenty_steps_at_the_size_of_gpt2_small_are_those_of_the_plain_way(
    experiment: str, features: Path, tmp_path: Path
) -> None:
    words = [f"experiment={experiment}", "weights=random", "data=messages", "data.size=230", "train.epochs=1"]
    words += ["train.eval_every=100", "tracking=none", "compute.device=cpu"]
    assert len(held(tmp_path, plain=["compute.only_needed=false"], base=words)) == 64
    [folder] = (tmp_path / "kept" / experiment).iterdir()
    assert len(values(folder, "batch_loss")) >= 20


@pytest.mark.parametrize(
    "tune, position", [pytest.param("last_block", "last", marks=pytest.mark.slow), ("last_two_blocks", "mean")]
)
def test_what_is_random_after_the_frozen_blocks_stays_as_it_is(
    tune: str, position: str, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = Classify.build

    def with_dropout(config: Classify) -> Any:
        model, weights = build(config)
        last: Any = model.blocks[-1]
        last.drop_shortcut, last.att.dropout = torch.nn.Dropout(0.3), 0.2
        return model, weights

    monkeypatch.setattr(Classify, "build", with_dropout)
    assert not held(tmp_path, f"tune={tune}", f"position={position}").startswith("off")


@pytest.mark.parametrize(
    "words, reason",
    [
        pytest.param(["tune=lora"], "no block is frozen", marks=pytest.mark.slow),
        (["dropout=attention_only"], "random"),
        pytest.param(
            ["compute.frozen_gigabytes=1e-6"], "more than compute.frozen_gigabytes=1e-06", marks=pytest.mark.slow
        ),
    ],
)
def test_where_nothing_can_be_kept_the_numbers_are_those_without_to_the_bit(
    words: list[str], reason: str, features: Path, tmp_path: Path
) -> None:
    result, ours = classified(tmp_path / "a", *words)
    _, plain = classified(tmp_path / "b", *words, "compute.reuse_frozen=false")
    assert result["computed"]["reuse_frozen"].startswith("off: ") and reason in result["computed"]["reuse_frozen"]
    assert values(ours, "batch_loss") == values(plain, "batch_loss")
    assert not list(features.glob("*.bin"))


def test_bfloat16_reads_what_it_would_have_computed(features: Path, tmp_path: Path) -> None:
    words = ["compute.precision=bfloat16", "tune=last_layer", "position=mean"]
    result, ours = classified(tmp_path / "kept", *words)
    _, plain = classified(tmp_path / "plain", *words, "compute.reuse_frozen=false")
    assert not result["computed"]["reuse_frozen"].startswith("off")
    assert values(ours, "batch_loss") == pytest.approx(values(plain, "batch_loss"), abs=1e-3)
    assert predictions(ours) == predictions(plain)


def test_a_second_seed_on_given_weights_and_another_arm_compute_nothing_again(
    written: list[str], tmp_path: Path
) -> None:
    config = compose.compose(WORDS)
    assert isinstance(config, Classify)
    model, _ = config.build()
    model.out_head = torch.nn.Linear(16, config.model.vocab_size, bias=False)
    torch.save(model.state_dict(), tmp_path / "given.pth")
    given = ["weights=checkpoint", f"weights.path={tmp_path / 'given.pth'}"]
    classified(tmp_path, *given)
    assert len(set(written)) == len(written) == 3, "once for each split"
    classified(tmp_path, *given, "seed=7", "position=mean", "train.batch_size=4", "data.shuffle_labels=true")
    assert len(written) == 3
    classified(tmp_path, *given, "position=last_real")
    assert len(written) == 6, "no padding"
    classified(tmp_path, *given, "data.pad_to=none", "train.batch_size=1")
    assert len(written) == 6, "no padding either"
    classified(tmp_path, *given, "model.causal=false")
    assert len(written) == 9, "another mask is another prefix"


def test_random_weights_of_another_seed_are_another_prefix(written: list[str], tmp_path: Path) -> None:
    classified(tmp_path)
    assert len(written) == 3
    classified(tmp_path, "seed=7")
    assert len(written) == 6


TAKE = """
import time, torch
from scratchlab.training import kept

def make():
    print("made", flush=True)
    time.sleep(1)
    yield torch.ones(2, 3)

print(kept.take("some", (2, 3), torch.float32, make, "a test").tensor.tolist())
"""


def test_two_processes_at_once_compute_once(features: Path) -> None:
    line = [sys.executable, "-c", TAKE]
    started = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=240)[0].split("\n") for process in started]
    ones = str([[1.0] * 3] * 2)
    assert sorted(said) == sorted([["made", ones, ""], [ones, ""]])
    assert [path.name for path in features.iterdir() if path.suffix == kept.DATA] == ["some.bin"]


@pytest.mark.parametrize("damage", ["cut", "changed", "description", "description cut"])
def test_what_is_damaged_is_computed_again(damage: str, written: list[str], features: Path) -> None:
    parts = [torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0], [5.0, 6.0]])]

    def taken() -> list[list[float]]:
        return kept.take("some", (3, 2), torch.float32, lambda: parts, "a test").tensor.tolist()

    before = taken()
    assert before == torch.cat(parts).tolist() == taken() and len(written) == 1
    (path,) = features.glob("*.json" if damage.startswith("description") else "*.bin")
    content = path.read_bytes()
    match damage:
        case "cut" | "description cut":
            path.write_bytes(content[: len(content) // 2])
        case "changed":
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "description":
            path.write_text("[]")
    assert taken() == before and len(written) == 2


def test_a_disk_that_cannot_be_written_is_no_reason_to_fail(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept, "_write", full)
    result, _ = classified(tmp_path)
    assert result["status"] == "done" and "No space left" in result["computed"]["reuse_frozen"]


def test_a_disk_without_room_is_seen_before_anything_is_written(
    written: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: type("Usage", (), {"free": 10}))
    result, _ = classified(tmp_path)
    assert "free at" in result["computed"]["reuse_frozen"] and not written


def test_what_was_used_longest_ago_makes_room(features: Path, tmp_path: Path) -> None:
    classified(tmp_path)
    first = {entry.key for entry in kept.entries()}
    size = sum(entry.size for entry in kept.entries()) / kept.GIGABYTE
    classified(tmp_path, "seed=7", f"compute.frozen_gigabytes={1.5 * size}")
    left = {entry.key for entry in kept.entries()}
    assert len(left - first) == 3 and first - left
    assert sum(entry.size for entry in kept.entries()) <= 1.6 * size * kept.GIGABYTE


def test_what_a_killed_process_left_is_listed_and_cleared(features: Path, tmp_path: Path) -> None:
    classified(tmp_path)
    (features / ".0123_4567.bin.99").write_bytes(b"half")
    listed = command("task=cache", cwd=tmp_path, COLUMNS="200")
    assert listed.returncode == 0 and "4 kept in" in listed.stdout.replace("\n", " ") and "killed" in listed.stdout
    cleared = command("task=cache", "clear=true", cwd=tmp_path, COLUMNS="200")
    assert cleared.returncode == 0 and kept.entries() == []
    assert not (tmp_path / "outputs" / "cache").exists()


def test_a_run_says_how_it_was_computed_and_how_much_it_keeps(
    features: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "scratchlab")
    result, folder = classified(tmp_path)
    written = json.loads((folder / "result.json").read_text())["computed"]["reuse_frozen"]
    assert written == result["computed"]["reuse_frozen"] and len(written) == 64
    told = re.findall(r"keeping what 2 frozen blocks give for 140 examples: (.*)", (folder / "log.txt").read_text())
    assert len(told) == 1 and re.fullmatch(r"\d+(\.\d)? [KM]iB", told[0])
