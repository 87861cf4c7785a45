"""Which runs speak about an experiment as it was published, which do not, and why; from their configuration alone."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from scratchlab.book.experiments import Experiment
from scratchlab.evidence.configuration import Published, differences, misprint, typed
from scratchlab.evidence.remarks import ending
from scratchlab.evidence.runs import RunRecord
from scratchlab.runs import identity
from scratchlab.runs.checks import is_number
from scratchlab.runs.claim import Claim, ClaimKind
from scratchlab.runs.metrics import Unit, metric
from scratchlab.runs.registry import TASKS

JUDGE = "judge."
"""Who scores the answers is how a run is measured, not what was run: these keys alter no experiment."""
ALTERED, CHANGE = "altered: ", re.compile(r", (?=[\w.]+=)")
"""How a reason that lists changed settings begins, and what stands between two of them."""
DEVICE, PRECISION = "compute.device", "compute.precision"
"""Where and in which format numbers were computed; the tolerance of a claim may depend on them."""
COUNTED = (Unit.parameters, Unit.tokens, Unit.count, Unit.words, Unit.bytes, Unit.shape, Unit.flag)
"""Units of what comes out the same in every number format."""


@dataclass
class Silent:
    """The runs that do not speak, with the reason."""

    runs: list[tuple[RunRecord, str]] = field(default_factory=list)

    def sort_out(self, runs: Iterable[RunRecord], reason: Any) -> list[RunRecord]:
        """Keep the runs for which `reason` is empty."""
        kept = []
        for run in runs:
            if why := reason(run):
                self.runs.append((run, why))
            else:
                kept.append(run)
        return kept

    def leave_out(self, runs: Sequence[RunRecord]) -> list[str]:
        """Say nothing of these runs in a note, as the verdict's own reason does; the reasons why they do not speak."""
        told = [(run, why) for run, why in self.runs if any(run is one for one in runs)]
        self.runs = [pair for pair in self.runs if pair not in told]
        return [why for _, why in told]

    def notes(self) -> tuple[str, ...]:
        """Them in words, a reason once."""
        by_reason: dict[str, list[str]] = {}
        for run, why in self.runs:
            who = f"record {run.folder.name}" if run.status == "unreadable" else f"seed {run.seed}"
            by_reason.setdefault(why, []).append(who)
        return tuple(f"does not speak: {', '.join(dict.fromkeys(who))} ({why})" for why, who in by_reason.items())


def together(reasons: Iterable[str]) -> str:
    """Why none of several runs is as published: what is altered in all of them is said once, and then the rest."""
    distinct = dict.fromkeys(reasons)
    altered = [dict.fromkeys(CHANGE.split(why.removeprefix(ALTERED))) for why in distinct if why.startswith(ALTERED)]
    words = sorted(why for why in distinct if not why.startswith(ALTERED))
    if altered:
        everywhere = [change for change in altered[0] if all(change in one for one in altered)]
        rest = [change for change in dict.fromkeys(chain(*altered)) if change not in everywhere]
        told = [", ".join(everywhere)] * bool(everywhere) + [f"in some runs {', '.join(rest)}"] * bool(rest)
        words.insert(0, ALTERED + "; ".join(told))
    return "; ".join(words)


def ended(run: RunRecord) -> str:
    """How a run ended that is not done, in words; empty if it is."""
    return "" if run.done else ending(run)


def otherwise(
    run: RunRecord, experiment: Experiment | None, published: Published | None, claim: Claim | None = None
) -> str:
    """Why a run is not the experiment as published, in words; empty if it is.

    Its own word, `changes`, counts only against it, and only where there is nothing better to go by.
    """
    aside = (DEVICE, *([PRECISION] if claim is None or any_format(claim) else []))
    if wrong := misprint(run) or _other_start(run):
        return wrong
    if experiment is None or published is None:
        return _told(_stated_changes(run, experiment), aside)
    if run.task != experiment.task:
        return f"task={run.task or '?'} instead of {experiment.task}"
    as_published = published(experiment.name)
    if isinstance(as_published, str):
        return as_published
    if not run.nested:
        return "it has no config.yaml: what was run is not known"
    try:
        found = differences(run, as_published)
    except ValueError as error:
        return f"config.yaml: {error}"
    for key, values in experiment.sweep.items():
        found.pop(key, None)
        if not any(_same(run.config.get(key), one.strip()) for one in str(values).split(",")):
            found[key] = run.config.get(key)
    found.pop("seed", None)
    return _told(found, aside) or _other_base(run, published)


def _other_start(run: RunRecord) -> str:
    """Words for a record whose weights are random by their hash and not by its configuration."""
    source = run.config.get("weights.source", "random")
    if source == "random" or run.hashes.get("weights") != "random":
        return ""
    return f"config.yaml says weights.source={source}, the hash of the weights says random"


def _other_base(run: RunRecord, published: Published) -> str:
    """Words for a record of a run that went on from one that was not as published; empty for all others."""
    schema = TASKS[run.task].schema()
    key = schema.goes_on_from
    if not key or not (name := run.config.get(key)) or key in typed(run).idle():
        return ""
    base = published(name)
    if isinstance(base, str):
        return base
    same = {other: run.config[other] for other in ("seed", PRECISION) if other in run.config}
    wanted = identity.digest(schema.task, schema.revision, identity.acting(dict(base) | same, schema))
    if (found := run.hashes.get(key)) == wanted:
        return ""
    return f"{key}={name}: went on from {found or 'a run that it does not name'}, as published it is {wanted}"


def any_format(claim: Claim) -> bool:
    """Whether the claim can be held against runs in any number format: by its tolerance, or because it counts."""
    return claim.kind is ClaimKind.close or (
        claim.kind in (ClaimKind.exact, ClaimKind.ratio) and metric(claim.metric).unit in COUNTED
    )


def _told(changes: dict[str, Any], aside: Sequence[str]) -> str:
    left = {key: value for key, value in changes.items() if not key.startswith(JUDGE) and key not in aside}
    told = (f"{key}={' '.join(str(value).split())[:80]}" for key, value in left.items())
    return f"{ALTERED}{', '.join(told)}" if left else ""


def _stated_changes(run: RunRecord, experiment: Experiment | None) -> dict[str, Any]:
    changes = dict(run.changes)
    if experiment is not None:
        stated = {key: value for key, value in experiment.differences.items() if key in run.config}
        for key, value in stated.items():
            if not _same(run.config[key], value) and key not in changes and key not in experiment.sweep:
                changes[key] = run.config[key]
    return changes


def _same(ours: Any, stated: Any) -> bool:
    if is_number(ours):
        try:
            return float(stated) == float(ours)  # YAML reads 5e-4 as text
        except (TypeError, ValueError):
            return False
    return bool(ours == stated)
