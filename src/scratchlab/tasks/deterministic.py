"""Show that the two ways to deterministic text are one, and that ordinary sampling is none (exercise 5.3)."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.generation.config import SamplingConfig
from scratchlab.model.config import ModelConfig, WeightsConfig, check_vocabulary
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Deterministic(Run):
    task: ClassVar[str] = "deterministic"

    model: ModelConfig
    weights: WeightsConfig
    sampling: SamplingConfig
    """The ordinary sampling that the two ways are told from; top-k 1 is tried at its temperature."""
    prompt: str = "Every effort moves you"
    repeats: int = 5
    """How often each way is tried, each time from another seed."""

    def __post_init__(self) -> None:
        check_vocabulary(self.model)
        if not self.prompt:
            raise ValueError("prompt='': must hold at least one character to go on from")
        if self.repeats < 2:
            raise ValueError(f"repeats={self.repeats}: must be at least 2, to see whether they differ")
        if self.sampling.deterministic:
            raise ValueError(
                f"sampling.temperature={self.sampling.temperature} sampling.top_k={self.sampling.top_k}: this is "
                "deterministic itself; possible: a temperature above 0 and a top_k above 1 or null"
            )
        self.weights.check(self.model)

    def inputs(self) -> dict[str, str]:
        return self.weights.inputs()


def deterministic(config: Deterministic, record: "Record") -> dict[str, Any]:
    import torch

    from scratchlab.generation import sampling
    from scratchlab.model import compute, weights

    machine = compute.prepare(config.compute)
    record.device = machine.name
    torch.manual_seed(config.seed)
    model, record.hashes["weights"] = weights.build(config.model, config.weights)
    machine.prepare(model)
    tokenizer = config.model.tokenizer
    ids = tokenizer.encode(config.prompt)

    def tries(way: SamplingConfig) -> list[list[int]]:
        found = []
        for repeat in range(config.repeats):
            torch.manual_seed(config.seed + repeat)
            with machine.autocast():
                found += sampling.generate(model, [ids], way)
        return found

    ways = {
        "temperature_0": replace(config.sampling, temperature=0.0, top_k=None),
        "top_k_1": replace(config.sampling, top_k=1),
        "sampling": config.sampling,
    }
    found = {name: tries(way) for name, way in ways.items()}
    distinct = {name: len({tuple(new) for new in tried}) for name, tried in found.items()}
    greedy = found["temperature_0"][0]
    record.write_text(
        "samples.txt", "".join(f"{name}: {tokenizer.decode(ids + tried[0])!r}\n" for name, tried in found.items())
    )
    return {
        "ways_equal": all(new == greedy for name in ("temperature_0", "top_k_1") for new in found[name]),
        "new_ids": greedy,
        "text": tokenizer.decode(ids + greedy),
    } | {f"distinct_texts_{name}": number for name, number in distinct.items()}
