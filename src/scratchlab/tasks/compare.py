"""Compare runs with a baseline: which change moved the number, by how much, and is that more than noise."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.evidence.reading import Reading

if TYPE_CHECKING:
    import numpy as np

    from scratchlab.evidence.runs import Arm
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Compare(Reading):
    task: ClassVar[str] = "compare"

    baseline: str = ""
    """Name, fingerprint or `key=value` of the arm that the others are compared with; default: one called baseline."""
    metric: str = ""
    """What is compared; default: the first that is there of those that runs/metrics.py prefers, test accuracy first."""
    texts: bool = True
    """Show the messages that changed, and the accuracy without copies, where the data are at hand."""


def compare(config: Compare, record: "Record") -> dict[str, Any]:
    from scratchlab.evidence import compare as comparison
    from scratchlab.evidence.baseline import choose_baseline, choose_metric
    from scratchlab.evidence.flips import flips
    from scratchlab.evidence.remarks import problem_lines, unfinished
    from scratchlab.evidence.runs import arms, read_runs
    from scratchlab.files import as_json
    from scratchlab.report import formats, tables, terminal
    from scratchlab.runs.metrics import metric as declaration

    runs = read_runs(config.out, config.select, config.seed_numbers)
    found = arms(runs)
    if not found:
        raise ValueError(f"select={config.select} out={config.out} seeds={config.seeds}: no finished run is there")
    baseline = choose_baseline(found, config.baseline)
    metric = choose_metric(found, baseline, config.metric)
    messages = Messages(found) if config.texts else None
    rows = comparison.rows(
        found, baseline, metric, declared=declared(), copies=messages.copies(found) if messages else None
    )
    changed = {arm.label: flips(arm, baseline, metric) for arm in found if arm is not baseline}
    if messages:
        messages.add_texts(changed, {arm.label: arm for arm in found}, declaration(metric).split)
    columns, cells = tables.cells(rows, metric)
    title = f"{len(found)} arms against {baseline.label}"
    formats.write(record, "table", rows, columns, cells, title=title)
    record.write_text("flips.json", as_json(changed))
    tables.show(f"{title}; {tables.ABOUT}", rows, metric)
    for line in [*problem_lines(runs), *unfinished(runs), *(messages.lines if messages else [])]:
        terminal.say(line)
    terminal.say(f"written to {record.folder}/table.json (and .md, .tex, .csv; flips.json: what changed, item by item)")
    return {
        "arms": len(found),
        "runs": sum(len(arm.runs) for arm in found),
        "metric": metric,
        "baseline": baseline.label,
    }


def declared() -> dict[str, list[str]]:
    """The settings that each experiment file declares, by experiment."""
    from scratchlab.book import experiments

    return {name: list(experiment.differences) for name, experiment in experiments.read_all().items()}


class Messages:
    """The messages behind the predictions of classification runs, where their files are on this machine."""

    def __init__(self, arms: "list[Arm]") -> None:
        self.lines: list[str] = []
        self._frames: dict[str, Any] = {}
        for arm in arms:
            self._load(arm)

    @staticmethod
    def _key(arm: "Arm") -> str:
        names = ("source", "size", "split", "split_seed")
        return ",".join(f"{name}={arm.config.get(f'data.{name}')}" for name in names)

    def _load(self, arm: "Arm") -> None:
        key = self._key(arm)
        from scratchlab.data import sources

        if key in self._frames or arm.config.get("data.source") not in sources.keys(sources.MESSAGES):
            return
        from scratchlab.data import collection
        from scratchlab.data.config import MessagesConfig, Split

        data = {name: arm.config[f"data.{name}"] for name in ("size", "split_seed") if f"data.{name}" in arm.config}
        try:
            split = Split[arm.config.get("data.split", "script")]
            frames = collection.load(
                MessagesConfig(source=arm.config["data.source"], split=split, **data), local_only=True
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
            self._frames[key] = None
            self.lines.append(f"texts and copies are left out ({key}): {str(error).splitlines()[0]}")
            return
        self._frames[key] = frames
        there = collection.copies(frames)
        self.lines.append(f"{sum(there)} of {len(there)} test messages also stand in training, word for word ({key})")

    def copies(self, arms: "list[Arm]") -> "dict[str, np.ndarray]":
        """Which test items stand in training too, by arm label."""
        import numpy as np

        from scratchlab.data import collection

        there = {key: np.array(collection.copies(frames)) for key, frames in self._frames.items() if frames is not None}
        return {arm.label: there[self._key(arm)] for arm in arms if self._key(arm) in there}

    def add_texts(self, changed: dict[str, list[dict[str, Any]]], arms: "dict[str, Arm]", split: str) -> None:
        """Lay the message beside every item of `split` that changed."""
        for label, items in changed.items():
            frames = self._frames.get(self._key(arms[label]))
            if frames is not None and items:
                texts = frames[split]["Text"].tolist()
                for item in items:
                    if item["index"] < len(texts):
                        item["text"] = texts[item["index"]]
