"""How the next token is chosen, as a plain dataclass: no torch here, so that `--help` and lists stay quick."""

from dataclasses import dataclass

from scratchlab.runs.checks import at_least


@dataclass(kw_only=True)
class SamplingConfig:
    """Temperature and top-k as in chapter 5's `generate`."""

    temperature: float = 0.0
    """What the logits are divided by before the softmax; 0 takes the likeliest token instead of drawing one."""
    top_k: int | None = None
    """How many of the likeliest tokens may be drawn (more where several tie for the last place); None: all."""
    max_new_tokens: int = 50

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(
                f"sampling.temperature={self.temperature}: must be 0 (take the likeliest token) or above, and finite"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"sampling.top_k={self.top_k}: must be at least 1, or null for all tokens")
        at_least(1, self, "max_new_tokens", prefix="sampling.")

    @property
    def deterministic(self) -> bool:
        """Whether only the likeliest token can be chosen: the two ways of exercise 5.3."""
        return self.temperature == 0 or self.top_k == 1
