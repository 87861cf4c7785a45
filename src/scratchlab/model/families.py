"""Which class belongs to which configuration: the one place that knows every family of models."""

from scratchlab.model.config import ModelConfig
from scratchlab.model.decoder import Decoder
from scratchlab.model.gpt import GPT


def make(config: ModelConfig) -> Decoder:
    """A model with random weights (or none, on the meta device); draws come from torch's global generator."""
    return GPT(config)
