"""Cut a text into windows of tokens and batch them (exercise 2.2)."""

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.data.config import CorpusConfig
from scratchlab.runs.checks import at_least
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Windows(Run):
    task: ClassVar[str] = "windows"

    data: CorpusConfig
    max_length: int = 4
    """Tokens of a window."""
    stride: int = 1
    """Tokens from the start of a window to the next."""
    batch_size: int = 4
    shuffle: bool = False
    drop_last: bool = False
    """Leave a last batch that is not full out."""
    batches_shown: int = 1

    def __post_init__(self) -> None:
        at_least(1, self, "max_length", "stride", "batch_size", "batches_shown")

    def inputs(self) -> dict[str, str]:
        return self.data.inputs()


def windows(config: Windows, record: "Record") -> dict[str, Any]:
    import torch

    from scratchlab.data import corpus
    from scratchlab.text.tokenizer import gpt2

    text = corpus.read(config.data)
    tokenizer = gpt2()  # whose windows chapter 2 prints
    ids = tokenizer.encode(text)
    data = corpus.Windows(ids, config.max_length, config.stride)
    if not len(data):
        raise ValueError(
            f"max_length={config.max_length}: the text has {len(ids):,} tokens, and a window takes one more than its "
            f"length; possible: 1 to {len(ids) - 1}"
        )
    torch.manual_seed(config.seed)
    loader = corpus.loader(data, config.batch_size, shuffle=config.shuffle, drop_last=config.drop_last)
    shown = list(islice(loader, config.batches_shown))
    parts = corpus.split(text, config.data.train_fraction, tokenizer)
    return {
        "inputs": [inputs.tolist() for inputs, _ in shown],
        "targets": [targets.tolist() for _, targets in shown],
        "windows": len(data),
        "batches": len(loader),
        "tokens": len(ids),
        "characters": len(text),
        "train_tokens": len(parts["train"]),
        "val_tokens": len(parts["val"]),
        # how often the loader reads a token as input, on average
        "reads_per_token": len(data) * config.max_length / len(ids),
    }
