"""Which class belongs to which configuration: the one place that knows every family of models."""

import torch

from scratchlab.model.config import GPTConfig, ModelConfig
from scratchlab.model.decoder import Decoder
from scratchlab.model.gpt import GPT
from scratchlab.model.llama import Llama
from scratchlab.model.memory import check_fits
from scratchlab.model.shapes import Family


def make(config: GPTConfig | ModelConfig) -> Decoder:
    """A model with random weights (or none, on the meta device); draws come from torch's global generator.

    Raises:
        ValueError: its weights would not fit into this machine's memory.
    """
    if torch.get_default_device().type != "meta":
        check_fits(config)
    if isinstance(config, ModelConfig) and config.family is Family.llama:
        return Llama(config)
    return GPT(config)


def make_empty(config: GPTConfig | ModelConfig) -> Decoder:
    """The model on torch's meta device, where parameters have a shape and take no memory."""
    with torch.device("meta"):
        return make(config)
