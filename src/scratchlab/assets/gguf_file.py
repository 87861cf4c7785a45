"""Open a GGUF file, llama.cpp's format: weights, and metadata that hold the tokenizer, in one file."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gguf import GGUFReader


@lru_cache(maxsize=1)  # its index takes seconds to read, and tokenizer and weights both want it; data stay on disk
def opened(path: Path) -> "GGUFReader":
    from gguf import GGUFReader

    return GGUFReader(path)


def metadata(path: Path, key: str) -> Any:
    """A value of the file's metadata.

    Raises:
        ValueError: it has none of this name.
    """
    field = opened(path).get_field(key)
    if field is None:
        raise ValueError(f"{path} has no {key} in its metadata; possible: a GGUF file with a model and its tokenizer")
    return field.contents()
