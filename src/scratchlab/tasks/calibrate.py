"""Hold a judge against published scores: the author's 100 example entries, two responses each, scored by others."""

import json
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.judging.config import JudgeBackend, JudgeConfig
from scratchlab.runs.checks import at_least
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.judging.scores import Scores
    from scratchlab.runs.record import Record

MODELS = ("model_1", "model_2")
"""The two sets of responses; in the file they stand under `model 1 response` and `model 2 response`."""


@dataclass(kw_only=True)
class Calibrate(Run):
    task: ClassVar[str] = "calibrate"

    judge: JudgeConfig
    rounds: int = 2
    """How often the judge is asked everything, to see whether it repeats itself."""

    def __post_init__(self) -> None:
        if self.judge.backend is JudgeBackend.none:
            raise ValueError("judge=none: there is nobody to calibrate; possible: judge=ollama, judge=openai")
        at_least(1, self, "rounds")

    def inputs(self) -> dict[str, str]:
        from scratchlab.assets import catalogue

        return {asset.name: asset.sha256 for asset in catalogue.JUDGED.values()}


def calibrate(config: Calibrate, record: "Record") -> dict[str, Any]:
    """Ask for every score anew, and compare: bias and correlation with GPT-4 and Llama 3, and with the judge itself."""
    from scratchlab.assets import catalogue
    from scratchlab.assets.fetch import fetch
    from scratchlab.data import readers
    from scratchlab.judging import scores
    from scratchlab.judging.agreement import agreement

    scores.check(config.judge)
    entries = readers.entries(fetch(catalogue.JUDGED["examples"]))
    metrics: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for model in MODELS:
        key = f"{model.replace('_', ' ')} response"
        judged = [scores.score(config.judge, entries, key=key, repeat=number) for number in range(config.rounds)]
        first = judged[0]
        metrics |= {"judge": first.card} | {
            f"{model}_{name.removeprefix('judge_')}": first.metrics[name] for name in first.metrics if name != "judge"
        }
        for other in ("gpt4", "llama3"):
            published = json.loads(fetch(catalogue.JUDGED[f"{other}_{model}"]).read_text(encoding="utf-8"))
            mean = sum(published) / len(published)
            metrics[f"{model}_{other}_published"] = mean
            if (ours := first.metrics["judge_score"]) is not None:
                metrics[f"{model}_{other}_gap"] = ours - mean  # of the means, whoever was scored
            # a list that is too short has lost a score somewhere in it: which is whose cannot be told
            if len(published) == len(entries):
                metrics |= {f"{model}_{other}_{k}": v for k, v in agreement(first.scores, published).items()}
        if config.rounds > 1:
            rounds = [agreement(again.scores, first.scores) for again in judged[1:]]
            metrics[f"{model}_same_again"] = sum(r["same"] for r in rounds) / len(rounds)
            metrics[f"{model}_same_words"] = sum(map(same_words, judged[1:], repeat(first))) / len(rounds)
        found[model] = [one.items() for one in judged]
    record.write_text("scores.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    return metrics


def same_words(scores: "Scores", other: "Scores") -> float:
    """Share of answers that are the same text in both, whether or not they hold a score."""
    pairs = list(zip(scores.answers, other.answers, strict=True))
    return sum(one == two for one, two in pairs) / len(pairs)
