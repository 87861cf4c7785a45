"""The training loop: a state kept between two steps is all that the next ones depend on."""

import io
from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from scratchlab.training import steps


def three_epochs(accumulate: int = 1) -> steps.Steps:
    """Three epochs of five shuffled batches, with dropout, one frozen layer, and a rate that follows the batch."""
    torch.manual_seed(1)
    data = TensorDataset(torch.randn(11, 4), torch.randint(3, (11,)))
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
    for parameter in model[0].parameters():
        parameter.requires_grad = False
    optimizer = steps.adamw(model, lr=0.1, weight_decay=0.1)

    def rate(number: int) -> None:
        optimizer.param_groups[0]["lr"] = 0.1 / (number + 1)

    return steps.Steps(
        model,
        DataLoader(data, batch_size=2, shuffle=True, drop_last=True),
        optimizer,
        lambda batch: F.cross_entropy(model(batch[0]), batch[1]),
        epochs=3,
        accumulate=accumulate,
        before_update=rate,
    )


def evaluate(loop: steps.Steps) -> None:
    """What a caller does between steps: draws, and puts the model into evaluation mode and back."""
    loop.model.eval()
    next(iter(loop.loader))
    torch.rand(3)
    loop.model.train()


def follow(loop: steps.Steps) -> Iterator[steps.Step]:
    for step in loop:
        if step.number % 2 == 0:
            evaluate(loop)
        yield step


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_a_state_written_to_a_file_leads_another_process_to_the_same_numbers(accumulate: int) -> None:
    whole = three_epochs(accumulate)
    expected, states = [], {}
    for step in follow(whole):
        expected.append(step)
        if whole.complete:
            file = io.BytesIO()
            torch.save(whole.state(), file)
            states[step.number] = file.getvalue()
    assert len(expected) == len(whole) == 15
    assert {4, 9, 14} <= set(states)  # the ends of the epochs
    for number, state in states.items():
        other = three_epochs(accumulate)
        torch.manual_seed(99)
        other.load(torch.load(io.BytesIO(state), weights_only=True))
        assert [*expected[: number + 1], *follow(other)] == expected
        for ours, theirs in zip(other.model.parameters(), whole.model.parameters(), strict=True):
            assert torch.equal(ours, theirs)


def test_a_state_between_gradient_and_update_is_refused() -> None:
    loop = three_epochs(accumulate=2)
    next(iter(loop))
    assert not loop.complete
    with pytest.raises(RuntimeError, match="batch 0 has not moved the parameters yet: accumulate=2"):
        loop.state()


def test_a_state_holds_what_trains_and_not_what_is_frozen() -> None:
    loop = three_epochs()
    next(iter(loop))
    assert set(loop.state()["trainable"]) == {"2.weight", "2.bias"}


IGNORE = -100


def regression(rows_that_fit: int, *, where: str, accumulate: int) -> steps.Steps:
    """Two epochs whose batches have unequal numbers of targets, on a machine with memory for so many rows.

    Plain gradient descent, since Adam would hide a wrong scale; in float64, so that only the order of sums differs.
    """
    torch.manual_seed(5)
    targets = torch.randint(3, (14,))
    targets[[0, 1, 3, 6, 10]] = IGNORE
    data = TensorDataset(torch.randn(14, 4, dtype=torch.float64), targets)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()

    def fails(rows: int) -> None:
        if rows > rows_that_fit:
            if where == "allocator":
                raise RuntimeError(
                    "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: ..."
                )
            raise torch.OutOfMemoryError("CUDA out of memory.")

    def loss_of(batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        x = model[1](model[0](batch[0]))
        if where != "backward":
            fails(len(x))
        elif x.requires_grad:  # the last layer's gradients are there by then, the first one's are not
            x.register_hook(lambda _: fails(len(x)))
        logits = model[2](x)
        if (batch[1] == IGNORE).all():
            return logits.sum() * 0
        return F.cross_entropy(logits, batch[1], ignore_index=IGNORE)

    return steps.Steps(
        model,
        DataLoader(data, batch_size=5, shuffle=True),
        torch.optim.SGD(model.parameters(), lr=0.5),
        loss_of,
        epochs=2,
        accumulate=accumulate,
        targets=lambda batch: int((batch[1] != IGNORE).sum()),
    )


@pytest.mark.parametrize("where", ["forward", "backward", "allocator"])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(("fits", "rows"), [(5, 0), (3, 3), (2, 2), (1, 1)])
def test_out_of_memory_halves_the_rows_and_keeps_losses_and_updates(
    where: str, accumulate: int, fits: int, rows: int
) -> None:
    whole, parts = (regression(limit, where=where, accumulate=accumulate) for limit in (99, fits))
    expected = [step.loss for step in whole]
    torch.manual_seed(5)
    parts = regression(fits, where=where, accumulate=accumulate)
    assert [step.loss for step in parts] == pytest.approx(expected, rel=1e-12)
    assert (whole.rows, parts.rows) == (0, rows)
    for ours, theirs in zip(parts.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_batches_are_counted_once_however_often_they_are_learned() -> None:
    loop = regression(2, where="backward", accumulate=2)
    counted: list[int] = []
    loop.before_batch = lambda batch: counted.append(len(batch[0]))
    assert len(list(loop)) == len(counted) == 6
    assert sum(counted) == 2 * 14


def test_a_single_row_that_does_not_fit_says_what_is_possible() -> None:
    with pytest.raises(torch.OutOfMemoryError) as caught:
        list(regression(0, where="forward", accumulate=1))
    assert "compute.checkpoint_activations=true" in caught.value.__notes__[0]


def test_an_error_that_is_not_about_memory_goes_on() -> None:
    loop = regression(99, where="forward", accumulate=1)
    tried: list[int] = []

    def fails(batch: object) -> torch.Tensor:
        tried.append(1)
        raise RuntimeError("shapes differ")

    loop.loss_of = fails
    with pytest.raises(RuntimeError, match="shapes differ"):
        list(loop)
    assert len(tried) == 1


def test_parts_go_on_as_parts_where_a_state_was_taken_up() -> None:
    loop = regression(2, where="forward", accumulate=1)
    next(iter(loop))
    other = regression(99, where="forward", accumulate=1)
    other.load(loop.state())
    assert other.rows == loop.rows == 2
