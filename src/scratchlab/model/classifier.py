"""Read a class from a decoder: at which position, and with which loss (chapter 6 and its variants)."""

import torch
from torch import Tensor

from scratchlab.model.config import Position
from scratchlab.model.decoder import Decoder


def class_logits(model: Decoder, ids: Tensor, position: Position) -> Tensor:
    """Map ids (B, T) to class logits (B, classes) at `position`.

    `mean` averages logits over every position, padding included, as published; the head is linear, so this is
    the same as averaging what the head reads.
    """
    return logits_at(model, model.states(ids), ids, position)


def logits_at(model: Decoder, x: Tensor, ids: Tensor, position: Position) -> Tensor:
    """The same from the states (B, T, C) that the blocks make of `ids`."""
    match position:
        case Position.first:
            return model.head(x[:, 0])
        case Position.last:
            return model.head(x[:, -1])
        case Position.last_real:
            return model.head(x[torch.arange(len(ids), device=ids.device), place(model, ids, position)])
        case Position.mean:
            return model.head(x).mean(dim=1)


def place(model: Decoder, ids: Tensor, position: Position) -> Tensor:
    """Where in each row of `ids` (B, T) the class is read, (B).

    Raises:
        ValueError: it is read everywhere.
    """
    match position:
        case Position.first:
            return ids.new_zeros(len(ids))
        case Position.last:
            return ids.new_full((len(ids),), ids.shape[1] - 1)
        case Position.last_real:
            return (ids != model.tokenizer.pad).sum(dim=1) - 1
        case Position.mean:
            raise ValueError("position=mean: no one place is read")
