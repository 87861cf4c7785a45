"""Draw words from scaled logits many times and hold the counts against the exact probabilities (exercise 5.1)."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.runs.checks import at_least
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.runs.record import Record

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class SampleCounts(Run):
    task: ClassVar[str] = "sample_counts"

    words: list[str]
    logits: list[float]
    """One for each of `words`."""
    temperatures: list[float]
    word: str
    """The word whose count and probability are reported on their own, at the last of the temperatures."""
    draws: int = 1000

    def __post_init__(self) -> None:
        if len(self.words) != len(self.logits):
            raise ValueError(f"words has {len(self.words)} entries, logits {len(self.logits)}; they must be as many")
        if self.word not in self.words:
            raise ValueError(f"word={self.word}: possible: {', '.join(self.words)}")
        if not self.temperatures or any(t <= 0 for t in self.temperatures):
            raise ValueError(
                f"temperatures={self.temperatures}: must be above 0, at least one; 0 leaves nothing to draw"
            )
        at_least(1, self, "draws")


def sample_counts(config: SampleCounts, record: "Record") -> dict[str, Any]:
    import torch

    from scratchlab.generation.sampling import probabilities
    from scratchlab.stats import count_test

    logits, place = torch.tensor(config.logits), config.words.index(config.word)
    counts, exact = [], []
    lines = ["temperature,word,probability,expected,count,low,high,p"]
    for temperature in config.temperatures:
        wanted = probabilities(logits, temperature)
        torch.manual_seed(config.seed)  # the book seeds anew for each temperature
        drawn = torch.cat([torch.multinomial(wanted, 1) for _ in range(config.draws)])
        counts.append(drawn.bincount(minlength=len(config.words)).tolist())
        exact.append(wanted.tolist())
        for word, count, probability in zip(config.words, counts[-1], exact[-1], strict=True):
            test = count_test(count, config.draws, probability)
            lines.append(
                f"{temperature:g},{word},{probability:.6g},{test.expected:.4g},{count},"
                f"{test.low * config.draws:.1f},{test.high * config.draws:.1f},{test.p:.3g}"
            )
    record.write_text("counts.csv", "\n".join(lines) + "\n")
    for line in lines:
        log.info("%s", line.replace(",", "\t"))
    test = count_test(counts[-1][place], config.draws, exact[-1][place])
    return {
        "counts": counts,
        "probabilities": exact,
        "word_counts": [row[place] for row in counts],
        "word_count": counts[-1][place],
        "word_probability": exact[-1][place],
        "word_probability_rounded": round(exact[-1][place], 4),
        "word_share": test.value,
        "word_share_low": test.low,
        "word_share_high": test.high,
        "word_p": test.p,
    }
