"""What a model writes after each epoch of its training, as the book prints it."""

import torch

from scratchlab.data.instructions import Entry
from scratchlab.generation import sampling
from scratchlab.generation.config import SamplingConfig
from scratchlab.model.decoder import Decoder
from scratchlab.text.prompts import PromptConfig, parts, render


def continued(model: Decoder, start: str, config: SamplingConfig) -> str:
    """The start and what the model writes after it, on one line."""
    ids = model.tokenizer.encode(start)
    with torch.random.fork_rng():  # how samples are drawn must not change the training
        (new,) = sampling.generate(model, [ids], config)
    return model.tokenizer.decode(ids + new).replace("\n", " ")


def answered(model: Decoder, prompt: PromptConfig, entry: Entry) -> str:
    """An entry's question and the first 50 tokens that the model says to it."""
    question, _ = render(prompt, entry)
    ids = model.tokenizer.encode_parts(parts(prompt, entry)[0])
    [new] = sampling.generate(model, [ids], SamplingConfig(max_new_tokens=50), end_token=model.tokenizer.end)
    return question + model.tokenizer.decode(new)
