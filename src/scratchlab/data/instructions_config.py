"""Which instructions with their responses, as a plain dataclass."""

from dataclasses import dataclass
from enum import Enum

LEAST = 20
"""Entries that can be split in three."""


class InstructionSource(Enum):
    instructions = "instructions"
    """The book's 1,100 entries."""
    alpaca = "alpaca"
    """The 52,002 entries of exercise 7.3."""
    alpaca_9k = "alpaca_9k"
    """A draw of 9,229 Alpaca entries, read from SCRATCHLAB_MIRROR only; satisfies no claim."""
    file = "file"
    """A JSON list of one's own."""


@dataclass(kw_only=True)
class InstructionsConfig:
    """Entries of instruction, input and output (chapter 7)."""

    source: InstructionSource = InstructionSource.instructions
    path: str = ""
    """file: where the entries lie."""
    size: int = 0
    """How many entries to use, from the start of the file; 0: all."""

    def __post_init__(self) -> None:
        if (self.source is InstructionSource.file) != bool(self.path):
            raise ValueError(
                f"data.path={self.path} with data.source={self.source.name}: possible: data=instructions, data=alpaca "
                "or data=alpaca_9k without a path, or data=entries data.path=FILE"
            )
        if self.size and self.size < LEAST:
            raise ValueError(
                f"data.size={self.size}: must be 0 (all entries), or at least {LEAST} to be split in three"
            )

    def inputs(self) -> dict[str, str]:
        """The hash of the file; none where it is not at hand and its hash was never published."""
        from scratchlab.assets.fetch import sha256
        from scratchlab.data import instructions

        asset = instructions.ASSETS.get(self.source)
        if asset and asset.sha256:
            return {"data": asset.sha256}
        try:
            return {"data": sha256(instructions.file_of(self, local_only=True))}
        except OSError:  # the run itself says so
            return {}
