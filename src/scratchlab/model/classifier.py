"""Class logits of a model, read at one place of the input or averaged over it (chapter 6)."""

import torch
from torch import Tensor

from scratchlab.model.config import Position
from scratchlab.model.decoder import Decoder


def class_logits(model: Decoder, ids: Tensor, position: Position, *, only_needed: bool = False) -> Tensor:
    """Map ids (B, T) to class logits (B, classes); `last_real` reads the last token that is no padding.

    `mean` averages logits over every position, padding included, as published; the head is linear, so this is
    the same as averaging what the head reads. `only_needed`: leave out what cannot act on them, which changes the last
    bits of floats; while a model draws random numbers it would draw others.
    """
    seen = ids[:, : needed(model, ids, position)] if only_needed else ids
    x = model.embed(seen, torch.arange(seen.shape[1], device=ids.device))
    return logits_from(model, x, ids, position, done=0, only_needed=only_needed)


def logits_from(
    model: Decoder, x: Tensor, ids: Tensor, position: Position, *, done: int, only_needed: bool = False
) -> Tensor:
    """The same from the states (B, T, C) that embedding and the first `done` blocks make of `ids`.

    `x` may be cut where `ids` are not, after the tokens that are needed.
    """
    rest = model.blocks[done:]
    if only_needed:
        x = x[:, : needed(model, ids, position)]
    positions = torch.arange(x.shape[1], device=x.device)
    at = None if position is Position.mean else place(model, ids, position)
    if not (only_needed and rest) or at is None:
        for block in rest:
            x = block(x, positions)
        return model.head(x).mean(dim=1) if at is None else model.head(x[torch.arange(len(ids), device=x.device), at])
    for block in rest[:-1]:
        x = block(x, positions)
    return model.head(rest[-1].forward_at(x, positions, at))


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
            # a row of nothing but padding is read at its end
            return ((ids != model.tokenizer.pad).sum(dim=1) - 1) % ids.shape[1]
        case Position.mean:
            raise ValueError("position=mean: no one place is read")


def needed(model: Decoder, ids: Tensor, position: Position) -> int:
    """How many tokens of `ids` (B, T), from the first, can act on the logits: those up to the last place that is read.

    All where a token sees later ones.
    """
    if not model.config.causal or position is Position.mean:
        return ids.shape[1]
    return int(place(model, ids, position).max()) + 1
