"""A plan on the terminal: a line a job, and what it comes to."""

import shlex
from collections.abc import Sequence

from scratchlab.launch import jobs, plan
from scratchlab.launch.plan import Planned
from scratchlab.launch.words import SWEEP_KEYS
from scratchlab.report.terminal import say
from scratchlab.runs.config import Run


def show(planned: Sequence[Planned]) -> None:
    """Print every job: number, state, time, memory, which record it is, and what it has otherwise than the others."""
    if not planned:
        say("nothing is to be run")
        return
    own = own_words(planned)
    rows = [("job", "state", "time", "memory", "run", "")]
    for one in planned:
        state = one.state if one.copy_of is None else f"copy of {one.copy_of}"
        again = ", again" if one.runs and one.state not in (plan.NEW, plan.INTERRUPTED) else ""
        said = (time(one.estimate.seconds), memory(one.estimate.memory)) if one.runs else ("", "")
        run = f"{one.job.config.name}/{one.job.folder.name}" if one.job.config.recorded else one.job.config.name
        rows.append((str(one.number), state + again, *said, run, own[one.number]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    say(plan.summary(planned))
    for line in (*plan.left_out(planned), total(planned)):
        say(line)


def own_words(planned: Sequence[Planned]) -> dict[int, str]:
    """By number, what each job has otherwise than the others, as it is typed."""
    shared = set.intersection(*(set(one.job.overrides) for one in planned)) if len(planned) > 1 else set()
    return {one.number: shlex.join(word for word in one.job.overrides if word not in shared) for one in planned}


def show_of(config: Run, words: Sequence[str]) -> None:
    """Show what a run would do: the runs that it makes, or itself."""
    itself = [word for word in words if word.partition("=")[0] not in SWEEP_KEYS]
    found = [jobs.job(one) for one in config.makes() or [itself]]
    show(plan.make(found, config.retry, estimated=True, measured=config.measure))


def total(planned: Sequence[Planned]) -> str:
    """What all that will run comes to, as far as that is known."""
    runs = [one for one in planned if one.runs]
    if not runs:
        return "nothing is to be run"
    known = [one.estimate for one in runs if one.estimate.seconds is not None]
    if not known:
        return (
            f"to run: {len(runs)}; for how long is not known, as no finished run of their kind is there "
            "(measure=true runs parts of them to know)"
        )
    most = max((estimate.memory or 0 for estimate in known), default=0)
    rest = f", and {len(runs) - len(known)} of which none of that kind is finished" if len(known) < len(runs) else ""
    told = ", ".join(sorted({f"{estimate.told_by} on: {estimate.device}" for estimate in known}))
    return (
        f"to run: {len(runs)}; {len(known)} take about {time(sum(e.seconds or 0 for e in known))} one after the other "
        f"and up to {memory(most) or '?'} each{rest} (from {told})"
    )


def time(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def memory(peak: int | None) -> str:
    return f"{peak / 2**30:.1f} GiB" if peak else ""
