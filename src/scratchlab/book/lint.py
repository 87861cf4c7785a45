"""Check what was published, before any run: numbers that cannot be, mixed baselines, prose against tables."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scratchlab import stats
from scratchlab.book import printed, prose
from scratchlab.book.claims import Stated, of
from scratchlab.book.experiments import Experiment
from scratchlab.runs.checks import is_number
from scratchlab.runs.claim import RELATIONS, Claim, ClaimKind, Direction
from scratchlab.runs.metrics import NOT_DECLARED, Unit, metric

VALUE_KINDS = (ClaimKind.exact, ClaimKind.close, ClaimKind.count, ClaimKind.score)
PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s?(?:%|percent)")
SAME_DATA = ("data", "data.split", "data.split_seed", "data.size", "data.source")
"""Settings that decide which examples are tested."""


@dataclass(frozen=True)
class Finding:
    experiment: str
    """For a row of a table that no experiment runs: the row."""
    rule: str
    """unattainable, mixed_baseline, copied, duplicate, conflict, unlikely_count, unknown_experiment,
    undeclared_metric, sentence, table_against_log or command.
    """
    metric: str
    text: str


def check(experiments: Mapping[str, Experiment], prints: printed.Printed | None = None) -> list[Finding]:
    """Every finding over these experiments, in their order, and over what else was printed (default: all of it)."""
    stated = of(experiments.values())
    found: list[Finding] = []
    for s in stated:
        found += _undeclared(s)
        found += _unattainable(s, stated)
        found += _count(s)
        found += _references(s, experiments)
        found += _mixed_baseline(s, stated, experiments)
        found += _contradicts_values(s, stated)
    found += _duplicates(stated)
    found += _copied_rows(stated)
    found += [Finding(**vars(slip)) for slip in prose.check(prints or printed.read(), stated)]
    return list(dict.fromkeys(found))


def _undeclared(s: Stated) -> Iterator[Finding]:
    if not metric(s.claim.metric).declared:
        yield Finding(s.experiment, "undeclared_metric", s.claim.metric, f"{s.claim.metric} {NOT_DECLARED}")


def _percent(claim: Claim) -> str:
    return f"{100 * claim.value:.2f}"


def _is_proportion(claim: Claim) -> bool:
    return (
        claim.n > 0 and is_number(claim.value) and metric(claim.metric).unit is Unit.fraction and 0 <= claim.value <= 1
    )


def _unattainable(s: Stated, stated: Sequence[Stated]) -> Iterator[Finding]:
    claim = s.claim
    if not _is_proportion(claim):
        return
    grim = stats.attainable(_percent(claim), claim.n, 2)
    if grim.ok:
        return
    near = " or ".join(f"{value:.2f}%" for value in grim.nearest)
    text = f"{_percent(claim)}% cannot be: no k of {claim.n} gives it; nearest: {near}"
    twins = [
        o.claim
        for o in stated
        if o.experiment == s.experiment and o.claim is not claim and o.claim.value == claim.value
    ]
    if twins:
        text += f"; it repeats the same row's {twins[0].metric} (of {twins[0].n}), perhaps a slip in copying"
    yield Finding(s.experiment, "unattainable", claim.metric, text)


def _count(s: Stated) -> Iterator[Finding]:
    claim = s.claim
    if claim.kind is ClaimKind.count:
        p = stats.count_test(claim.value, claim.n, claim.probability).p
        if p < 0.05:
            text = (
                f"{claim.value} of {claim.n} draws is unlikely at a probability of {claim.probability:g} (p = {p:.2g})"
            )
            yield Finding(s.experiment, "unlikely_count", claim.metric, text)


def _references(s: Stated, experiments: Mapping[str, Experiment]) -> Iterator[Finding]:
    named = {"versus": s.claim.versus, "asks": s.claim.asks, "asks_versus": s.claim.asks_versus}
    for key, name in named.items():
        if name and name not in experiments:
            yield Finding(s.experiment, "unknown_experiment", s.claim.metric, f"{key}={name}: no such experiment")


def _tested_on(experiment: Experiment) -> dict[str, object]:
    return {key: value for key, value in experiment.differences.items() if key in SAME_DATA}


def _mixed_baseline(s: Stated, stated: Sequence[Stated], experiments: Mapping[str, Experiment]) -> Iterator[Finding]:
    """A number in a quote that belongs to another experiment, measured on other examples or by other code."""
    claim, here = s.claim, experiments[s.experiment]
    for number in dict.fromkeys(PERCENT.findall(f"{claim.quote} {claim.note}")):
        value = float(number) / 100
        if "." not in number or (claim.value is not None and _equal(claim.value, value)):
            continue
        owners = [o for o in stated if o.claim.metric == claim.metric and _equal(o.claim.value, value)]
        if not owners or any(_tested_on(experiments[o.experiment]) == _tested_on(here) for o in owners):
            continue
        owner = experiments[owners[0].experiment]
        differ = sorted(
            key
            for key in SAME_DATA
            if _tested_on(owner).get(key, "the default") != _tested_on(here).get(key, "the default")
        )
        told = ", ".join(
            f"{k}={_tested_on(owner).get(k, 'default')} there, {_tested_on(here).get(k, 'default')} here"
            for k in differ
        )
        text = f"compared with {number}%, which is {owner.name}'s, of other examples ({told})"
        yield Finding(s.experiment, "mixed_baseline", claim.metric, text + _like_for_like(s, stated, value))


def _like_for_like(s: Stated, stated: Sequence[Stated], printed: float) -> str:
    """What the comparison would be with the baseline of the same examples, in words."""
    versus = next((o.claim.versus for o in stated if o.experiment == s.experiment and o.claim.versus), "")
    base = _value(versus, s.claim.metric, stated)
    own = _value(s.experiment, s.claim.metric, stated)
    if base is None or own is None:
        return ""
    return (
        f"; like for like is {versus} with {100 * base:.2f}%: {100 * (own - base):+.2f} points, "
        f"not {100 * (own - printed):+.2f}"
    )


def _value(experiment: str, metric: str, stated: Sequence[Stated]) -> float | None:
    values = [o.claim.value for o in stated if (o.experiment, o.claim.metric) == (experiment, metric)]
    return next((float(v) for v in values if isinstance(v, int | float)), None)


def _equal(value: object, other: float) -> bool:
    return isinstance(value, int | float) and abs(value - other) < 5e-5


def _contradicts_values(s: Stated, stated: Sequence[Stated]) -> Iterator[Finding]:
    """A relation, or one asked again, that the printed numbers of the two experiments behind it do not show."""
    claim = s.claim
    if claim.kind not in RELATIONS:
        return
    names = (claim.asks, claim.asks_versus) if claim.is_finding else (s.experiment, claim.versus)
    own, base = (_value(name, claim.metric, stated) for name in names)
    if own is None or base is None:
        return
    gap = own - base
    holds = {
        Direction.higher: gap >= max(claim.margin, 1e-12),
        Direction.lower: -gap >= max(claim.margin, 1e-12),
        Direction.same: abs(gap) <= claim.margin,
    }[claim.direction]
    if not holds:
        text = f"said to be {claim.direction.name} (margin {claim.margin:g}), but printed are {own:g} and {base:g}"
        yield Finding(s.experiment, "conflict", claim.metric, text)


def _duplicates(stated: Sequence[Stated]) -> Iterator[Finding]:
    """Claims made twice, and values that contradict each other."""
    for i, s in enumerate(stated):
        for o in stated[:i]:
            if o.experiment != s.experiment or o.claim.metric != s.claim.metric:
                continue
            a, b = o.claim, s.claim
            if a.kind is b.kind and (a.value, a.versus, a.direction) == (b.value, b.versus, b.direction):
                yield Finding(s.experiment, "duplicate", b.metric, f"claimed twice: {b.kind.name} {b.value}")
            elif a.kind in VALUE_KINDS and b.kind in VALUE_KINDS and a.value != b.value:
                yield Finding(s.experiment, "conflict", b.metric, f"two values: {a.value} and {b.value}")
            elif a.kind is b.kind and a.kind in RELATIONS and a.versus == b.versus and a.direction is not b.direction:
                yield Finding(s.experiment, "conflict", b.metric, f"both {a.direction.name} and {b.direction.name}")


def _copied_rows(stated: Sequence[Stated]) -> Iterator[Finding]:
    """Experiments whose every printed score is another's: the setting may have had no effect."""
    rows: dict[str, dict[str, object]] = {}
    for s in stated:
        if s.claim.kind is ClaimKind.score:
            rows.setdefault(s.experiment, {})[s.claim.metric] = s.claim.value
    seen: dict[str, str] = {}
    for name, row in rows.items():
        key = repr(sorted(row.items()))
        if len(row) > 1 and key in seen:
            text = f"every score equals that of {seen[key]}: the setting that differs may have had no effect"
            yield Finding(name, "copied", ", ".join(row), text)
        seen.setdefault(key, name)
