"""One self-contained HTML page from records alone: verdicts, comparisons, cost and environment."""

import base64
import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scratchlab.data import readers
from scratchlab.evidence.gather import Comparison, Evidence
from scratchlab.evidence.remarks import unfinished
from scratchlab.evidence.runs import RunRecord, arms
from scratchlab.evidence.verdicts import Verdict
from scratchlab.files import as_json
from scratchlab.report import answers, formats, plots, tables
from scratchlab.report import verdicts as verdict_tables
from scratchlab.runs.metrics import metric as declaration

if TYPE_CHECKING:
    from scratchlab.runs.record import Record

CURVES = (("val_loss", "step"), ("train_loss", "step"), ("val_accuracy", "epoch"))
"""What is drawn over what, where histories have it."""
LONG = 100
"""Letters of a reason that is not said again in the next line."""
MOST_ARMS, MOST_FLIPS, MOST_ANSWERS = 12, 15, 8
"""Arms in a plot of curves, changed items of an arm, answered entries on the page; the files beside it hold all."""


@dataclass(frozen=True)
class Table:
    """One table of the page, which is also a file in four formats beside it."""

    stem: str
    columns: Sequence[str]
    cells: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Plot:
    name: str
    alt: str
    source: str
    """A data URI."""


def write(record: "Record", evidence: Evidence, *, command: str, made: str) -> Path:
    """Write report.html into the record's folder, with every table and plot of it beside it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    jinja = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    published, asked = verdict_tables.apart(evidence.verdicts)
    verdicts = _verdicts("verdicts", published, *verdict_tables.cells(published))
    findings = _verdicts("findings", asked, *verdict_tables.finding_cells(asked))
    sections = [_comparison(record.folder, comparison) for comparison in evidence.comparisons]
    order = [arm.label for comparison in evidence.comparisons for arm in comparison.arms]
    cost, environment = _cost(evidence.runs, order), _environment(evidence.runs)
    by_experiment = Table("experiments", *verdict_tables.by_experiment(published))
    formats.write(record, "verdicts", published, verdicts.columns, verdicts.cells, title="Published claims")
    if asked:
        title = "Published findings, asked of another model"
        formats.write(record, "findings", asked, findings.columns, findings.cells, title=title)
    for section, comparison in zip(sections, evidence.comparisons, strict=True):
        formats.write_comparisons(record, section["table"].stem, [comparison])
        for table in (section["pairs"], section["effects"]):
            if table.cells:
                _write(record, table)
        record.write_text(f"flips_{comparison.task}.json", as_json(comparison.flips))
    for table in (by_experiment, cost, environment):
        _write(record, table)
    html = jinja.get_template("page.html.j2").render(
        **_claims(verdicts),
        by_experiment=by_experiment,
        counts=Counter(row["verdict"] for row in published),
        findings=findings,
        answered=_of(findings, lambda answer: answer != Verdict.NOT_RUN.name, "answer"),
        unasked=_of(findings, lambda answer: answer == Verdict.NOT_RUN.name, "answer"),
        answers=Counter(row["verdict"] for row in asked),
        sections=sections,
        cost=cost,
        environment=environment,
        runs=len(evidence.runs),
        chance=evidence.chance,
        problems=[*evidence.problems, *unfinished(evidence.runs)],
        command=command,
        made=made,
    )
    return record.write_text("report.html", html)


def _write(record: "Record", table: Table) -> None:
    data = [dict(zip(table.columns, line, strict=True)) for line in table.cells]
    formats.write(record, table.stem, data, table.columns, table.cells, title=table.stem)


def _verdicts(stem: str, rows: verdict_tables.Rows, columns: Sequence[str], cells: Sequence[list[str]]) -> Table:
    extra = [[row["test"], row["source"], row["device"], row["command"]] for row in rows]
    columns = [*columns, "test", "source", "device", "command"]
    return Table(stem, columns, [[*line, *more] for line, more in zip(cells, extra, strict=True)])


def _claims(verdicts: Table) -> dict[str, Table]:
    """The parts of the table of claims that stand apart on the page."""
    undecided = (Verdict.NOT_RUN.name, Verdict.NOT_COMPARABLE.name)
    return {
        "judged": _of(verdicts, lambda verdict: verdict != Verdict.NOT_RUN.name),
        "decided": _of(verdicts, lambda verdict: verdict not in undecided),
        "open": _of(verdicts, lambda verdict: verdict not in (Verdict.NOT_RUN.name, Verdict.REPRODUCED.name)),
        "stands": _of(verdicts, lambda verdict: verdict == Verdict.REPRODUCED.name),
        "not_run": _of(verdicts, lambda verdict: verdict == Verdict.NOT_RUN.name),
    }


def _of(verdicts: Table, wanted: Callable[[str], bool], column: str = "verdict") -> Table:
    at = list(verdicts.columns).index(column)
    lines = [line for line in verdicts.cells if wanted(line[at])]
    return Table(verdicts.stem, verdicts.columns, _once(lines, list(verdicts.columns).index("why")))


def _once(lines: Sequence[Sequence[str]], at: int) -> list[list[str]]:
    """The lines, a long reason only where it is first given for an experiment; the files beside the page repeat it."""
    said: dict[tuple[str, str], str] = {}
    found: list[list[str]] = []
    for line in map(list, lines):
        name, what = line[:2]
        first = said.setdefault((name, line[at]), what)
        if first != what and len(line[at]) > LONG:
            line[at] = f"as for {first}"
        found.append(line)
    return found


def _comparison(folder: Path, comparison: Comparison) -> dict[str, Any]:
    columns, cells = tables.short(comparison)
    columns = [*columns, "notes", "command"]
    cells = [[*line, tables.notes(row), row["command"]] for line, row in zip(cells, comparison.rows, strict=True)]
    return {
        "headline": comparison.headline,
        "metric": declaration(comparison.metric).words,
        "baseline": comparison.baseline.label,
        "why": comparison.why,
        "arms": len(comparison.arms),
        "task": comparison.task,
        "table": Table(f"table_{comparison.task}", columns, cells),
        "plots": _plots(folder, comparison),
        "pairs": _pairs(comparison),
        "effects": _effects(comparison),
        "flips": {
            label: [_flip(item, _classes(comparison.baseline.runs[0])) for item in items[:MOST_FLIPS]]
            for label, items in comparison.flips.items()
            if items
        },
        "all_flips": {label: len(items) for label, items in comparison.flips.items()},
        "said": comparison.said,
        "answers": answers.side_by_side(comparison.arms, MOST_ANSWERS),
    }


def _plots(folder: Path, comparison: Comparison) -> list[Plot]:
    found: list[Plot] = []
    name = f"forest_{comparison.task}.png"
    if plots.forest(comparison.rows, comparison.metric, path=folder / name):
        words = declaration(comparison.metric).words
        found.append(_plot(folder / name, f"differences in {words} from {comparison.baseline.label}"))
    histories = {arm.label: [run.history() for run in arm.runs] for arm in comparison.arms[:MOST_ARMS]}
    for metric, by in CURVES:
        name = f"{metric}_{comparison.task}.png"
        if plots.bands(histories, metric, by=by, path=folder / name):
            found.append(_plot(folder / name, f"{metric.replace('_', ' ')} by {by}, mean and range over seeds"))
    return found


def _pairs(comparison: Comparison) -> Table:
    """Every arm against every other; only where there are more than two, as two are in the table."""
    columns = ["arm", "versus", "difference", "95% interval", "p (Holm, all pairs)", "seeds", "notes"]
    declared = declaration(comparison.metric)
    cells = []
    for pair in comparison.pairs if len(comparison.arms) > 2 else ():
        bounds = [declared.difference_cell(bound) for bound in pair.interval or ()]
        p = "" if pair.p is None else f"{pair.p:.2g} ({pair.p_holm:.2g})"
        value = "" if pair.value is None else declared.difference_cell(pair.value)
        cells.append([pair.arm, pair.versus, value, " to ".join(bounds), p, str(pair.seeds), pair.problem])
    return Table(f"pairs_{comparison.task}", columns, cells)


def _effects(comparison: Comparison) -> Table:
    columns = ["effect", "kind", "difference", "95% interval", "p (Holm, all effects)"]
    declared = declaration(comparison.metric)
    cells = []
    for effect in comparison.effects:
        bounds = [declared.difference_cell(bound) for bound in effect.interval or () if math.isfinite(bound)]
        p = "" if effect.p is None else f"{effect.p:.2g} ({effect.p_holm:.2g})"
        kind = "interaction" if effect.interaction else "main effect"
        cells.append([effect.what, kind, declared.difference_cell(effect.value), " to ".join(bounds), p])
    return Table(f"effects_{comparison.task}", columns, cells)


def _flip(item: dict[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """An item that changed, with the name of its class and the probability that each side gave to that."""

    def of_label(probability: float) -> float:
        # predictions of two classes hold the probability of class 1, those of more the label's own
        return 1 - probability if len(classes) == 2 and item["label"] == 0 else probability

    name = classes[item["label"]] if item["label"] < len(classes) else str(item["label"])
    before, after = of_label(item["probability_baseline"]), of_label(item["probability"])
    return {"text": "", **item, "class": name, "before": before, "after": after}


def _classes(run: RunRecord) -> list[str]:
    """What the labels of a classification are called."""
    return list(run.metrics.get("classes") or readers.LABELS)


def _plot(path: Path, alt: str) -> Plot:
    return Plot(path.name, alt, "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode())


def _cost(runs: Sequence[RunRecord], order: Sequence[str]) -> Table:
    """Mean time, memory and tokens of each arm; `order`: labels of those that are compared, as they are there."""
    columns = ["task", "arm", "runs", "seconds", "training seconds", "tokens", "tokens a second", "peak memory (MiB)"]
    cells = []
    for arm in sorted(arms(runs), key=lambda arm: order.index(arm.label) if arm.label in order else -1):

        def mean(name: str, scale: float = 1, digits: int = 0, arm: Any = arm) -> str:
            values = arm.values(name)
            return f"{statistics.fmean(values) / scale:,.{digits}f}" if values else "-"

        seconds = statistics.fmean(run.seconds for run in arm.runs)
        numbers = [mean("train_seconds", digits=1), mean("tokens_seen"), mean("tokens_per_second")]
        numbers += [mean("peak_memory_bytes", 2**20)]
        devices = ", ".join(sorted({run.device for run in arm.runs if run.device})) or "not recorded"
        cells.append([arm.runs[0].task, arm.label, str(len(arm.runs)), f"{seconds:,.1f}", *numbers, devices])
    return Table("cost", [*columns, "device"], cells)


def _environment(runs: Sequence[RunRecord]) -> Table:
    """What the runs ran on: each distinct set of versions once."""
    groups: dict[tuple[str, str, str], int] = {}
    for run in runs:
        versions = ", ".join(f"{name} {version}" for name, version in run.versions.items()) or "not recorded"
        commit = run.git.get("commit")
        source = f"{commit[:12]}{' with changes' * bool(run.git.get('dirty'))}" if commit else "not recorded"
        key = (run.device or "not recorded", versions, source)
        groups[key] = groups.get(key, 0) + 1
    return Table(
        "environment", ["device", "versions", "source commit", "runs"], [[*k, str(n)] for k, n in groups.items()]
    )
