"""Data and training at their borders: counts by hand, on lists and models small enough to follow."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from scratchlab.data import corpus, instructions
from scratchlab.generation import sampling
from scratchlab.generation.responses import read
from scratchlab.training import evaluate
from scratchlab.training.schedule import warmup_and_cosine
from scratchlab.training.steps import Steps


def written(*items: tuple[int, int]) -> instructions.Instructions:
    """Entries by their numbers of tokens and of those of the question."""
    data = object.__new__(instructions.Instructions)
    data.items = [instructions.Item(list(range(10, 10 + length)), question) for length, question in items]
    data.tokenizer = SimpleNamespace(pad=0, end=1)  # type: ignore[assignment]
    return data


def test_targets_are_counted_as_collating_makes_them() -> None:
    data = written((5, 2), (3, 3), (8, 6), (4, 1))
    for mask in (False, True):
        for most in (1, 2, 3, 4, 5, 6, 8, 9):
            found = instructions.count(data, mask=mask, max_length=most)
            kept = dropped = 0
            for item in data:
                _, targets = instructions.collate([item], data.tokenizer, mask=mask, max_length=most)
                width = min(len(item.ids), most)  # the end of text is one of them where there is room
                kept += int((targets[0, :width] != instructions.IGNORE).sum())
                dropped += int((targets[0, :width] == instructions.IGNORE).sum())
            assert (found.targets, found.masked) == (kept + dropped, dropped)
            assert found.cut == sum(length > most for length in (5, 3, 8, 4))
            assert found.lost == sum(question - 1 >= most for question in (2, 3, 6, 1))
    found = instructions.count(data, mask=True, max_length=9)
    assert (found.tokens_mean, found.tokens_max) == (5.0, 8)


def test_a_batch_is_as_wide_as_its_longest_entry_or_the_most_that_is_allowed() -> None:
    data = written((5, 3), (2, 1))
    inputs, targets = instructions.collate(list(data), data.tokenizer, mask=True, max_length=9)
    assert inputs.tolist() == [[10, 11, 12, 13, 14], [10, 11, 0, 0, 0]]
    ignore = instructions.IGNORE
    assert targets.tolist() == [[ignore, ignore, 13, 14, 1], [11, 1, ignore, ignore, ignore]]
    inputs, targets = instructions.collate(list(data), data.tokenizer, mask=False, max_length=4)
    assert inputs.tolist() == [[10, 11, 12, 13], [10, 11, 0, 0]]
    assert targets.tolist() == [[11, 12, 13, 14], [11, 1, ignore, ignore]]
    assert ignore == -100 == nn.CrossEntropyLoss().ignore_index
    assert instructions.has_target((inputs, targets))
    assert not instructions.has_target((inputs, torch.full_like(targets, ignore)))


def test_entries_are_cut_85_10_5_by_whole_numbers() -> None:
    for total in (20, 21, 99, 1100):
        entries: list[Any] = list(range(total))
        found = instructions.split(entries)
        train, test = 85 * total // 100, 10 * total // 100
        assert [len(found[name]) for name in ("train", "test", "val")] == [train, test, total - train - test]
        assert found["train"] + found["test"] + found["val"] == entries


def test_instruction_batches_are_whole_and_shuffled_in_training_only() -> None:
    splits = {"train": written(*[(4, 2)] * 7), "val": written(*[(4, 2)] * 7)}
    found = instructions.loaders(splits, batch_size=3, mask=True, max_length=9)
    assert [len(found[name]) for name in ("train", "val")] == [2, 3]
    assert type(found["train"].sampler).__name__ == "RandomSampler"
    assert type(found["val"].sampler).__name__ == "SequentialSampler"
    assert len(instructions.loaders(splits, batch_size=7, mask=True, max_length=9)["train"]) == 1
    with pytest.raises(ValueError, match="possible: 1 to 7"):
        instructions.loaders(splits, batch_size=8, mask=True, max_length=9)


def test_windows_are_full_and_have_a_token_after_them() -> None:
    for total, length, stride in ((10, 4, 4), (9, 4, 4), (5, 4, 1), (4, 4, 1), (3, 4, 1), (10, 3, 2)):
        windows = corpus.Windows(list(range(total)), length, stride)
        starts = [start for start in range(0, total, stride) if start + length < total]
        assert len(windows) == len(starts)
        if starts:
            ids, following = windows.__getitems__(list(range(len(starts))))
            assert ids.tolist() == [list(range(s, s + length)) for s in starts]
            assert following.tolist() == [list(range(s + 1, s + length + 1)) for s in starts]


def test_a_text_needs_a_batch_to_train_on_and_a_window_to_validate() -> None:
    tokenizer: Any = SimpleNamespace(encode=lambda text: list(range(len(text))))

    def made(train: int, val: int) -> dict[str, Any]:
        config: Any = SimpleNamespace(train_fraction=train / (train + val))
        text = "x" * (train + val)
        return corpus.loaders(text, config, tokenizer, length=4, stride=4, batch_size=2)

    assert {name: len(loader) for name, loader in made(9, 9).items()} == {"train": 1, "val": 1}
    assert {name: len(loader) for name, loader in made(13, 13).items()} == {"train": 1, "val": 2}  # 3 windows each
    assert {name: len(loader) for name, loader in made(9, 5).items()} == {"train": 1, "val": 1}
    for train, val, lacking in ((8, 9, "train"), (9, 4, "val")):
        with pytest.raises(ValueError, match=f"the {lacking} part of the text has {min(train, val)} tokens"):
            made(train, val)


def test_the_rate_rises_in_a_line_and_falls_along_half_a_cosine() -> None:
    shape = {"total": 12, "peak": 1.0, "initial": 0.2, "minimum": 0.1, "warmup": 4}
    rates = [warmup_and_cosine(step, cosine=True, **shape) for step in range(13)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    # half way 0.55; at a quarter and three quarters 0.55 +- 0.45 cos(45 degrees)
    assert [rates[8], rates[12]] == pytest.approx([0.55, 0.1])
    assert [rates[6], rates[10]] == pytest.approx([0.55 + 0.45 / math.sqrt(2), 0.55 - 0.45 / math.sqrt(2)])
    level = [warmup_and_cosine(step, cosine=False, **shape) for step in range(13)]
    assert level == pytest.approx(rates[:4] + [1.0] * 9)


def line(weight: float = 1.0) -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, weight)
    return model


def trained(rows: int, batch_size: int, **settings: Any) -> tuple[list[Any], list[float], Steps]:
    """A line through zero under gradient descent at rate 1; the loss is the mean output: a batch moves by its mean."""
    model = line(0.0)
    values = torch.arange(1.0, rows + 1)[:, None]
    loader: Any = DataLoader(TensorDataset(values), batch_size=batch_size)
    optimizer: Any = torch.optim.SGD(model.parameters(), lr=1.0)
    steps = Steps(model, loader, optimizer, lambda batch: model(batch[0]).mean(), **({"epochs": 1} | settings))
    found, weights = [], []
    for step in steps:
        found.append(step)
        weights.append(model.weight.item())
    return found, weights, steps


def test_steps_are_numbered_and_move_the_parameters_batch_by_batch() -> None:
    updates: list[int] = []
    seen: list[Any] = []

    def before_batch(batch: Any) -> None:
        seen.append(batch[0].tolist())

    found, weights, steps = trained(5, 2, epochs=2, before_update=updates.append, before_batch=before_batch)
    assert [(s.number, s.epoch, s.ends_epoch) for s in found] == [
        (0, 1, False), (1, 1, False), (2, 1, True), (3, 2, False), (4, 2, False), (5, 2, True)
    ]  # fmt: skip
    assert len(steps) == 6 and updates == [0, 1, 2, 3, 4, 5] and seen[:3] == [[[1.0], [2.0]], [[3.0], [4.0]], [[5.0]]]
    assert weights == pytest.approx([-1.5, -5, -10, -11.5, -15, -20])
    assert [s.loss for s in found[:3]] == pytest.approx([0, -1.5 * 3.5, -5 * 5])


def test_accumulated_batches_move_the_parameters_together_divided_by_their_number() -> None:
    updates: list[int] = []
    found, weights, steps = trained(5, 1, accumulate=2, before_update=updates.append)
    # batches 1 and 2: (1 + 2) / 2; 3 and 4: 3.5; the last alone, divided by two all the same: 2.5
    assert weights == pytest.approx([0, -1.5, -1.5, -5, -7.5]) and updates == [1, 3, 4]
    assert steps.complete and [s.loss for s in found] == pytest.approx([0, 0, -4.5, -6, -25])


def test_a_batch_in_parts_is_the_whole_batch() -> None:
    for rows in (1, 2, 3):
        model = line(1.0)
        loader: Any = DataLoader(TensorDataset(torch.arange(1.0, 6)[:, None]), batch_size=5)
        optimizer: Any = torch.optim.SGD(model.parameters(), lr=1.0)
        parts: list[int] = []

        def loss_of(batch: Any, model: nn.Linear = model, parts: list[int] = parts) -> torch.Tensor:
            parts.append(len(batch[0]))
            return model(batch[0]).mean()

        steps = Steps(model, loader, optimizer, loss_of, epochs=1)
        steps.rows = rows
        assert next(iter(steps)).loss == pytest.approx(3.0) and model.weight.item() == pytest.approx(1 - 3.0)
        assert parts == [rows] * (5 // rows) + [5 % rows] * (5 % rows > 0)


def test_memory_that_lacks_halves_the_rows_rounded_up() -> None:
    model, sizes = line(), []

    def loss_of(batch: Any) -> torch.Tensor:
        sizes.append(len(batch[0]))
        if len(batch[0]) > 2:
            raise MemoryError
        return model(batch[0]).mean()

    loader: Any = DataLoader(TensorDataset(torch.ones(7, 1)), batch_size=7)
    steps = Steps(model, loader, torch.optim.SGD(model.parameters(), lr=1.0), loss_of, epochs=1)  # type: ignore[arg-type]
    list(steps)
    assert sizes == [7, 4, 2, 2, 2, 1] and steps.rows == 2 and model.weight.item() == pytest.approx(0.0, abs=1e-6)


def test_a_state_says_where_the_next_batch_stands() -> None:
    model = line()
    loader: Any = DataLoader(TensorDataset(torch.ones(4, 1)), batch_size=2)

    def made(epochs: int = 2) -> Steps:
        optimizer: Any = torch.optim.SGD(model.parameters(), lr=0.1)
        return Steps(model, loader, optimizer, lambda batch: model(batch[0]).mean(), epochs=epochs)

    places = []
    steps = made()
    for _ in steps:
        state = steps.state()
        places.append((state["done"], state["epoch"], state["batch"]))
    assert places == [(1, 1, 1), (2, 2, 0), (3, 2, 1), (4, 3, 0)]
    for epoch, batch in ((1, 0), (3, 0), (2, 1)):
        made().load(state | {"epoch": epoch, "batch": batch})
    for epoch, batch in ((4, 0), (0, 0), (1, 2), (1, -1)):
        with pytest.raises(ValueError, match=f"epoch {epoch}, batch {batch}"):
            made().load(state | {"epoch": epoch, "batch": batch})
    steps = made()
    steps.load({key: value for key, value in state.items() if key != "rows"})
    assert steps.rows == 0 and list(steps) == []


def test_a_mean_loss_is_over_the_first_batches() -> None:
    losses = [torch.tensor(value) for value in (1.0, 2.0, 6.0)]
    assert evaluate.mean_loss(losses, lambda loss: loss) == 3.0
    assert (
        evaluate.mean_loss(losses, lambda loss: loss, 2) == 1.5
        and evaluate.mean_loss(losses, lambda loss: loss, 1) == 1.0
    )
    assert math.isnan(evaluate.mean_loss([], lambda loss: loss))


def test_predictions_keep_their_order_whatever_is_classified_together() -> None:
    ids = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 1, 1]])
    labels, indices = torch.tensor([1, 0, 1, 1, 0]), torch.tensor([4, 3, 2, 1, 0])
    loader: Any = DataLoader(TensorDataset(ids, labels, indices), batch_size=2)
    batches: list[list[int]] = []

    def logits_of(batch: Any) -> torch.Tensor:
        length = batch[0].sum(dim=1)
        batches.append(length.tolist())
        return torch.stack([torch.zeros(len(length)), length - 2.0], dim=1)

    plain = evaluate.predict(loader, logits_of)
    assert batches == [[3, 1], [2, 1], [3]] and plain.indices.tolist() == [4, 3, 2, 1, 0]
    batches.clear()
    sorted_ = evaluate.predict(loader, logits_of, lengths=lambda rows: rows.sum(dim=1))
    assert batches == [[1, 1], [2, 3], [3]]
    for name in ("indices", "labels", "probabilities"):
        assert torch.equal(getattr(plain, name), getattr(sorted_, name))
    assert plain.predicted.tolist() == [1, 0, 0, 0, 1] and plain.accuracy == pytest.approx(2 / 5)
    odds = [math.exp(1), math.exp(-1), 1, math.exp(-1), math.exp(1)]
    right = [odd / (1 + odd) if label else 1 / (1 + odd) for odd, label in zip(odds, labels.tolist(), strict=True)]
    assert plain.loss == pytest.approx(-sum(map(math.log, right)) / 5, rel=1e-6)
    assert evaluate.predict(loader, logits_of, 1).indices.tolist() == [4, 3]
    with pytest.raises(ValueError, match="no batch to classify"):
        evaluate.predict(loader, logits_of, 0)


def test_the_probability_that_is_told_is_of_spam_or_of_the_label() -> None:
    def told(probabilities: list[list[float]], labels: list[int]) -> list[float]:
        one = torch.tensor(labels)
        found = evaluate.Predictions(one, one, torch.tensor(probabilities), 0.0)
        return [round(value, 3) for value in evaluate._told(found).tolist()]

    assert told([[0.9, 0.1], [0.3, 0.7]], [0, 0]) == [0.1, 0.7]
    assert told([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]], [0, 2]) == [0.5, 0.6]


def test_top_k_and_temperature_at_their_ends() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0]])
    assert sampling.keep_top_k(logits, 3).tolist() == logits.tolist()
    assert sampling.keep_top_k(logits, 1).tolist() == [[-math.inf, 3.0, -math.inf]]
    with pytest.raises(ValueError, match="only 3 tokens"):
        sampling.keep_top_k(logits, 4)
    odds = [math.exp(value / 2) for value in (1, 3, 2)]
    assert sampling.probabilities(logits, 2.0).tolist()[0] == pytest.approx([odd / sum(odds) for odd in odds])
    whole = [math.exp(value) for value in (1, 3, 2)]
    assert sampling.probabilities(logits).tolist()[0] == pytest.approx([one / sum(whole) for one in whole])
    for temperature in (0, -0.5):
        with pytest.raises(ValueError, match="need one above 0"):
            sampling.probabilities(logits, temperature)
    model: Any = SimpleNamespace(config=SimpleNamespace(vocab_size=10))
    config: Any = SimpleNamespace(top_k=10)
    sampling._check(model, [[0, 9]], config)
    for prompt in ([10], [-1]):
        with pytest.raises(ValueError, match=r"prompt 1 has the ids \[.*possible: 0 to 9"):
            sampling._check(model, [[0], prompt], config)
    with pytest.raises(ValueError, match=r"the ids \[10, 11, 12, 13, 14\]; possible"):
        sampling._check(model, [[10, 11, 12, 13, 14, 15]], config)
    config.top_k = 11
    with pytest.raises(ValueError, match="only 10 tokens"):
        sampling._check(model, [[0]], config)


def test_answers_are_read_up_to_a_line_that_was_cut(tmp_path: Any) -> None:
    path = tmp_path / "responses.jsonl"
    assert read(path) == {}
    path.write_text('{"index": 1, "ids": [5, 6]}\n{"index": 0, "ids": []}\n{"index": 2, "i')
    assert read(path) == {1: [5, 6], 0: []}
