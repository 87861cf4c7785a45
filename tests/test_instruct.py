"""Chapter 7 as a task: against the author's package, in free combination, and after being killed."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import real
from test_prompts import template
from torch import nn

from scratchlab.assets import catalogue
from scratchlab.assets.fetch import fetch
from scratchlab.data import instructions, readers
from scratchlab.generation import responses
from scratchlab.launch import compose
from scratchlab.runs import record
from scratchlab.runs.tracking import Tracker
from scratchlab.tasks.instruct import Instruct, instruct
from scratchlab.text.prompts import render
from scratchlab.text.tokenizer import gpt2
from scratchlab.training import evaluate, resume
from scratchlab.training import fit as fit_module

pytestmark = pytest.mark.vocabulary

TINY = ["model=gpt2_tiny", "model.emb_dim=16", "model.n_layers=2", "weights=random", "tracking=none", "train.epochs=1"]
QUICK = [*TINY, "data.size=40", "train.batch_size=4"]
QUICK += ["train.eval_every=4", "train.eval_batches=1", "sampling.max_new_tokens=8"]
"""34 entries to train on, in 8 batches; 4 to answer."""


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    Path(MADE).write_text(json.dumps([made(number) for number in range(60)]))


MADE = "made.json"


def made(number: int) -> dict[str, str]:
    """An entry that stands in for the book's where those cannot be had."""
    words = "small red round quick old loud soft dark".split()
    text = " ".join(words[(number * step) % 8] for step in range(1, 3 + number % 9))
    return {
        "instruction": f"Put these words into another order, number {number}, and say nothing else.",
        "input": text if number % 3 else "",
        "output": " ".join(reversed(text.split())) + ".",
    }


def entries_file() -> Path:
    """The book's entries, or those made here."""
    try:
        return fetch(catalogue.INSTRUCTIONS, local_only=True)
    except FileNotFoundError:
        return Path(MADE)


def with_data(overrides: tuple[str, ...]) -> list[str]:
    """The overrides, and the entries made here where the book's cannot be had."""
    own = any(word.startswith("data=") for word in overrides) or entries_file() != Path(MADE)
    return [*overrides, *([] if own else ["data=entries", f"data.path={MADE}"])]


def run(*overrides: str) -> tuple[dict[str, Any], Path]:
    config = compose.compose(with_data(overrides))
    assert isinstance(config, Instruct)
    result, _ = record.keep(config, instruct, changes={}, tracker=Tracker(config.tracking))
    return result["metrics"], record.folder_of(config)


class AuthorsRun:
    """The exercise script's `main`, rebuilt from the author's package and the script's published description.

    One seed before the model is made, one before training; LoRA, unscaled, is wrapped after loading; the losses before
    training are measured between the two.
    """

    def __init__(
        self, *, size: int, batch_size: int, phi3: bool, mask: bool, lora: bool, shape: dict[str, int]
    ) -> None:
        ch04 = pytest.importorskip("llms_from_scratch.ch04", reason="needs llms-from-scratch, the author's package")
        from llms_from_scratch.appendix_e import replace_linear_with_lora

        entries = readers.entries(entries_file())[:size]
        train_end, test_end = int(size * 0.85), int(size * 0.85) + int(size * 0.1)
        self.parts = {"train": entries[:train_end], "test": entries[train_end:test_end], "val": entries[test_end:]}
        self.phi3, self.mask = phi3, mask
        torch.manual_seed(123)
        config = {"vocab_size": 50257, "context_length": 1024, "drop_rate": 0.0, "qkv_bias": True} | shape
        self.model = ch04.GPTModel(config).eval()
        if lora:
            for parameter in self.model.parameters():
                parameter.requires_grad = False
            replace_linear_with_lora(self.model, rank=16, alpha=16)
        self.loaders = {
            name: torch.utils.data.DataLoader(
                [self.item(entry) for entry in self.parts[name]],
                batch_size=batch_size,
                shuffle=name == "train",
                drop_last=name == "train",
                collate_fn=self.collate,
            )
            for name in ("train", "val")
        }
        self.batch_losses: list[float] = []
        self.evaluations: list[tuple[float, float]] = []

    def question(self, entry: dict[str, str]) -> str:
        from llms_from_scratch.ch07 import format_input

        if not self.phi3:
            return format_input(entry)
        return f"<|user|>\n{entry['instruction']}" + (f"\n{entry['input']}" if entry["input"] else "")

    def item(self, entry: dict[str, str]) -> tuple[int, list[int]]:
        tag = "\n<|assistant|>:\n" if self.phi3 else "\n\n### Response:\n"
        question = self.question(entry)
        return len(gpt2().encode(question)), gpt2().encode(question + tag + entry["output"])

    def collate(self, batch: list[tuple[int, list[int]]]) -> tuple[torch.Tensor, torch.Tensor]:
        from llms_from_scratch.ch07 import custom_collate_fn

        inputs, targets = custom_collate_fn([ids for _, ids in batch], allowed_max_length=1024)
        for row, (length, _) in enumerate(batch):
            if self.mask:
                targets[row, : length - 1] = -100
        return inputs, targets

    def train(self, *, eval_every: int, eval_batches: int, steps: int | None = None) -> None:
        from llms_from_scratch.ch05 import calc_loss_batch, evaluate_model

        evaluate_model(self.model, self.loaders["train"], self.loaders["val"], "cpu", eval_batches)
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=5e-5, weight_decay=0.1)
        torch.manual_seed(123)
        self.model.train()
        for step, (inputs, targets) in enumerate(self.loaders["train"]):
            optimizer.zero_grad()
            loss = calc_loss_batch(inputs, targets, self.model, "cpu")
            loss.backward()
            optimizer.step()
            self.batch_losses.append(loss.item())
            if step % eval_every == 0:
                losses = evaluate_model(self.model, self.loaders["train"], self.loaders["val"], "cpu", eval_batches)
                self.evaluations.append(losses)
            if steps and step + 1 == steps:
                break

    def first_answer(self, tokens: int) -> list[int]:
        from llms_from_scratch.ch05 import generate

        self.model.eval()
        ids = torch.tensor([gpt2().encode(self.question(self.parts["test"][0]))])
        return generate(self.model, ids, tokens, 1024, eos_id=50256)[0, ids.shape[1] :].tolist()


VARIANTS = {
    "base": {"overrides": ["experiment=ch07_main"], "phi3": False, "mask": False, "lora": False},
    "phi3": {"overrides": ["experiment=ch07_1_phi3"], "phi3": True, "mask": False, "lora": False},
    "masking": {"overrides": ["experiment=ch07_2_masking"], "phi3": False, "mask": True, "lora": False},
    "lora": {"overrides": ["experiment=ch07_4_lora"], "phi3": False, "mask": False, "lora": True},
    "all three": {
        "overrides": ["experiment=ch07_4_lora", "prompt=phi3", "mask_instruction=true"],
        "phi3": True,
        "mask": True,
        "lora": True,
    },
}


@pytest.mark.parametrize(
    "variant",
    [pytest.param(name, marks=() if name in ("base", "all three") else pytest.mark.slow) for name in VARIANTS],
)
def test_losses_and_the_first_answer_are_those_of_the_author_s_script(variant: str) -> None:
    chosen = dict(VARIANTS[variant])
    overrides = chosen.pop("overrides")
    shape = {"emb_dim": 16, "n_layers": 2, "n_heads": 4}
    theirs = AuthorsRun(size=40, batch_size=4, shape=shape, **chosen)  # type: ignore[arg-type]
    theirs.train(eval_every=4, eval_batches=1)
    metrics, folder = run(*overrides, *QUICK)  # type: ignore[misc]
    history = record.read_history(folder)
    # measured: at most 4e-6 apart, from fused AdamW and another order of sums in attention
    assert [line["batch_loss"] for line in history if "batch_loss" in line] == pytest.approx(
        theirs.batch_losses, abs=2e-5
    )
    ours = [(line["train_loss"], line["val_loss"]) for line in history if "val_loss" in line]
    assert [value for pair in ours for value in pair] == pytest.approx(
        [value for pair in theirs.evaluations for value in pair], abs=2e-5
    )
    assert metrics["first_answer_ids"] == theirs.first_answer(8)
    trainable = sum(p.numel() for p in theirs.model.parameters() if p.requires_grad)
    assert metrics["trainable_parameters"] == trainable


@pytest.mark.parametrize(
    ("overrides", "first_loss", "trainable"),
    [
        (["experiment=ch07_main"], 10.9247, 6_648_512),
        (["experiment=ch07_2_masking"], 10.9037, 6_648_512),
        (["experiment=ch07_1_phi3"], 10.9550, 6_648_512),
        (["experiment=ch07_4_lora"], 10.9247, 860_432),
    ],
)
def test_the_first_batch_of_the_real_entries_has_the_script_s_loss(
    overrides: list[str], first_loss: float, trainable: int
) -> None:
    real(catalogue.INSTRUCTIONS)
    # the exercise script's own losses with seed 123, emb_dim 64, 3 layers, 4 heads, random weights, on x86-64
    config = compose.compose([*overrides, "model=gpt2_tiny", "weights=random", "tracking=none"])
    assert isinstance(config, Instruct)
    entries = instructions.load(config.data)
    data = {"train": instructions.Instructions(entries["train"], config.prompt, gpt2())}
    model, _ = config.build()
    loaders = instructions.loaders(data, batch_size=8, mask=config.mask_instruction, max_length=1024)
    torch.manual_seed(config.seed)
    ids, targets = next(iter(loaders["train"]))
    with torch.no_grad():
        loss = nn.functional.cross_entropy(model(ids).flatten(0, 1), targets.flatten())
    assert loss.item() == pytest.approx(first_loss, abs=1e-4)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trainable


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_epoch_of_the_real_entries_follows_the_author_s_script(variant: str) -> None:
    real(catalogue.INSTRUCTIONS)
    chosen = dict(VARIANTS[variant])
    overrides = chosen.pop("overrides")
    shape = {"emb_dim": 64, "n_layers": 3, "n_heads": 4}
    theirs = AuthorsRun(size=1100, batch_size=8, shape=shape, **chosen)  # type: ignore[arg-type]
    theirs.train(eval_every=20, eval_batches=5)
    big = ["model=gpt2_tiny", "weights=random", "tracking=none", "train.epochs=1", "train.eval_every=20"]
    metrics, folder = run(*overrides, *big, "sampling.max_new_tokens=64", "save=false")  # type: ignore[misc]
    history = record.read_history(folder)
    ours = [line["batch_loss"] for line in history if "batch_loss" in line]
    evaluated = [line[key] for line in history if "val_loss" in line for key in ("train_loss", "val_loss")]
    expected = [value for pair in theirs.evaluations for value in pair]
    print(variant, "batches", len(ours), max(abs(a - b) for a, b in zip(ours, theirs.batch_losses, strict=True)))
    print(variant, "evaluations", len(evaluated), max(abs(a - b) for a, b in zip(evaluated, expected, strict=True)))
    assert ours == pytest.approx(theirs.batch_losses, abs=2e-4)
    assert evaluated == pytest.approx(expected, abs=1e-3)
    assert metrics["trainable_parameters"] == sum(p.numel() for p in theirs.model.parameters() if p.requires_grad)
    assert metrics["first_answer_ids"] == theirs.first_answer(64)


def test_a_model_as_it_comes_is_measured_and_answers_without_training() -> None:
    metrics, folder = run("experiment=ch07_main", *QUICK, "train.epochs=0", "save=false")
    assert metrics["tokens_seen"] == 0 and not {"train_loss", "val_loss", "tokens_per_second"} & set(metrics)
    assert {"initial_train_loss", "initial_val_loss", "test_loss", "chrf"} <= set(metrics)
    assert len(json.loads((folder / "responses.json").read_text(encoding="utf-8"))) == metrics["answers"] == 4
    assert (
        not any((folder / name).exists() for name in ("loss.png", "pace.jsonl")) and record.read_history(folder) == []
    )
    with pytest.raises(ValueError, match=r"train.epochs=0: must be at least 1"):
        compose.compose(["task=classify", "data=messages", "weights=random", "train.epochs=0"])


def test_a_run_writes_the_book_s_layout_and_says_how_alike_the_answers_are() -> None:
    metrics, folder = run("experiment=ch07_main", *QUICK)
    written = json.loads((folder / "responses.json").read_text(encoding="utf-8"))
    entries = readers.entries(entries_file())[34:38]
    assert [{key: row[key] for key in ("instruction", "input", "output")} for row in written] == entries
    assert all(list(row) == ["instruction", "input", "output", "model_response"] for row in written)
    assert metrics["token_saving"] == 0 < run("experiment=ch07_1_phi3", *QUICK)[0]["token_saving"]
    assert {"exact_match", "rouge_l", "chrf", "response_words"} <= set(metrics)
    assert metrics["trainable_parameters"] == metrics["parameters"]
    assert (metrics["train_entries"], metrics["tokens_seen"]) == (34, sum_of_inputs())
    assert (folder / "loss.png").is_file() and "### Instruction:" in (folder / "samples.txt").read_text()


def sum_of_inputs() -> int:
    entries = instructions.split(readers.entries(entries_file())[:40])["train"]
    data = {"train": instructions.Instructions(entries, template("alpaca"), gpt2())}
    torch.manual_seed(123)
    return sum(ids.numel() for ids, _ in instructions.loaders(data, batch_size=4, mask=False, max_length=1024)["train"])


def test_batches_whose_answers_are_all_cut_away_give_no_nan() -> None:
    real(catalogue.INSTRUCTIONS)
    # the question alone is longer than this in some entries, which then make batches of one without any target
    metrics, folder = run("experiment=ch07_2_masking", *QUICK, "train.max_length=47", "train.batch_size=1")
    assert metrics["answers_lost"] == metrics["batches_without_target"] > 0
    assert all(torch.tensor(list(line.values())).isfinite().all() for line in record.read_history(folder))


def test_a_run_with_nothing_left_to_learn_is_refused() -> None:
    with pytest.raises(ValueError, match="cuts every answer of the train split away"):
        run("experiment=ch07_2_masking", *QUICK, "train.max_length=10")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.max_length=2000", "possible: 2 to model.context_length=1024; nearest: train.max_length=1024"),
        ("model.vocab_size=300", "possible: model.vocab_size=50257"),
        ("data.size=5", "at least 20"),
    ],
)
def test_values_that_do_not_go_together_are_refused_before_anything_runs(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compose.compose(["experiment=ch07_main", *TINY, override])


class Killed(BaseException):
    """Stands for whatever ends a process."""


@pytest.mark.parametrize(
    ("way", "kept"), [pytest.param("sampling.temperature=0", 1, marks=pytest.mark.slow), ("sampling.temperature=1", 3)]
)
def test_a_run_killed_while_answering_keeps_model_and_answers(
    way: str, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "TOGETHER", 3)
    whole, folder = run("experiment=ch07_main", *QUICK, way, "name=whole", "out=elsewhere")
    answered = (folder / "responses.json").read_text(encoding="utf-8")
    answers, lines = (folder / responses.ANSWERS).read_text(encoding="utf-8"), []
    line = responses._line

    def dies_after_some(*rest: Any) -> str:
        if len(lines) == kept:
            raise Killed
        lines.append(line(*rest))
        return lines[-1]

    again = partial(run, "experiment=ch07_main", *QUICK, way, "name=killed")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(responses, "_line", dies_after_some)
        again()
    missing: list[list[int]] = []
    write = responses._answers
    monkeypatch.setattr(responses, "_answers", lambda *rest: missing.append(rest[2]) or write(*rest))
    metrics, folder = again()
    assert len(missing[0]) == 4 - kept  # and no epoch ended again, by the lines of the history
    assert (folder / "responses.json").read_text(encoding="utf-8") == answered
    assert (folder / responses.ANSWERS).read_text(encoding="utf-8") == answers
    assert repeatable(metrics) == repeatable(whole)
    assert len(record.read_history(folder)) == 8 + 2 and (folder / record.MODEL).is_file()


NOT_REPEATABLE = ("train_seconds", "tokens_per_second", "answer_seconds", "peak_memory_bytes")


def repeatable(metrics: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metrics.items() if key not in NOT_REPEATABLE}


def test_a_state_of_other_data_is_not_taken_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    entries = [{"instruction": f"Say {i}.", "input": "", "output": str(i)} for i in range(40)]
    file.write_text(json.dumps(entries))
    keep, kept = resume.Resume.keep, []

    def dies_after_three(self: resume.Resume, *rest: Any) -> None:
        keep(self, *rest)
        kept.append(1)
        if len(kept) == 3:
            raise Killed

    monkeypatch.setattr(resume.Resume, "keep", dies_after_three)
    again = partial(run, "experiment=ch07_main", *QUICK, "data=entries", f"data.path={file}", "checkpoint_minutes=1e-9")
    with pytest.raises(Killed):
        again()
    file.write_text(json.dumps([entry | {"output": "other"} for entry in entries]))
    again()
    assert len(kept) == 3 + 8, "training started anew"


def test_runs_that_differ_only_after_training_train_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first, folder = run("experiment=ch07_main", *QUICK)
    trained = []
    fit = fit_module.fit
    monkeypatch.setattr(fit_module, "fit", lambda *a, **k: trained.append(1) or fit(*a, **k))
    generated: list[int] = []
    write = responses._answers
    monkeypatch.setattr(responses, "_answers", lambda *rest: generated.extend(rest[2]) or write(*rest))
    judged = {"judge_score": 50.0, "judge_scored": 4}
    monkeypatch.setattr("scratchlab.judging.scores.check", lambda config: None)
    monkeypatch.setattr("scratchlab.judging.scores.score_and_keep", lambda *_: judged)
    second, other = run("experiment=ch07_main", *QUICK, "judge=ollama")
    assert folder != other and not trained and not generated
    told = {"trained_in": f"ch07_main/{folder.name}"}
    assert repeatable(second) == repeatable(first) | judged | told
    _, third = run("experiment=ch07_main", *QUICK, "judge=ollama", "sampling.temperature=1.0")
    assert third != other and not trained and len(generated) == 4
    for later in (other, third):
        assert record.read_history(folder) == record.read_history(later)
        for name in (record.MODEL, resume.TRAINED, "samples.txt", "loss.png", "pace.jsonl", "responses.json"):
            assert (folder / name).is_file() and (later / name).is_file()
    run("experiment=ch07_main", *QUICK, "judge=ollama", "force=true")
    run("experiment=ch07_main", *QUICK, "train.lr=1e-3")
    assert len(trained) == 2, "force, and whatever acts on training, train anew"


def test_a_broken_last_line_of_answers_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"index": 0, "ids": [1], "text": "x"}\n{"index": 1, "ids": [2, ', encoding="utf-8")
    assert responses.read(path) == {0: [1]}


def test_the_response_is_what_the_template_finds_in_the_answer() -> None:
    entry = {"instruction": "I", "input": "", "output": "O"}
    ids = gpt2().encode(render(template("alpaca"), entry)[1])
    [found] = responses.with_responses(gpt2(), template("alpaca"), [entry], [ids])
    assert found == entry | {"model_response": "O"}


def test_a_run_that_lacks_memory_learns_the_same_in_parts_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    line = ("experiment=ch07_2_masking", *QUICK, "train.batch_size=4")
    whole, whole_folder = run(*line, "out=elsewhere")
    target_loss = evaluate.target_loss

    def with_little_memory(*rest: Any) -> Any:
        loss_of = target_loss(*rest)

        def limited(batch: Any) -> torch.Tensor:
            if len(batch[0]) > 2 and torch.is_grad_enabled():
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return loss_of(batch)

        return limited

    monkeypatch.setattr(evaluate, "target_loss", with_little_memory)
    parts, folder = run(*line)
    ours, theirs = (
        [line["batch_loss"] for line in record.read_history(f) if "batch_loss" in line] for f in (folder, whole_folder)
    )
    assert len(ours) > 3 and ours == pytest.approx(theirs, rel=1e-4)
    assert json.loads((folder / "result.json").read_text())["computed"]["rows_at_a_time"] == 2
    assert "rows_at_a_time" not in json.loads((whole_folder / "result.json").read_text())["computed"]
    assert parts["tokens_seen"] == whole["tokens_seen"]
    assert "out of memory with 4 rows at a time: going on with 2" in (folder / "log.txt").read_text()


def test_checkpointed_activations_are_the_same_run_with_the_same_numbers() -> None:
    line = ("experiment=ch07_main", *QUICK, "dropout=uniform")
    plain, folder = run(*line, "out=elsewhere")
    again, other = run(*line, "compute.checkpoint_activations=true")
    assert folder.name == other.name
    assert record.read_history(folder) == record.read_history(other)
    assert repeatable(again) == repeatable(plain)
