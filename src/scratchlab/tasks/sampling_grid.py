"""Measure how random and how varied text is over temperature and top-k (exercise 5.2)."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.generation.config import SamplingConfig
from scratchlab.model.config import ModelConfig, WeightsConfig, check_vocabulary
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.generation.draws import Draws
    from scratchlab.model.decoder import Decoder
    from scratchlab.runs.record import Record

log = logging.getLogger(__name__)

MEASURES = ("entropy_bits", "distinct_1", "distinct_2", "repetition")
BACK = 16
"""Tokens that repetition looks back over."""
KEPT_AT_MOST = 2**29
"""Bytes of draws that are kept for the other cells."""


@dataclass(kw_only=True)
class SamplingGrid(Run):
    task: ClassVar[str] = "sampling_grid"

    model: ModelConfig
    weights: WeightsConfig
    prompt: str = "Every effort moves you"
    temperatures: list[float] = field(default_factory=lambda: [0.1, 0.5, 0.9, 1.4, 2.0])
    top_ks: list[int] = field(default_factory=lambda: [2, 5, 20, 40, 0])
    """0: no limit."""
    texts: int = 8
    """Written for each cell of the grid."""
    max_new_tokens: int = 32

    def __post_init__(self) -> None:
        check_vocabulary(self.model)
        if not self.temperatures or any(t <= 0 for t in self.temperatures):
            raise ValueError(f"temperatures={self.temperatures}: at least one, all above 0; 0 leaves nothing to draw")
        if not self.top_ks or any(k < 0 for k in self.top_ks):
            raise ValueError(f"top_ks={self.top_ks}: at least one, all 0 (no limit) or above")
        if self.texts < 1 or self.max_new_tokens < 2:
            raise ValueError(f"texts={self.texts} max_new_tokens={self.max_new_tokens}: must be at least 1 and 2")
        if not self.prompt:
            raise ValueError("prompt='': must hold at least one character to go on from")
        self.weights.check(self.model)

    def inputs(self) -> dict[str, str]:
        return self.weights.inputs()


def sampling_grid(config: SamplingGrid, record: "Record") -> dict[str, Any]:
    import torch

    from scratchlab.model import compute, weights
    from scratchlab.report import plots

    machine = compute.prepare(config.compute)
    record.device = machine.name
    tokenizer = config.model.tokenizer
    prompt = tokenizer.encode(config.prompt)
    if len(prompt) + config.max_new_tokens > config.model.context_length:
        raise ValueError(
            f"the prompt's {len(prompt)} tokens and max_new_tokens={config.max_new_tokens} do not fit into "
            f"model.context_length={config.model.context_length}"
        )
    torch.manual_seed(config.seed)
    model, record.hashes["weights"] = weights.build(config.model, config.weights)
    machine.prepare(model)
    cells = {}
    samples = ""
    draws = shared_draws(model, config)
    for temperature in config.temperatures:
        for top_k in config.top_ks:
            way = SamplingConfig(temperature=temperature, top_k=top_k or None, max_new_tokens=config.max_new_tokens)
            torch.manual_seed(config.seed)  # the same draws for every cell, so that only the settings tell them apart
            with machine.autocast():
                cells[temperature, top_k], new = measure(model, prompt, config.texts, way, draws)
            samples += f"temperature {temperature:g}, top-k {top_k or 'all'}: {tokenizer.decode(new[0])!r}\n"
    record.write_text("samples.txt", samples)
    grids = {name: [[cells[t, k][name] for k in config.top_ks] for t in config.temperatures] for name in MEASURES}
    plots.heat_maps(
        grids,
        rows=[f"{t:g}" for t in config.temperatures],
        columns=[str(k or "all") for k in config.top_ks],
        labels=("top-k", "temperature"),
        path=record.folder / "grid.png",
    )
    for name, grid in grids.items():
        log.info("%s (rows: temperature, columns: top-k)", name)
        for temperature, row in zip(config.temperatures, grid, strict=True):
            log.info("  %5g  %s", temperature, "  ".join(f"{value:6.3f}" for value in row))
    return grids | contrast(cells)


def shared_draws(model: "Decoder", config: SamplingGrid) -> "Draws | None":
    """The draws of all cells, made once, where that is a saving: on a CPU, in memory that can be spared."""
    from scratchlab.generation.draws import Draws

    kept = 4 * config.texts * config.max_new_tokens * config.model.vocab_size
    return Draws() if model.device.type == "cpu" and kept <= KEPT_AT_MOST else None


def measure(
    model: "Decoder", prompt: list[int], texts: int, way: SamplingConfig, draws: "Draws | None" = None
) -> tuple[dict[str, float], list[list[int]]]:
    """Write texts, and say how random the choices were and how varied the texts are.

    The entropy is that of the distribution each token was drawn from, in bits, averaged over all tokens.
    """
    import torch

    from scratchlab.generation import sampling
    from scratchlab.training import evaluate

    new = sampling.generate(model, [prompt] * texts, way, draw=draws.again() if draws else sampling.draw)
    with evaluate.evaluating(model):
        ids = torch.tensor([prompt + row[:-1] for row in new], device=model.device)
        entropies = []
        for logits in model(ids)[:, len(prompt) - 1 :]:  # text by text: (T, V) stays in the processor's own memory
            drawn_from = sampling.probabilities(logits.float(), way.temperature, way.top_k)
            entropies.append(torch.special.entr(drawn_from).sum(dim=-1))
        entropy = torch.stack(entropies).mean().item() / torch.log(torch.tensor(2.0)).item()
    found = {
        "entropy_bits": entropy,
        "distinct_1": distinct(new, 1),
        "distinct_2": distinct(new, 2),
        "repetition": repetition(new, BACK),
    }
    return found, new


def distinct(texts: Sequence[Sequence[int]], n: int) -> float:
    """Different n-grams over all n-grams of all texts. Source: Li et al. 2016, distinct-n."""
    grams = [tuple(text[i : i + n]) for text in texts for i in range(len(text) - n + 1)]
    return len(set(grams)) / len(grams)


def repetition(texts: Sequence[Sequence[int]], back: int) -> float:
    """Share of tokens that occur among the `back` tokens before them. Source: Welleck et al. 2020, rep/l."""
    again = [text[i] in text[max(0, i - back) : i] for text in texts for i in range(1, len(text))]
    return sum(again) / len(again)


def contrast(cells: dict[tuple[float, int], dict[str, float]]) -> dict[str, Any]:
    """The exercise's two settings side by side: small k below temperature 1, and k of 20 to 40 above it."""
    low = [cell for (temperature, k), cell in cells.items() if temperature < 1 and 0 < k < 10]
    high = [cell for (temperature, k), cell in cells.items() if temperature > 1 and 20 <= k <= 40]
    if not low or not high:
        return {}
    means: dict[str, Any] = {
        f"{side}_{name}": sum(cell[name] for cell in group) / len(group)
        for side, group in (("low", low), ("high", high))
        for name in MEASURES
    }
    ordered = max(cell["entropy_bits"] for cell in low) < min(cell["entropy_bits"] for cell in high)
    return means | {"low_is_less_random": ordered}
