"""Weights in the number format that autocast would give them at every call."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from scratchlab.model.decoder import Decoder


@contextmanager
def rounded(model: Decoder) -> Iterator[None]:
    """Under autocast, hold the linear layers' weights in its format meanwhile; elsewhere change nothing.

    The numbers are the same. But autocast rounds every weight again for every token that is written, and reading them
    all is most of the work there. The weights as they were come back at the end; nothing may be trained in between.
    """
    device = model.device.type
    if not torch.is_autocast_enabled(device):
        yield
        return
    dtype = torch.get_autocast_dtype(device)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    kept = [(layer, layer.weight, layer.bias) for layer in layers]
    try:
        for layer, weight, bias in kept:
            layer.weight = _in(dtype, weight)
            layer.bias = None if bias is None else _in(dtype, bias)
        yield
    finally:
        for layer, weight, bias in kept:
            layer.weight, layer.bias = weight, bias


def _in(dtype: torch.dtype, parameter: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(parameter.detach().to(dtype), requires_grad=False)
