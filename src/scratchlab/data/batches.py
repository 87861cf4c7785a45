"""How many batches a text gives, for who plans a training; needs no torch."""

from pathlib import Path

from scratchlab.data import readers
from scratchlab.data.config import CorpusConfig
from scratchlab.text.tokenizer import Tokenizer

_tokens: dict[tuple[Path, int, float, str], int] = {}


def of_an_epoch(config: CorpusConfig, tokenizer: Tokenizer, length: int, stride: int | None, batch_size: int) -> int:
    """Training batches of one pass, as `corpus.loaders` makes them; 0 where text or vocabulary are not at hand."""
    try:
        path = config.chosen.file(local_only=True)
        key = (path, path.stat().st_mtime_ns, config.train_fraction, tokenizer.name)
        if key not in _tokens:
            text = readers.text(path)
            _tokens[key] = len(tokenizer.encode(text[: int(config.train_fraction * len(text))]))
    except (OSError, ValueError):  # the run itself says so
        return 0
    return len(range(0, max(0, _tokens[key] - length), stride or length)) // batch_size
