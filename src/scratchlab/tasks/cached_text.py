"""Write the same text with and without a cache of keys and values (chapter 4, bonus)."""

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.generation.config import SamplingConfig
from scratchlab.model.config import ModelConfig, WeightsConfig, check_vocabulary
from scratchlab.runs.checks import at_least
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.model.decoder import Decoder
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class CachedText(Run):
    task: ClassVar[str] = "cached_text"

    model: ModelConfig
    weights: WeightsConfig
    prompt: str = "Hello, I am"
    max_new_tokens: int = 30

    def __post_init__(self) -> None:
        check_vocabulary(self.model)
        if not self.prompt:
            raise ValueError("prompt='': must hold at least one character to go on from")
        at_least(1, self, "max_new_tokens")
        self.weights.check(self.model)

    def inputs(self) -> dict[str, str]:
        return self.weights.inputs()


def cached_text(config: CachedText, record: "Record") -> dict[str, Any]:
    import torch

    from scratchlab.generation import sampling
    from scratchlab.model import compute, weights

    machine = compute.prepare(config.compute)
    record.device = machine.name
    torch.manual_seed(config.seed)
    model, record.hashes["weights"] = weights.build(config.model, config.weights)
    machine.prepare(model)
    ids = config.model.tokenizer.encode(config.prompt)
    greedy = SamplingConfig(temperature=0.0, top_k=None, max_new_tokens=config.max_new_tokens)
    seconds = {}
    with machine.autocast():
        sampling.generate(model, [ids], replace(greedy, max_new_tokens=1))  # the first call of all is slow
        started = time.perf_counter()
        with_cache = sampling.generate(model, [ids], greedy)[0]
        seconds["with_cache"] = time.perf_counter() - started
        started = time.perf_counter()
        without = read_again(model, ids, config.max_new_tokens)
        seconds["without_cache"] = time.perf_counter() - started
    return {
        "texts_equal": with_cache == without,
        "new_ids": without,
        "first_answer_ids": without[:10],
        "text": config.model.tokenizer.decode(ids + without),
        "way_seconds": seconds,
        "first_is_slower": seconds["without_cache"] > seconds["with_cache"],
    }


def read_again(model: "Decoder", ids: list[int], new_tokens: int) -> list[int]:
    """The likeliest next token, again and again, each time from all the tokens so far."""
    import torch

    device = next(model.parameters()).device
    ids = list(ids)
    start = len(ids)
    with torch.inference_mode():
        for _ in range(new_tokens):
            seen = torch.tensor([ids[-model.config.context_length :]], device=device)
            ids.append(int(model(seen)[0, -1].argmax()))
    return ids[start:]
