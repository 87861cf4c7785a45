"""Measure what each of the three dropout rates drops (exercise 4.3)."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.model.config import ModelConfig, check_has
from scratchlab.runs.checks import at_least
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from torch import Tensor

    from scratchlab.model.decoder import Decoder
    from scratchlab.runs.record import Record

RATES = {"emb": "drop_rate_emb", "shortcut": "drop_rate_shortcut", "attn": "drop_rate_attn"}
"""Where each rate is meant to act: the sum of the embeddings, what is added to the shortcuts, attention weights."""


@dataclass(kw_only=True)
class Dropout(Run):
    task: ClassVar[str] = "dropout"

    model: ModelConfig
    sequences: int = 2048
    """One-token sequences that the measurement is made on."""

    def __post_init__(self) -> None:
        check_has(self.model, "drop_rate_emb", "this task measures chapter 4's dropout")
        at_least(1, self, "sequences")


def dropout(config: Dropout, record: "Record") -> dict[str, Any]:
    import torch

    from scratchlab.model import families

    def made(**rates: float) -> "Decoder":
        torch.manual_seed(config.seed)
        every: dict[str, Any] = dict.fromkeys(RATES.values(), 0.0) | rates
        return families.make(replace(config.model, **every))

    rates = {key: getattr(config.model, key) for key in RATES.values()}
    model = made(**rates)
    metrics: dict[str, Any] = {f"{site}_dropped": share for site, share in dropped(model, config).items()}
    acting = {}
    for key, rate in rates.items():
        shares = dropped(made(**{key: rate}), config)
        acting[key] = [site for site, share in shares.items() if share > 0]
    plain = made()
    ids = torch.randint(config.model.vocab_size, (2, min(8, config.model.context_length)))
    with torch.no_grad():
        in_training = torch.equal(model(ids), model(ids))
        in_evaluation = torch.equal(model.eval()(ids), plain.eval()(ids))
    return metrics | {
        "acting": [f"{key} acts on {' and '.join(sites) or 'nothing'}" for key, sites in acting.items()],
        "changes_training": not in_training,
        "changes_evaluation": not in_evaluation,
        "same_weights": all(torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True)),
    }


def dropped(model: "Decoder", config: Dropout) -> dict[str, float]:
    """The share of values that training sets to zero, at each site.

    A sequence of one token attends to itself alone, so a dropped attention weight shows as a head whose output is zero.
    """
    import torch
    from torch import nn

    found: dict[str, list[Tensor]] = {site: [] for site in RATES}

    def keep(site: str) -> Any:
        return lambda module, inputs, output: found[site].append((output == 0).flatten())

    def keep_heads(module: nn.Module, inputs: "tuple[Tensor, ...]") -> None:
        heads = inputs[0].unflatten(-1, (config.model.n_heads, -1))  # (B, 1, H, D)
        found["attn"].append((heads == 0).all(dim=-1).flatten())

    hooks = [model.get_submodule("drop_emb").register_forward_hook(keep("emb"))]
    for block in model.blocks:
        hooks.append(block.get_submodule("drop_shortcut").register_forward_hook(keep("shortcut")))
        hooks.append(block.get_submodule("att.out_proj").register_forward_pre_hook(keep_heads))
    model.train()
    ids = torch.randint(config.model.vocab_size, (config.sequences, 1))
    with torch.no_grad():
        model.states(ids)
    for hook in hooks:
        hook.remove()
    return {site: torch.cat(zeros).double().mean().item() for site, zeros in found.items()}
