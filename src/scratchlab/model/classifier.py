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
    x = model.states(ids)
    match position:
        case Position.first:
            return model.head(x[:, 0])
        case Position.last:
            return model.head(x[:, -1])
        case Position.last_real:
            rows = torch.arange(len(ids), device=ids.device)
            return model.head(x[rows, (ids != model.tokenizer.pad).sum(dim=1) - 1])
        case Position.mean:
            return model.head(x).mean(dim=1)
