"""The loop and what it measures, on models of one weight: whatever is counted and when, without a run around it."""

import hashlib
import json
import logging
import math
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from scratchlab.model.config import GPTConfig, Position
from scratchlab.model.gpt import GPT
from scratchlab.report import plots
from scratchlab.runs import signals
from scratchlab.runs.record import Record, read_history
from scratchlab.training import evaluate, fit, pace, steps
from scratchlab.training.config import Decay, PretrainTraining, TrainConfig
from scratchlab.training.fit import Parts, Seen
from scratchlab.training.schedule import updater, warmup_and_cosine


def tiny(**changes: Any) -> GPT:
    torch.manual_seed(3)
    return GPT(
        GPTConfig(**({"vocab_size": 11, "context_length": 8, "emb_dim": 4, "n_heads": 2, "n_layers": 2} | changes))
    )


def machine(**changes: Any) -> Any:
    config = SimpleNamespace(**({"only_needed": True} | changes))
    return SimpleNamespace(device=torch.device("cpu"), config=config, autocast=nullcontext)


# the loop


class Kept:
    """Stands for what a record keeps: what the loop is to go on from, and what it hands over."""

    def __init__(self, notes: dict[str, Any] | None = None) -> None:
        self.notes, self.asked, self.held = notes, [], 0  # type: ignore[var-annotated]

    def go_on(self, loop: steps.Steps) -> dict[str, Any] | None:
        return self.notes

    def keep(self, loop: steps.Steps, seen: Seen, now: bool) -> None:
        self.asked.append(now)

    def hold(self, loop: steps.Steps, seen: Seen) -> None:
        self.held += 1


class Line(nn.Module):
    """A weight that trains and a bias that does not."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x.float().mean() + self.bias


ROWS = torch.arange(10).view(5, 2)
"""Five examples of two tokens."""


def parts(**more: Any) -> Parts:
    """Three batches of five examples: ids, and each example's index."""
    model = Line()
    given: dict[str, Any] = {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.5),
        "loader": DataLoader(TensorDataset(ROWS, torch.arange(5)), batch_size=2),
        "loss_of": lambda batch: model(batch[0]),
        "losses": lambda: {"train_loss": 1.0, "val_loss": 2.0},
    }
    return Parts(**given | more)


def settings(**more: Any) -> TrainConfig:
    return TrainConfig(**({"epochs": 2, "batch_size": 2, "lr": 0.5, "eval_every": 2, "eval_batches": 1} | more))


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(tmp_path)


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was asked of the plots, which are tried elsewhere."""
    found: list[tuple[Any, ...]] = []
    monkeypatch.setattr(
        plots, "curves", lambda history, keys, *, by, path, raw="": found.append((keys, by, path.name, raw))
    )
    monkeypatch.setattr(plots, "pace", lambda lines, *, path: found.append((len(lines), path.name)))
    return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at it is a second later."""
    ticks = iter(range(1000, 2000))
    monkeypatch.setattr(fit, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))


def test_a_training_writes_losses_accuracies_and_samples_when_they_are_due(
    record: Record, drawn: list[Any], clock: None
) -> None:
    measured: list[str] = []
    modes: list[bool] = []
    given = parts()

    def told(what: str, **values: float) -> Callable[[], dict[str, float]]:
        def of() -> dict[str, float]:
            modes.append(given.model.training or torch.is_grad_enabled())
            measured.append(what)
            return {name: value + len(measured) for name, value in values.items()}

        return of

    given = parts(
        losses=told("losses", train_loss=0.0, val_loss=10.0),
        accuracies=told("accuracies", train_accuracy=0.0, val_accuracy=20.0),
        sample=lambda epoch: f"epoch {epoch}\n",
        examples=lambda batch: batch[1].tolist(),
        counts={"odd": lambda batch: int((batch[0] % 2).sum())},
        seed=5,
        measures_first=True,
        tokens_in_history=True,
    )
    kept = Kept()
    seen = fit.fit(given, settings(), record, kept, what="x")  # type: ignore[arg-type]
    lines = read_history(record.folder)
    assert measured == ["losses"] * 3 + ["accuracies", "losses", "accuracies"] and not any(modes)
    assert seen.initial == {"train_loss": 1, "val_loss": 11} and seen.first == {"train_loss": 2, "val_loss": 12}
    assert seen.last == {"train_loss": 5, "val_loss": 15}
    assert [line["step"] for line in lines if "batch_loss" in line] == [0, 1, 2, 3, 4, 5]
    assert [line for line in lines if "val_loss" in line] == [
        {"step": 0, "train_loss": 2, "val_loss": 12, "tokens_seen": 4},
        {"step": 2, "train_loss": 3, "val_loss": 13, "tokens_seen": 10},
        {"step": 4, "train_loss": 5, "val_loss": 15, "tokens_seen": 18},
    ]
    assert [line for line in lines if "epoch" in line] == [
        {"epoch": 1, "train_accuracy": 4, "val_accuracy": 24}, {"epoch": 2, "train_accuracy": 6, "val_accuracy": 26}
    ]  # fmt: skip
    assert (record.folder / fit.SAMPLES).read_text() == "epoch 1\nepoch 2\n" == seen.samples
    assert (seen.tokens, seen.counts, seen.order) == (20, {"odd": 10}, [0, 1, 2, 3, 4] * 2)
    order = struct.pack("<10q", *seen.order)
    assert record.hashes == {"batch_order": hashlib.sha256(order).hexdigest()} and record.computed == {}
    assert seen.seconds == 6 and torch.initial_seed() == 5  # one look at the clock before, one after every batch
    assert kept.asked == [False] * 6 and kept.held == 1
    assert drawn == [
        (("train_loss", "val_loss"), "step", fit.LOSS_CURVES, "batch_loss"),
        (("train_accuracy", "val_accuracy"), "epoch", fit.ACCURACY_CURVES, ""),
        (6, fit.PACE_CURVES),
    ]


def test_what_a_task_does_not_ask_for_is_not_done(record: Record) -> None:
    torch.manual_seed(99)
    before = torch.get_rng_state()
    seen = fit.fit(parts(), settings(epochs=1, eval_every=9), record, Kept(), what="x")  # type: ignore[arg-type]
    assert seen.initial == {} and seen.order == [] and seen.counts == {} and record.hashes == {}
    assert read_history(record.folder)[1] == {"step": 0, "train_loss": 1.0, "val_loss": 2.0}  # and no tokens
    assert not (record.folder / fit.SAMPLES).exists() and torch.initial_seed() == 99
    assert len(read_history(record.folder)) == 4 and torch.get_rng_state().shape == before.shape


def test_what_was_seen_before_a_stop_counts_and_nothing_is_begun_anew(record: Record, clock: None) -> None:
    notes = {"first": {"val_loss": 7.0}, "tokens": 100, "samples": "before\n", "seconds": 50.0, "order": [9]}
    measured: list[str] = []

    def losses() -> dict[str, float]:
        measured.append((record.folder / fit.SAMPLES).read_text())
        return {"train_loss": 1.0, "val_loss": 2.0}

    torch.manual_seed(99)
    given = parts(losses=losses, sample=str, seed=5, measures_first=True, examples=lambda batch: [0])
    seen = fit.fit(given, settings(epochs=1), record, Kept(notes), what="x")  # type: ignore[arg-type]
    assert seen.first == {"val_loss": 7.0} and seen.tokens == 110 and seen.samples == "before\n1"
    assert seen.seconds == 53 and seen.order == [9, 0, 0, 0]
    assert measured == ["before\n"] * 2 and torch.initial_seed() == 99
    fit.fit(parts(), settings(epochs=1), record, Kept({}), what="x")  # type: ignore[arg-type]
    assert (record.folder / fit.SAMPLES).read_text() == "before\n1"  # of a task that samples nothing, left alone


def test_a_signal_waits_for_the_update(record: Record) -> None:
    kept = Kept()
    given = parts()

    def loss_of(batch: Any) -> Tensor:
        signals._current[-1].handle(signal.SIGTERM, None)
        loss: Tensor = given.model(batch[0])
        return loss

    given = parts(loss_of=loss_of)
    with pytest.raises(signals.Interrupted, match="SIGTERM"), signals.ending_once():
        fit.fit(given, settings(accumulate=2), record, kept, what="x")  # type: ignore[arg-type]
    assert kept.asked == [True, True] and kept.held == 0
    assert [line["step"] for line in read_history(record.folder) if "batch_loss" in line] == [0, 1]


def test_rows_at_a_time_are_told_where_memory_lacked(record: Record) -> None:
    def loss_of(batch: Any) -> Tensor:
        if len(batch[0]) > 1:
            raise MemoryError
        loss: Tensor = given.model(batch[0])
        return loss

    given = parts(loss_of=loss_of)
    fit.fit(given, settings(epochs=1), record, Kept(), what="x")  # type: ignore[arg-type]
    assert record.computed == {"rows_at_a_time": 1}


@pytest.mark.parametrize("first", [True, False])
def test_the_first_of_several_processes_draws_the_curves(
    first: bool, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Record] = []
    monkeypatch.setattr(fit, "draw_curves", drawn.append)
    monkeypatch.setattr(fit, "processes", SimpleNamespace(first=lambda: first, any_of=bool))
    fit.fit(parts(), settings(epochs=1), record, Kept(), what="x")  # type: ignore[arg-type]
    assert drawn == [record] * first


def test_curves_are_drawn_of_what_is_there(record: Record, drawn: list[Any]) -> None:
    fit.draw_curves(record)
    record.history(step=0, batch_loss=1.0)
    with pace.Pace(record.folder, torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1), 0) as timer:
        timer.batch(0, 4)
        fit.draw_curves(record)
        assert drawn == []
        timer.batch(1, 8)
    fit.draw_curves(record)
    assert drawn == [(2, fit.PACE_CURVES)]
    record.history(epoch=1, train_accuracy=0.5, val_accuracy=0.5)
    fit.draw_curves(record)
    assert [names for names, *_ in drawn[1:]] == [("train_accuracy", "val_accuracy"), 2]


def test_metrics_count_what_trains_and_give_a_speed_where_tokens_were_seen() -> None:
    seen = Seen(tokens=30, seconds=4.0, counts={"odd": 2})
    counted = {"trainable_parameters": 1, "parameters": 2}
    assert seen.metrics(Line()) == counted | {
        "tokens_seen": 30, "train_seconds": 4.0, "tokens_per_second": 7.5, "odd": 2
    }  # fmt: skip
    assert Seen(seconds=4.0).metrics(Line()) == counted | {"tokens_seen": 0, "train_seconds": 4.0}


def test_parts_are_given_by_name_for_several_are_of_one_kind() -> None:
    given = parts()
    with pytest.raises(TypeError, match="positional"):
        Parts(given.model, given.optimizer, given.loader, given.loss_of, given.losses)  # type: ignore[call-arg]


# steps


def loop(model: nn.Module, rows: int = 5, batch_size: int = 1, **more: Any) -> steps.Steps:
    values = torch.arange(1.0, rows + 1)[:, None]
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    loader: Any = DataLoader(TensorDataset(values), batch_size=batch_size)
    given: dict[str, Any] = {"epochs": 1} | more
    return steps.Steps(model, loader, optimizer, lambda batch: model(batch[0]).mean(), **given)


def one_weight(value: float = 0.0) -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, value)
    return model


def test_adamw_is_fused_where_torch_has_it_and_takes_up_another_s_state(caplog: pytest.LogCaptureFixture) -> None:
    model = one_weight()
    assert steps.adamw(model, lr=0.1, weight_decay=0.0).defaults["fused"] is True
    assert not steps.adamw(nn.Linear(1, 1, bias=False, device="meta"), lr=0.1, weight_decay=0.0).defaults["fused"]
    with caplog.at_level(logging.INFO):
        state = steps.adamw(model, lr=0.25, weight_decay=0.0).state_dict()
        assert "the optimizer goes on" not in caplog.text
        assert steps.adamw(model, lr=0.1, weight_decay=0.0, state=state).param_groups[0]["lr"] == 0.25
    assert "the optimizer goes on with lr 0.25" in caplog.text
    with pytest.raises(ValueError, match="optimizer state does not fit this model"):
        steps.adamw(nn.Linear(2, 2), lr=0.1, weight_decay=0.0, state=state)


def test_before_the_first_batch_a_state_is_that_of_a_beginning() -> None:
    state = loop(one_weight()).state()
    assert {key: state[key] for key in ("done", "epoch", "batch", "rows")} == {
        "done": 0, "epoch": 1, "batch": 0, "rows": 0
    }  # fmt: skip
    assert len(list(loop(one_weight()))) == 5


def test_the_state_of_a_training_that_is_over_puts_the_generators_where_they_stood() -> None:
    torch.manual_seed(1)
    whole = loop(one_weight())
    list(whole)
    torch.rand(3)
    state, stood = whole.state(), torch.get_rng_state()
    torch.manual_seed(2)
    other = loop(one_weight())
    other.load(state)
    assert list(other) == [] and torch.equal(torch.get_rng_state(), stood)


class Half:
    """Stands for two processes, of which this one learns the first row of two; the other's losses are 1 more each."""

    def __init__(self, model: nn.Module, targets: Any, *, draws: bool) -> None:
        self.lasts: list[bool] = []
        self.checked = 0
        self.draws = draws

    @contextmanager
    def share_of(self, batch: Any, *, last: bool) -> Iterator[tuple[Any, float]]:
        self.lasts.append(last)
        yield (batch[0][:1],), 0.5

    def through(self, call: Callable[[], Tensor]) -> Tensor:
        return call()

    def check_draws(self) -> None:
        self.checked += 1


def test_several_processes_weigh_their_rows_and_wait_with_gradients_for_the_last_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    several = SimpleNamespace(count=lambda: 2, total=lambda value: value + 3.0)
    monkeypatch.setattr(steps, "processes", several)
    monkeypatch.setattr(steps, "Ranks", Half)
    monkeypatch.setattr(steps, "_draws", lambda model: True)
    model = one_weight(2.0)
    together = loop(model, rows=10, batch_size=2, accumulate=3)
    found = [step.loss for step in together]
    ranks: Any = together.ranks
    assert ranks.draws and ranks.lasts == [False, False, True, False, True] and ranks.checked == 1
    # rows 1 3 5 7 9, each weighted by a half; the update of three has the third of their sum
    assert found[0] == pytest.approx((2 * 1 * 0.5 + 3) / 2) and found[1] == pytest.approx((2 * 3 * 0.5 + 3) / 2)
    assert model.weight.item() == pytest.approx(2 - (0.5 + 1.5 + 2.5) / 3 - (3.5 + 4.5) / 3)
    several.count = lambda: 1
    assert loop(model).ranks is None


@pytest.mark.parametrize("there", [True, False])
def test_a_gpu_gives_its_memory_back_where_a_batch_did_not_fit(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    emptied: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))
    model = one_weight()
    parts_ = loop(model, rows=2, batch_size=2)

    def loss_of(batch: Any) -> Tensor:
        if len(batch[0]) > 1:
            raise MemoryError
        loss: Tensor = model(batch[0]).mean()
        return loss

    parts_.loss_of = loss_of
    list(parts_)
    assert emptied == [1] * there


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_whether_a_model_draws_is_found_with_one_token_and_leaves_no_trace(rate: float) -> None:
    model = tiny(context_length=1, drop_rate_emb=rate).eval()
    before = torch.get_rng_state()
    assert steps._draws(model) is (rate > 0)
    assert torch.equal(torch.get_rng_state(), before) and not model.training


# rates


def test_without_a_warm_up_the_first_batch_has_the_highest_rate() -> None:
    shape: dict[str, Any] = {"total": 4, "peak": 1.0, "initial": 0.0, "minimum": 0.0, "warmup": 0}
    assert warmup_and_cosine(0, cosine=True, **shape) == 1.0 == warmup_and_cosine(0, cosine=False, **shape)


def pretraining(**more: Any) -> PretrainTraining:
    given = {"epochs": 2, "batch_size": 1, "lr": 0.5, "eval_every": 1, "eval_batches": 1}
    return PretrainTraining(**(given | more))


def rates(config: PretrainTraining, batches: int) -> list[float]:
    optimizer = torch.optim.SGD(one_weight().parameters(), lr=0.125)
    update, found = updater(config, one_weight(), optimizer, batches), []
    for step in range(config.epochs * batches):
        update(step)
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_the_rate_is_set_batch_by_batch_where_a_schedule_is_asked_for() -> None:
    assert rates(pretraining(), 3) == [0.125] * 6
    assert rates(pretraining(warmup=2, initial_lr=0.1), 3) == pytest.approx([0.1, 0.3, 0.5, 0.5, 0.5, 0.5])
    # a half cosine over the six batches of both epochs
    falling = [0.25 * (1 + math.cos(math.pi * step / 6)) for step in range(6)]
    assert rates(pretraining(decay=Decay.cosine), 3) == pytest.approx(falling)


def test_gradients_are_clipped_once_the_warm_up_is_over() -> None:
    def clipped(**more: Any) -> list[float]:
        model, found = one_weight(), []
        update = updater(pretraining(**more), model, torch.optim.SGD(model.parameters(), lr=0.1), 3)
        for step in range(4):
            model.weight.grad = torch.tensor([[3.0]])
            update(step)
            found.append(round(model.weight.grad.item(), 4))
        return found

    assert clipped(clip_norm=1.0, warmup=2) == [3, 3, 1, 1]
    assert clipped(clip_norm=0.0) == [3] * 4


# losses and logits


def test_the_loss_of_next_tokens_is_the_mean_over_all_of_a_batch() -> None:
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([[0, 1, 2], [3, 4, 0]])
    model: Any = lambda ids: logits  # noqa: E731
    found = evaluate.next_token_loss(model, machine())((torch.zeros(2, 3, dtype=torch.long), targets))
    expected = -sum(
        float(row[target] - row.exp().sum().log())
        for row, target in zip(logits.view(6, 5), targets.view(6), strict=True)
    )
    assert found.item() == pytest.approx(expected / 6)


def test_the_loss_of_answers_is_over_what_counts_and_zero_where_nothing_does() -> None:
    model = tiny()
    ids, targets = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([[-100, 7, -100], [8, -100, 9]])
    loss_of = evaluate.target_loss(model, machine())
    logits = model(ids).detach().log_softmax(dim=-1)
    expected = -(logits[0, 1, 7] + logits[1, 0, 8] + logits[1, 2, 9]) / 3
    assert loss_of((ids, targets)).item() == pytest.approx(expected.item(), rel=1e-5)
    nothing = loss_of((ids, torch.full_like(ids, -100)))
    nothing.backward()
    assert nothing.item() == 0
    assert all(p.grad is None or p.grad.abs().max() == 0 for p in model.parameters()) and nothing.requires_grad


def test_class_logits_are_those_of_a_batch_s_ids() -> None:
    model = tiny().eval()
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
    batch = (ids, torch.tensor([0, 1]), torch.tensor([0, 1]))
    for only_needed in (True, False):
        found = evaluate.class_logits_of(model, machine(only_needed=only_needed), Position.first)(batch)
        torch.testing.assert_close(found, model(ids)[:, 0])


def test_tokens_are_left_out_only_where_asked_and_while_nothing_is_drawn() -> None:
    def left_out(model: GPT, only_needed: bool = True) -> list[bool]:
        asked = evaluate.needed_only(model, machine(only_needed=only_needed))
        return [(model.train(mode), asked())[1] for mode in (True, False)]

    assert left_out(tiny(context_length=1)) == [True, True]
    assert left_out(tiny(context_length=1, drop_rate_emb=0.5)) == [False, True]
    assert left_out(tiny(), only_needed=False) == [False, False]


def test_rows_of_one_length_stay_in_the_loader_s_order_and_in_its_batches() -> None:
    class Lengths:
        """A sort that turns equal rows round unless it is told not to, as a GPU's may."""

        def argsort(self, *, stable: bool = False) -> Tensor:
            return torch.tensor([0, 1, 2] if stable else [2, 1, 0])

    together: list[list[int]] = []

    def logits_of(batch: Any) -> Tensor:
        together.append(batch[2].tolist())
        return torch.zeros(len(batch[0]), 2)

    data = TensorDataset(torch.ones(3, 4), torch.zeros(3, dtype=torch.long), torch.arange(3))
    lengths: Any = lambda ids: Lengths()  # noqa: E731
    for size, expected in ((2, [[0, 1], [2]]), (3, [[0, 1, 2]]), (5, [[0, 1, 2]])):
        together.clear()
        found = evaluate.predict(DataLoader(data, batch_size=size), logits_of, lengths=lengths)
        assert together == expected and found.indices.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="no batch to classify"):
        evaluate.predict(DataLoader(data, batch_size=4, drop_last=True), logits_of, lengths=lengths)


def test_probabilities_are_over_the_classes_of_each_row() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0], [math.log(9), 0.0]])
    data = TensorDataset(torch.ones(3, 1), torch.tensor([1, 0, 0]), torch.arange(3))
    found = evaluate.predict(DataLoader(data, batch_size=2), lambda batch: logits[batch[2]])
    expected = [[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]]
    assert torch.allclose(found.probabilities, torch.tensor(expected)) and found.accuracy == 1.0
    assert found.loss == pytest.approx(-(math.log(0.75) + math.log(0.5) + math.log(0.9)) / 3)


def test_predictions_are_written_by_split_and_index(record: Record) -> None:
    probabilities = torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    found = evaluate.Predictions(torch.tensor([1, 0]), torch.tensor([1, 1]), probabilities, 0.0)
    evaluate.write_predictions(record, {"test": found})
    assert (record.folder / "predictions.csv").read_text().splitlines() == [
        "split,index,label,prediction,probability", "test,0,1,0,0.5", "test,1,1,1,0.75"
    ]  # fmt: skip


def test_a_pace_says_rate_and_tokens_of_each_batch(record: Record) -> None:
    fit.fit(parts(), settings(epochs=1), record, Kept(), what="x")  # type: ignore[arg-type]
    lines = [json.loads(line) for line in (record.folder / pace.FILE).read_text().splitlines()]
    assert [(line["step"], line["lr"], line["tokens"]) for line in lines] == [(0, 0.5, 4), (1, 0.5, 4), (2, 0.5, 2)]
