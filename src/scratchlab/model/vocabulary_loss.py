"""The mean cross-entropy of next tokens, some rows of the vocabulary's logits at a time (chapter 7)."""

# N targets, C embedding, V vocabulary

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from scratchlab.model.decoder import Decoder
from scratchlab.model.tune import LinearWithLoRA

ROWS = 256
"""Rows of logits that exist at a time: enough for the matrix products to run at full speed."""

_BLOCK = 8
"""Rows that the softmax takes at a time, so that they stay in the processor's cache."""


def vocabulary_loss(model: Decoder, x: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy of the logits that `head` gives for x (N, C), N above 0, and `targets` (N).

    Beyond `ROWS` targets the logits (N, V) never exist as a whole, neither forward nor backward: loss and gradients are
    computed together, chunk by chunk, with the same three matrix products. The sums run in another order, so last bits
    may differ from those of the plain way.
    """
    head = model.out_head
    if len(x) <= ROWS:
        return F.cross_entropy(model.head(x).float(), targets)
    x = model.final_norm(x)
    match head:
        case None:
            terms = [x, model.tok_emb.weight]
        case LinearWithLoRA(linear=linear, lora=lora):
            terms = [x, linear.weight, lora.scale * (x @ lora.A), lora.B.T]
        case nn.Linear(bias=None, weight=weight):
            terms = [x, weight]
        case _:
            raise TypeError(f"the head is a {type(head).__name__}; possible: a linear layer without bias, or the table")
    return _InChunks.apply(targets, torch.is_grad_enabled(), *terms)


class _InChunks(torch.autograd.Function):
    """Cross-entropy of a sum of products: terms are x1 (N, C1), w1 (V, C1), x2 (N, C2), w2 (V, C2), ..."""

    @staticmethod
    def forward(ctx: Any, targets: Tensor, learn: bool, *terms: Tensor) -> Tensor:
        device = targets.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else terms[0].dtype
        with torch.autocast(device, enabled=False):
            cast = [term.to(dtype) for term in terms]
            pairs = list(zip(cast[::2], cast[1::2], strict=True))
            needed = [learn and need for need in ctx.needs_input_grad[2:]]
            grads = [torch.empty_like(term) if need else None for term, need in zip(terms, needed, strict=True)]
            losses = targets.new_empty(len(targets), dtype=torch.float32)
            buffer = pairs[0][0].new_empty(ROWS, len(pairs[0][1]))
            for start in range(0, len(targets), ROWS):
                rows = slice(start, min(start + ROWS, len(targets)))
                logits = buffer[: rows.stop - start]
                torch.mm(pairs[0][0][rows], pairs[0][1].T, out=logits)
                for x, weight in pairs[1:]:
                    logits += x[rows] @ weight.T
                losses[rows] = _softmax_less_target(logits, targets[rows])
                if learn:
                    _add_gradients(grads, pairs, logits, rows, 1 / len(targets))
        ctx.grads = grads
        return losses.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor) -> Any:
        grads, ctx.grads = ctx.grads, None
        if factor != 1:  # another pass over the largest matrix of all
            for grad in grads:
                if grad is not None:
                    grad *= factor
        return None, None, *grads


def _softmax_less_target(logits: Tensor, targets: Tensor) -> Tensor:
    """Losses (rows); the logits (rows, V) become their gradient in place: probabilities, less 1 at the target."""
    losses = []
    for part, target in zip(logits.split(_BLOCK), targets.split(_BLOCK), strict=True):
        exact = part.float()  # the same memory, if they are in float32 already
        exact -= exact.amax(dim=-1, keepdim=True)
        wanted = exact.gather(-1, target[:, None])[:, 0]
        total = exact.exp_().sum(dim=-1)
        losses.append(total.log() - wanted)
        exact /= total[:, None]
        exact.scatter_add_(-1, target[:, None], -torch.ones_like(wanted)[:, None])
        if exact.dtype != part.dtype:
            part.copy_(exact)
    return torch.cat(losses)


def _add_gradients(
    grads: list[Tensor | None], pairs: list[tuple[Tensor, Tensor]], outer: Tensor, rows: slice, scale: float
) -> None:
    """Add what some rows give to the gradients of the terms, times `scale`; `outer`: their logits' gradient."""
    for (x, weight), of_x, of_weight in zip(pairs, grads[::2], grads[1::2], strict=True):
        if of_x is not None:
            of_x[rows] = scale * (outer @ weight)
        if of_weight is None:
            continue
        if of_weight.dtype == outer.dtype:
            of_weight.addmm_(outer.T, x[rows], alpha=scale, beta=1 if rows.start else 0)
        elif rows.start:
            of_weight.add_(outer.T @ x[rows], alpha=scale)
        else:
            torch.mul(outer.T @ x[rows], scale, out=of_weight)
