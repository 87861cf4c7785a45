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
