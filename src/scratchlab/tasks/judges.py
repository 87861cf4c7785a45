"""Hold the published scores of two judges against each other (chapter 7, bonus)."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.runs.record import Record

MODEL = "model_1"
"""Of the two sets of responses the one that both judges scored to the last; of the other one score is lost."""


@dataclass(kw_only=True)
class Judges(Run):
    task: ClassVar[str] = "judges"

    def inputs(self) -> dict[str, str]:
        from scratchlab.assets import catalogue

        return {f"{judge}_{MODEL}": catalogue.JUDGED[f"{judge}_{MODEL}"].sha256 for judge in ("gpt4", "llama3")}


def judges(config: Judges, record: "Record") -> dict[str, Any]:
    from scratchlab.assets import catalogue
    from scratchlab.assets.fetch import fetch
    from scratchlab.judging.agreement import agreement

    gpt4, llama3 = (
        json.loads(fetch(catalogue.JUDGED[f"{judge}_{MODEL}"]).read_text(encoding="utf-8"))
        for judge in ("gpt4", "llama3")
    )
    found = agreement(llama3, gpt4)
    return {f"judges_{name}": value for name, value in found.items()} | {
        "gpt4_score": sum(gpt4) / len(gpt4),
        "llama3_score": sum(llama3) / len(llama3),
    }
