"""What a model writes after each epoch of its training, as the book prints it."""

import torch

from scratchlab import sampling, text
from scratchlab.data.instructions import Entry
from scratchlab.model.gpt import GPT
from scratchlab.prompts import PromptConfig, render
from scratchlab.sampling_config import SamplingConfig


def continued(model: GPT, start: str, config: SamplingConfig) -> str:
    """The start and what the model writes after it, on one line."""
    ids = text.encode(start)
    with torch.random.fork_rng():  # how samples are drawn must not change the training
        (new,) = sampling.generate(model, [ids], config)
    return text.encoding().decode(ids + new).replace("\n", " ")


def answered(model: GPT, prompt: PromptConfig, entry: Entry) -> str:
    """An entry's question and the first 50 tokens that the model says to it."""
    question, _ = render(prompt, entry)
    ids = text.encoding().encode(question, disallowed_special=())
    [new] = sampling.generate(model, [ids], SamplingConfig(max_new_tokens=50), end_token=text.END_OF_TEXT)
    return question + text.encoding().decode(new)
