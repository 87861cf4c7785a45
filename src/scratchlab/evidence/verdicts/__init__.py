"""Hold published claims against measured runs: five verdicts, each with its test in plain words."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from scratchlab.book.claims import Stated
from scratchlab.book.experiments import Experiment
from scratchlab.evidence.configuration import Published
from scratchlab.evidence.runs import Arm, RunRecord
from scratchlab.evidence.verdicts import single, versus
from scratchlab.evidence.verdicts.comparable import usable
from scratchlab.evidence.verdicts.family import Misses, misses
from scratchlab.evidence.verdicts.outcome import Answer, Decision, Verdict
from scratchlab.evidence.verdicts.prints import with_prints
from scratchlab.evidence.verdicts.score import score
from scratchlab.runs.claim import Claim, ClaimKind, Direction

__all__ = ["Answer", "Decision", "Misses", "Verdict", "decide", "misses", "row"]

Runs = Mapping[str, Sequence[RunRecord]]


def decide(
    stated: Stated, runs: Runs, experiments: Mapping[str, Experiment], published: Published | None = None
) -> Decision:
    """Give one claim its verdict from the runs at hand, by experiment name.

    Not run, then not comparable, then diverged, then the test of its kind: the first that applies decides. The notes
    say whose claim it is if it is not one of the book's, and which runs do not speak.

    `published`: see `comparable.usable`.
    """
    claim = stated.claim
    names = [stated.experiment, *([claim.versus] if claim.versus else [])]
    notes = _whose(experiments.get(stated.experiment))
    arms = []
    for name in names:
        arm, told = usable(name, claim, runs.get(name, ()), experiments.get(name), published)
        notes += told if name == stated.experiment else tuple(f"{name}: {note}" for note in told)
        if isinstance(arm, Decision):
            return replace(arm, notes=(*arm.notes, *notes))
        arms.append(arm)
    found = with_prints(_tested(claim, arms, names, experiments), claim, arms[0])
    return replace(found, notes=(*found.notes, *notes))


def _whose(experiment: Experiment | None) -> tuple[str, ...]:
    if experiment is None:
        return ("a claim of the record itself: no experiment file has that name",)
    return (f"a claim of a file of your own, {experiment.path}",) if experiment.local else ()


def _tested(claim: Claim, arms: list[Arm], names: list[str], experiments: Mapping[str, Experiment]) -> Decision:
    match claim.kind:
        case ClaimKind.exact:
            return single.exact(claim, arms[0], experiments.get(names[0]))
        case ClaimKind.close:
            return single.close(claim, arms[0], experiments.get(names[0]))
        case ClaimKind.count:
            return single.count(claim, arms[0], experiments.get(names[0]))
        case ClaimKind.score:
            return score(claim, arms[0], experiments.get(names[0]))
        case ClaimKind.relation | ClaimKind.finding:
            return versus.relation(claim, arms[0], arms[1], known=all(name in experiments for name in names))
        case ClaimKind.ratio:
            return versus.ratio(claim, arms[0], arms[1] if len(arms) > 1 else None)


def row(stated: Stated, found: Decision) -> dict[str, Any]:
    """The line of verdicts.json, or for a finding of findings.json: its verdict is then called by an answer's name."""
    claim = stated.claim
    return {
        "experiment": stated.experiment,
        "metric": claim.metric,
        "kind": claim.kind.name,
        "verdict": (Answer(found.verdict) if claim.is_finding else found.verdict).name,
        "reported": reported(claim),
        "measured": found.measured,
        "interval": list(found.interval) if found.interval else None,
        "seeds": list(found.seeds),
        "reason": found.reason,
        "source": claim.source,
        "test": found.test,
        "device": found.device,
        "within": found.within,
        "repetition": found.repetition,
        "seeds_needed": found.seeds_needed,
        "seeds_assured": found.seeds_assured,
        "detectable": found.detectable,
        "chance_of_a_miss": found.chance,
        "p": found.p,
        "sample": asdict(found.sample) if found.sample else None,
        "notes": list(found.notes),
        "versus": claim.versus,
        "asks": claim.asks,
        "asks_versus": claim.asks_versus,
        "quote": claim.quote,
        "note": claim.note,
        "command": f"scratchlab experiment={stated.experiment}",
    }


def reported(claim: Claim) -> Any:
    """What was published: the value, or a relation in words."""
    if claim.value is not None:
        return claim.value
    if claim.direction is Direction.same:
        return f"same as {claim.versus} within {claim.margin:g}"
    least = f" by at least {claim.margin:g}" if claim.margin else ""
    return f"{claim.direction.name} than {claim.versus}{least}"
