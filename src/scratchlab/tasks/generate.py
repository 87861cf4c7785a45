"""Let given weights go on with a prompt, or with several at once (exercise 5.6)."""

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.generation.config import SamplingConfig
from scratchlab.model.config import ModelConfig, WeightsConfig, check_vocabulary
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.model.decoder import Decoder
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Generate(Run):
    task: ClassVar[str] = "generate"

    model: ModelConfig
    weights: WeightsConfig
    sampling: SamplingConfig
    prompts: list[str] = field(default_factory=lambda: ["Every effort moves you"])
    """One is shown while it is written; several are written together."""
    stop_at_end_of_text: bool = False
    """End a text where the model writes the end-of-text token."""

    def __post_init__(self) -> None:
        check_vocabulary(self.model)
        if not self.prompts or not all(self.prompts):
            raise ValueError(f"prompts={self.prompts}: needs at least one, and none may be empty")
        self.weights.check(self.model)

    def inputs(self) -> dict[str, str]:
        return self.weights.inputs()


def generate(config: Generate, record: "Record") -> dict[str, Any]:
    import torch

    from scratchlab.model import compute, weights

    machine = compute.prepare(config.compute)
    record.device = machine.name
    tokenizer = config.model.tokenizer
    prompts = [tokenizer.encode(prompt) for prompt in config.prompts]
    torch.manual_seed(config.seed)
    model, record.hashes["weights"] = weights.build(config.model, config.weights)
    machine.prepare(model)
    torch.manual_seed(config.seed)  # so that draws do not hang on where the weights came from
    started = time.perf_counter()
    with machine.autocast():
        new = write(config, model, prompts)
    seconds = time.perf_counter() - started
    texts = [prompt + tokenizer.decode(ids) for prompt, ids in zip(config.prompts, new, strict=True)]
    record.write_text("texts.json", json.dumps(texts, ensure_ascii=False, indent=1) + "\n")
    tokens = sum(map(len, new))
    return {
        "texts": texts,
        "new_ids": new,
        "new_tokens": tokens,
        "generate_seconds": seconds,
        "tokens_per_second": tokens / seconds,
    }


def write(config: Generate, model: "Decoder", prompts: list[list[int]]) -> list[list[int]]:
    """The new tokens of each prompt; on the terminal as they come for one prompt, else when all are done."""
    from scratchlab.generation import sampling

    tokenizer = model.tokenizer
    end = tokenizer.end if config.stop_at_end_of_text else None
    if len(prompts) > 1:
        new = sampling.generate(model, prompts, config.sampling, end_token=end)
        for prompt, ids in zip(config.prompts, new, strict=True):
            print(f"{prompt}{tokenizer.decode(ids)}\n")
        return new
    written: list[int] = []

    def tokens() -> Any:
        for _, token in sampling.stream(model, prompts, config.sampling, end_token=end):
            written.append(token)
            yield token

    print(config.prompts[0], end="", flush=True)
    for piece in sampling.to_text(tokenizer, tokens()):
        print(piece, end="", flush=True)
    print()
    return [written]
