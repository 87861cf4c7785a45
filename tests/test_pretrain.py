"""Pretraining, held step by step against the author's own package, and going on from checkpoints."""

import contextlib
import io
import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml

from scratchlab.__main__ import run
from scratchlab.launch import compose
from scratchlab.runs.identity import fingerprint
from scratchlab.text.tokenizer import gpt2
from scratchlab.training import pace
from scratchlab.training.continued import CHECKPOINT, WEIGHTS

pytestmark = pytest.mark.vocabulary

TEXT = " ".join(
    f"In year {year} the {animal} of {place} counted {year % 7} boats and went home by {way}."
    for year, (animal, place, way) in enumerate(
        [("hare", "Lund", "sea"), ("owl", "Bergen", "rail"), ("newt", "Turku", "night")] * 8, start=1801
    )
)
SHAPE = {"vocab_size": 50257, "context_length": 16, "emb_dim": 16, "n_heads": 2, "n_layers": 2, "qkv_bias": False}
START = "Every effort moves you"
TOLERANCE = 3e-6
"""Losses near 11 in float32 are 1e-6 apart; ours come from a fused attention and a fused AdamW."""


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


def pretrain(text: Path, *overrides: str) -> Path:
    """Run a tiny pretraining beside `text`; its folder."""
    shape = [f"model.{key}={str(value).lower()}" for key, value in SHAPE.items() if key != "vocab_size"]
    fixed = ["task=pretrain", "data=text", f"data.path={text}", "tracking=none", f"out={text.parent / 'out'}"]
    few = ["train.epochs=2", "train.eval_batches=2", "sampling.max_new_tokens=5"]
    return Path(run(compose.compose([*fixed, *shape, *few, *overrides]))["folder"])


def history(folder: Path) -> dict[str, list[float]]:
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return {key: [line[key] for line in lines if key in line] for key in ("batch_loss", "train_loss", "val_loss")}


class Author:
    """The author's scripts, with every batch's training loss noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("llms_from_scratch", reason="the author's package is not installed")
        import tiktoken
        from llms_from_scratch import appendix_d, ch02, ch04, ch05

        monkeypatch.setattr(tiktoken, "get_encoding", lambda name: gpt2().encoding)
        self.ch02, self.ch04, self.ch05, self.appendix_d = ch02, ch04, ch05, appendix_d
        self.losses: list[float] = []
        loss_of = ch05.calc_loss_batch

        def noted(inputs: Any, targets: Any, model: Any, device: Any) -> Any:
            loss = loss_of(inputs, targets, model, device)
            if model.training:
                self.losses.append(loss.item())
            return loss

        for module in (ch05, appendix_d):
            monkeypatch.setattr(module, "calc_loss_batch", noted)

    def model(self, drop_rate: float) -> Any:
        return self.ch04.GPTModel(SHAPE | {"drop_rate": drop_rate})

    def loaders(self) -> tuple[Any, Any]:
        border, size = int(0.9 * len(TEXT)), {"batch_size": 2, "max_length": 16, "stride": 16}
        return (
            self.ch02.create_dataloader_v1(TEXT[:border], **size, drop_last=True, shuffle=True),
            self.ch02.create_dataloader_v1(TEXT[border:], **size, drop_last=False, shuffle=False),
        )

    def train(self, module: ModuleType, model: Any, optimizer: Any, epochs: int, **more: Any) -> dict[str, list[float]]:
        self.losses.clear()
        loop = module.train_model_simple if module is self.ch05 else module.train_model
        with contextlib.redirect_stdout(io.StringIO()):
            found = loop(
                model, *self.loaders(), optimizer, torch.device("cpu"), epochs, 5, 2, START, gpt2().encoding, **more
            )
        return {"batch_loss": list(self.losses), "train_loss": found[0], "val_loss": found[1]}


@pytest.fixture
def author(monkeypatch: pytest.MonkeyPatch) -> Author:
    return Author(monkeypatch)


def assert_same(ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> None:
    for key, values in theirs.items():
        assert len(values) > 1
        assert ours[key] == pytest.approx(values, abs=TOLERANCE), key


@pytest.mark.parametrize(("option", "rate"), [("none", 0.0), ("uniform", 0.1)])
def test_every_step_is_that_of_the_authors_chapter_5(author: Author, text: Path, option: str, rate: float) -> None:
    torch.manual_seed(123)
    model = author.model(rate)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.1)
    theirs = author.train(author.ch05, model, optimizer, epochs=2)
    assert_same(history(pretrain(text, f"dropout={option}", "train.lr=5e-4")), theirs)


def test_warmup_decay_and_clipping_are_those_of_the_authors_appendix_d(author: Author, text: Path) -> None:
    torch.manual_seed(123)
    model = author.model(0.1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    theirs = author.train(author.appendix_d, model, optimizer, epochs=2, warmup_steps=4, initial_lr=1e-5, min_lr=1e-6)
    schedule = ("train.lr=1e-3", "train.warmup=4", "train.initial_lr=1e-5", "train.decay=cosine", "train.min_lr=1e-6")
    assert_same(history(pretrain(text, *schedule, "train.clip_norm=1")), theirs)


def test_going_on_from_the_authors_checkpoint_is_going_on_with_his_script(author: Author, text: Path) -> None:
    torch.manual_seed(5)
    model = author.model(0.1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-4, weight_decay=0.1)
    author.train(author.ch05, model, optimizer, epochs=1)
    path = text.parent / "model_and_optimizer.pth"
    torch.save({"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict()}, path)
    torch.manual_seed(123)
    theirs = author.train(author.ch05, model, optimizer, epochs=1)
    # the rate given here is not the checkpoint's, which must win
    given = ("weights=checkpoint", f"weights.path={path}", "load_optimizer=true", "train.lr=0.5", "train.epochs=1")
    assert_same(history(pretrain(text, *given)), theirs)


def test_a_run_leaves_its_checkpoint_in_both_layouts_and_another_finds_it(text: Path) -> None:
    first = pretrain(text, "save_checkpoint=true", "name=first")
    state = torch.load(first / CHECKPOINT, weights_only=True)
    assert set(state) == {"model_state_dict", "optimizer_state_dict"}
    assert sorted(path.name for path in (first / "checkpoint").iterdir()) == sorted(
        Path(name).name for name in (CHECKPOINT, WEIGHTS)
    )
    found = pretrain(text, "continue_run=first", "load_optimizer=true", "name=found", "train.epochs=1")
    path = ("weights=checkpoint", f"weights.path={first / CHECKPOINT}")
    named = pretrain(text, *path, "load_optimizer=true", "name=named", "train.epochs=1")
    alone = pretrain(text, "weights=checkpoint", f"weights.path={first / WEIGHTS}", "name=alone", "train.epochs=1")
    assert history(found) == history(named)
    assert history(found)["batch_loss"][0] == history(alone)["batch_loss"][0]
    assert history(found)["batch_loss"][1:] != history(alone)["batch_loss"][1:], "a fresh optimizer moves otherwise"
    end = json.loads((first / "result.json").read_text())["metrics"]
    assert history(found)["batch_loss"][0] == pytest.approx(end["train_loss"], abs=0.5)


def test_a_run_from_before_a_key_of_the_model_was_there_can_be_gone_on_from(text: Path) -> None:
    first = pretrain(text, "name=first", "save_checkpoint=true", "train.epochs=1")
    written = yaml.safe_load((first / "config.yaml").read_text())
    for key in ("family", "n_kv_heads", "ff_dim", "rope_theta", "norm_eps"):
        del written["model"][key]
    (first / "config.yaml").write_text(yaml.safe_dump(written))
    on = pretrain(text, "continue_run=first", "name=on", "train.epochs=1")
    assert json.loads((on / "result.json").read_text())["hashes"]["continue_run"] == first.name


def test_no_checkpoint_is_left_unless_asked_for(text: Path) -> None:
    assert not (pretrain(text, "train.epochs=1") / "checkpoint").exists()


def test_a_run_to_go_on_from_that_is_not_there_is_said_with_what_is(text: Path) -> None:
    pretrain(text, "name=first", "train.epochs=1")
    with pytest.raises(FileNotFoundError) as failed:
        pretrain(text, "continue_run=first", "seed=124")
    assert "first" in str(failed.value) and "another seed" in str(failed.value)
    with pytest.raises(FileNotFoundError, match="save_checkpoint=true leaves one"):
        pretrain(text, "continue_run=first")
    with pytest.raises(FileNotFoundError, match="experiment=ch05_main seed=123"):
        pretrain(text, "continue_run=ch05_main")


def test_the_rate_of_a_loaded_optimizer_makes_the_runs_own_idle(text: Path) -> None:
    path = text.parent / "given.pth"
    path.write_bytes(b"")
    given = ["task=pretrain", "weights=checkpoint", f"weights.path={path}", "load_optimizer=true"]
    one, other = (compose.compose([*given, f"train.lr={rate}"]) for rate in ("4e-4", "5e-4"))
    assert fingerprint(one) == fingerprint(other)
    assert set(one.idle()) == {"train.lr", "train.weight_decay"}


def test_how_samples_are_drawn_does_not_change_the_training(text: Path) -> None:
    greedy, varied = pretrain(text), pretrain(text, "sampling=varied")
    assert history(greedy) == history(varied)
    texts = [(folder / "samples.txt").read_text() for folder in (greedy, varied)]
    assert texts[0] != texts[1]
    assert all(line.startswith(f"epoch {i}: {START}") for i, line in enumerate(texts[0].splitlines(), start=1))


def test_windows_follow_the_context_unless_set(text: Path) -> None:
    whole, half = (history(pretrain(text, "train.epochs=1", *more)) for more in ([], ["train.max_length=8"]))
    assert 2 * len(whole["batch_loss"]) <= len(half["batch_loss"]) <= 2 * len(whole["batch_loss"]) + 1
    overlapping = history(pretrain(text, "train.epochs=1", "train.stride=8"))
    assert len(overlapping["batch_loss"]) > len(whole["batch_loss"])


def test_the_record_has_the_contracts_lines_and_metrics(text: Path) -> None:
    folder = pretrain(text)
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    batches = [line["step"] for line in lines if "batch_loss" in line]
    assert batches == list(range(len(batches)))
    evaluations = [line for line in lines if "train_loss" in line]
    assert [line["step"] for line in evaluations] == batches[::5]
    metrics = json.loads((folder / "result.json").read_text())["metrics"]
    assert metrics["first_train_loss"] == evaluations[0]["train_loss"]
    assert metrics["last_val_loss"] == evaluations[-1]["val_loss"]
    assert metrics["tokens_seen"] == len(batches) * 2 * 16
    assert metrics["train_loss"] < math.log(50257), "it has learnt something"
    assert (folder / "loss.png").stat().st_size > 1000


def test_the_rate_and_the_tokens_of_every_batch_are_noted_and_drawn(text: Path) -> None:
    folder = pretrain(text, "train.lr=1e-3", "train.warmup=4", "train.initial_lr=2e-4")
    steps = pace.read(folder)
    result = json.loads((folder / "result.json").read_text())["metrics"]
    assert [line["lr"] for line in steps[:6]] == pytest.approx([2e-4, 4e-4, 6e-4, 8e-4, 1e-3, 1e-3])
    assert sum(line["tokens"] for line in steps) == result["tokens_seen"]
    assert 0 < sum(line["seconds"] for line in steps) < result["train_seconds"], "evaluations are left out"
    assert all(line["tokens_per_second"] == line["tokens"] / line["seconds"] for line in steps)
    assert (folder / "pace.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (["train.min_lr=1e-5"], "train.min_lr=1e-05: only a run with train.decay uses it; nearest: train.decay=cosine"),
        (["train.initial_lr=1e-5"], "only a run with train.warmup uses it"),
        (["train.warmup=-1"], "train.warmup=-1: must be 0"),
        (["train.max_length=512"], "train.max_length=512: beyond model.context_length=256; possible: 1 to 256"),
        (["load_optimizer=true"], "only a checkpoint has an optimizer's state"),
        (["model.vocab_size=100"], "text is encoded with GPT-2's 50257 tokens"),
        (["data=text"], "data=text data.path=FILE"),
        (["data.train_fraction=1"], "must be above 0 and below 1"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(mistake: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compose.compose(["task=pretrain", *mistake])


def test_a_text_too_short_for_a_batch_is_said_with_its_length(text: Path) -> None:
    text.write_text("Too short.")
    with pytest.raises(ValueError, match="the train part of the text has 2 tokens, too few for a batch"):
        pretrain(text)


def test_a_training_that_ends_in_its_warm_up_says_what_has_no_effect_in_it(
    text: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ends = ["train.warmup=1000", "train.epochs=1"]
    one, other = (history(pretrain(text, *ends, "train.decay=cosine", f"train.min_lr={low}")) for low in (0.0, 1e-5))
    assert "train.min_lr has no effect: training ends after" in caplog.text
    assert one == other
    flat = pretrain(text, *ends, "train.initial_lr=4e-4", "train.lr=4e-4", "train.clip_norm=1e-3")
    assert history(flat) == history(pretrain(text, "train.epochs=1", "train.lr=4e-4"))
