"""Read a class from a GPT: at which position, and with which loss (chapter 6 and its variants)."""

import torch
from torch import Tensor

from scratchlab.model.config import Position
from scratchlab.model.gpt import GPT
from scratchlab.text import END_OF_TEXT


def class_logits(model: GPT, ids: Tensor, position: Position) -> Tensor:
    """Map ids (B, T) to class logits (B, classes) at `position`.

    `mean` averages logits over every position, padding included, as published; the head is linear, so this is
    the same as averaging what the head reads.
    """
    x = model.embed(ids)
    for block in model.blocks:
        x = block(x)
    match position:
        case Position.first:
            return model.head(x[:, 0])
        case Position.last:
            return model.head(x[:, -1])
        case Position.last_real:
            rows = torch.arange(len(ids), device=ids.device)
            return model.head(x[rows, (ids != END_OF_TEXT).sum(dim=1) - 1])
        case Position.mean:
            return model.head(x).mean(dim=1)
