"""What usually explains that a number is not the published one, from explanations.yaml."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scratchlab.files import read_yaml
from scratchlab.matching import matches


@dataclass(frozen=True, kw_only=True)
class Explanation:
    of: str
    """Globs over experiments."""
    metrics: str
    """Globs over metrics."""
    text: str
    source: str
    devices: str = "*"
    above: float | None = None
    """Only for values above this one."""

    def fits(self, experiment: str, metric: str, device: str, value: float) -> bool:
        return (
            matches(experiment, self.of)
            and matches(metric, self.metrics)
            and matches(device, self.devices)
            and (self.above is None or value > self.above)
        )


@cache
def read() -> list[Explanation]:
    content = read_yaml(Path(__file__).parent / "explanations.yaml")
    return [Explanation(**entry) for entry in content]
