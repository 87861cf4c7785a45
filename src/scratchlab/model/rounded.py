"""Weights in the number format that autocast would give them at every call."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from scratchlab.model.decoder import Decoder

Weights = list[tuple[nn.Linear, nn.Parameter, nn.Parameter | None]]
"""Linear layers, each with a weight and a bias to hold."""


@contextmanager
def rounded(model: Decoder) -> Iterator[None]:
    """Under autocast, hold the linear layers' weights in its format meanwhile; elsewhere change nothing.

    The numbers are the same. But autocast rounds every weight again for every token that is written, and reading them
    all is most of the work there. The weights as they were come back at the end; nothing may be trained in between.
    """
    if (dtype := _autocast(model)) is None:
        yield
        return
    with _held(_in(dtype, [layer for layer in model.modules() if isinstance(layer, nn.Linear)])):
        yield


class RoundedFrozen:
    """The same for linear layers that are frozen, while others train: rounded at the first call, once for all steps.

    Takes half as much memory again as those layers do.
    """

    def __init__(self, model: Decoder) -> None:
        self.model = model
        self._weights: Weights | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        dtype = _autocast(self.model)
        if dtype is None or self.model.checkpoints:  # blocks that run again do so outside
            yield
            return
        if self._weights is None:
            layers = [layer for layer in self.model.modules() if isinstance(layer, nn.Linear)]
            self._weights = _in(dtype, [layer for layer in layers if not _trains(layer)])
        with _held(self._weights):
            yield


def _trains(layer: nn.Linear) -> bool:
    return any(parameter.requires_grad for parameter in layer.parameters())


def _autocast(model: Decoder) -> torch.dtype | None:
    if model.sharded:  # whose weights are other ones in every pass
        return None
    device = model.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


def _in(dtype: torch.dtype, layers: list[nn.Linear]) -> Weights:
    def converted(parameter: Tensor) -> nn.Parameter:
        return nn.Parameter(parameter.detach().to(dtype), requires_grad=False)

    return [(layer, converted(layer.weight), None if layer.bias is None else converted(layer.bias)) for layer in layers]


@contextmanager
def _held(weights: Weights) -> Iterator[None]:
    before = [(layer, layer.weight, layer.bias) for layer, _, _ in weights]
    try:
        for layer, weight, bias in weights:
            layer.weight, layer.bias = weight, bias  # type: ignore[assignment]
        yield
    finally:
        for layer, own_weight, own_bias in before:
            layer.weight, layer.bias = own_weight, own_bias
