"""Score responses that are there already, as chapter 7's ollama_evaluate.py does."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.judging.config import JudgeBackend, JudgeConfig
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Judge(Run):
    task: ClassVar[str] = "judge"

    responses: str
    """A responses.json, or the folder of the run that wrote it."""
    key: str = "model_response"
    """Where an entry has its response."""
    judge: JudgeConfig

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise FileNotFoundError(f"responses={self.responses}: no such file, and no folder with a responses.json")

    @property
    def path(self) -> Path:
        given = Path(self.responses).expanduser()
        return given / "responses.json" if given.is_dir() else given

    def inputs(self) -> dict[str, str]:
        from scratchlab.assets.fetch import sha256

        return {"responses": sha256(self.path)}


def judge(config: Judge, record: "Record") -> dict[str, Any]:
    """Score with the overlap metrics, and with the judge if there is one."""
    from scratchlab.data import readers
    from scratchlab.judging import scores as judging
    from scratchlab.judging.overlap import overlap

    judging.check(config.judge)
    entries = readers.entries(config.path)
    for index, entry in enumerate(entries):
        if not isinstance(entry.get(config.key), str):
            raise ValueError(
                f"{config.path}, entry {index} (from 0): has no text as {config.key!r}; it has: {', '.join(entry)}; "
                "possible: key=NAME, where the responses stand"
            )
    metrics: dict[str, Any] = {"answers": len(entries)}
    metrics |= overlap([entry[config.key] for entry in entries], [entry["output"] for entry in entries])
    if config.judge.backend is not JudgeBackend.none:
        metrics |= judging.score_and_keep(config.judge, record, entries, config.key)
    return metrics
