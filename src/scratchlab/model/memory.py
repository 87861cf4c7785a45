"""Whether a model's weights fit into this machine, before any of them is made."""

import os

from scratchlab.model.config import GPTConfig

BYTES = 4
"""Of a weight in float32."""


def check_fits(config: GPTConfig) -> None:
    """Hold the least that weights of this shape take against the machine's memory.

    Raises:
        ValueError: they take more.
    """
    least = weights_at_least(config) * BYTES
    there = of_the_machine()
    if there is not None and least > there:
        raise ValueError(
            f"model.emb_dim={config.emb_dim} model.n_layers={config.n_layers} model.vocab_size={config.vocab_size} "
            f"model.context_length={config.context_length}: its weights alone take {least / 1e9:,.1f} GB, and this "
            f"machine has {there / 1e9:,.1f} GB of memory; possible: a smaller model, as model=gpt2_small"
        )


def weights_at_least(config: GPTConfig) -> int:
    """Weights of the token embedding and of the matrices that a block of any family has."""
    return config.emb_dim * (config.vocab_size + 2 * config.n_layers * config.emb_dim)


def of_the_machine() -> int | None:
    """Bytes of memory; None where the platform does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
