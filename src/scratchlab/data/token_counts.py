"""What instructions cost and give to learn from, in tokens (chapter 7, exercises 7.1 and 7.2)."""

import logging
from collections.abc import Mapping, Sequence

from scratchlab.data.instructions import Counts, Entry, Instructions, count
from scratchlab.text.prompts import PromptConfig, templates

log = logging.getLogger(__name__)


def metrics_of(counts: Counts) -> dict[str, float]:
    """The counts of a split as a run's metrics."""
    return {
        "entry_tokens_mean": counts.tokens_mean,
        "entry_tokens_max": counts.tokens_max,
        "targets": counts.targets,
        "masked_targets": counts.masked,
        "masked_share": counts.masked / counts.targets,
        "answers_cut": counts.cut,
        "answers_lost": counts.lost,
    }


def count_training(splits: Mapping[str, Instructions], *, mask: bool, max_length: int) -> dict[str, float]:
    """What the training split gives to learn from.

    Raises:
        ValueError: nothing is left to learn, or to measure, in a split.
    """
    every = {name: count(split, mask=mask, max_length=max_length) for name, split in splits.items()}
    for name, counts in every.items():
        if counts.masked == counts.targets:
            raise ValueError(
                f"mask_instruction=true train.max_length={max_length}: cuts every answer of the {name} split away, so "
                f"that no target is left; its longest entry has {counts.tokens_max} tokens"
            )
    counts = every["train"]
    if counts.cut:
        log.warning(
            "train.max_length=%d cuts %d of %d answers short; nothing at all is left of %d",
            *(max_length, counts.cut, len(splits["train"]), counts.lost),
        )
    return {"train_entries": len(splits["train"])} | metrics_of(counts)


def token_saving(prompt: PromptConfig, entries: Sequence[Entry], data: Instructions) -> float:
    """The share of tokens that the template saves against Alpaca's for the same entries; `data` are they in it."""
    alpaca = templates()["alpaca"]
    if prompt == alpaca:
        return 0.0
    ours, theirs = (
        sum(len(item.ids) for item in part) for part in (data, Instructions(entries, alpaca, data.tokenizer))
    )
    return 1 - ours / theirs
