"""Which instructions with their responses, as a plain dataclass."""

from dataclasses import dataclass
from enum import Enum


class InstructionSource(Enum):
    instructions = "instructions"
    """The book's 1,100 entries."""
    alpaca = "alpaca"
    """The 52,002 entries of exercise 7.3."""
    alpaca_9k = "alpaca_9k"
    """A draw of 9,229 Alpaca entries, read from SCRATCHLAB_MIRROR only; satisfies no claim."""


@dataclass(kw_only=True)
class InstructionsConfig:
    """Entries of instruction, input and output (chapter 7)."""

    source: InstructionSource = InstructionSource.instructions
    size: int = 0
    """How many entries to use, from the start of the file; 0: all."""

    def __post_init__(self) -> None:
        if self.size and self.size < 20:
            raise ValueError(f"data.size={self.size}: must be 0 (all entries), or at least 20 to be split in three")
