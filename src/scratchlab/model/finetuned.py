"""The model of a run that fine-tunes: starting weights, a new head where the task has classes, what may train."""

import torch

from scratchlab.model import families, tune, weights
from scratchlab.model.config import ModelConfig, Trainable, TuneConfig, WeightsConfig
from scratchlab.model.decoder import Decoder


def classifier(
    config: ModelConfig, start: WeightsConfig, tuning: TuneConfig, *, classes: int, seed: int
) -> tuple[Decoder, str]:
    """A model whose head gives class logits, as in chapter 6; and the hash of its starting weights."""
    torch.manual_seed(seed)
    model, weights_hash = weights.build(config, start)
    torch.manual_seed(seed)  # the head is drawn from a fresh start, LoRA's matrices follow on
    tune.add_class_head(model, classes)
    tune.choose_trainable(model, tuning, new_head=True)
    return model, weights_hash


def writer(config: ModelConfig, start: WeightsConfig, tuning: TuneConfig, *, seed: int) -> tuple[Decoder, str]:
    """A model that goes on writing, as in chapter 7; and the hash of its starting weights.

    Random weights are drawn even where others take their place: LoRA's matrices come after them in the script's order.
    """
    torch.manual_seed(seed)
    model = families.make(config)
    weights_hash = weights.load(model, start)
    tune.choose_trainable(model, tuning, new_head=tuning.trainable is Trainable.last_layer)
    return model, weights_hash
