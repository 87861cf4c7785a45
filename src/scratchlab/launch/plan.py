"""What is to be done of a list of jobs: what is there already, what is a copy of another, and what will run."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from filelock import FileLock, Timeout

from scratchlab.launch.estimate import Estimate, Estimates
from scratchlab.launch.jobs import Job, states
from scratchlab.runs import identity, record
from scratchlab.runs.aside import LOCK
from scratchlab.runs.config import Retry

NEW, DONE, RUNNING, INTERRUPTED, FAILED, OUT_OF_MEMORY = (
    *("new", "done", "running", "interrupted", "failed", "out of memory"),
)
_MEMORY = ("OutOfMemoryError", "MemoryError", "out of memory", "can't allocate memory", "Cannot allocate memory")
"""What torch, Python and Linux say."""


@dataclass(frozen=True)
class Planned:
    """A job, how far it is, and whether it will run."""

    number: int
    """Its place in the sweep as it was typed."""
    job: Job
    state: str
    reason: str = ""
    """Why it failed; or, of a copy, which keys are otherwise and without effect."""
    copy_of: int | None = None
    runs: bool = True
    estimate: Estimate = Estimate()

    @property
    def failed_before(self) -> bool:
        """Whether it failed and is not done again."""
        return self.state in (FAILED, OUT_OF_MEMORY) and not self.runs and self.copy_of is None


def make(
    jobs: Sequence[Job], retry: Retry = Retry.none, *, estimated: bool = False, measured: bool = False
) -> list[Planned]:
    """Plan jobs: what is done, running elsewhere or failed before is left out, and so is what is a copy of another.

    `estimated`: say how long each may take, for which records are read; `measured`: and parts of what they do not tell
    of are run.
    """
    there = states(job for job in jobs if job.config.recorded)
    first: dict[tuple[str, ...], int] = {}
    planned: list[Planned] = []
    for number, job in enumerate(jobs):
        original = first.setdefault(_same(job), number) if job.config.reusable else number
        if original != number:
            why = _without_effect(job, jobs[original])
            planned.append(Planned(number, job, planned[original].state, why, copy_of=original, runs=False))
            continue
        state, reason = _state(job, there.get(job.folder, NEW))
        planned.append(Planned(number, job, state, reason, runs=_runs(job, state, retry)))
    if not estimated or not (run := [one.job for one in planned if one.runs]):
        return planned
    estimates = Estimates(run, measured=measured)
    return [replace(one, estimate=estimates.of(one.job)) if one.runs else one for one in planned]


def _same(job: Job) -> tuple[str, ...]:
    """What two jobs share whose records would hold the same."""
    config = job.config
    idle = config.idle_with_data()
    found = identity.fingerprint(config, idle=idle) if idle else job.folder.name
    return (str(job.folder.parent), found)


def _without_effect(job: Job, original: Job) -> str:
    """The keys that a copy has otherwise, and why they have no effect, where that is known."""
    ours, theirs = identity.flatten(job.config), identity.flatten(original.config)
    reasons = {**job.config.idle(), **job.config.idle_with_data()}
    reasons = {**original.config.idle(), **original.config.idle_with_data(), **reasons}
    keys = [key for key, value in ours.items() if theirs.get(key) != value]
    told: dict[str, list[str]] = {}
    for key in keys:
        told.setdefault(reasons.get(key, "changes no number"), []).append(key)
    return "; ".join(f"{', '.join(keys)}: {reason}" for reason, keys in told.items()) or "the same words mean the same"


def _state(job: Job, state: str) -> tuple[str, str]:
    """How far a job is, from what its record says, and why it failed if it did."""
    if state == "unfinished":
        return (RUNNING, "") if _locked(job) else (INTERRUPTED, "its process ended without a word")
    if state == "done":
        whole = record.finished_result(job.config, job.folder, job.config.inputs()) is not None
        return (DONE, "") if whole else (NEW, "")
    if state in ("new", "unreadable"):
        return NEW, ""
    result = record.result_or_warning(job.folder) or {}
    error = str(result.get("error") or "")
    if state == "failed" and any(sign in error for sign in _MEMORY):
        return OUT_OF_MEMORY, error
    return state, error


def _locked(job: Job) -> bool:
    """Whether a process writes the run just now."""
    lock = FileLock(job.folder / LOCK)
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # whoever may not write there finds out in the run
        return False


def _runs(job: Job, state: str, retry: Retry) -> bool:
    if job.config.force or not job.config.reusable:
        return state != RUNNING
    again = {FAILED: (Retry.failed, Retry.all), OUT_OF_MEMORY: (Retry.oom, Retry.all)}
    return retry in again[state] if state in again else state in (NEW, INTERRUPTED)


def summary(planned: Sequence[Planned]) -> str:
    """Counts of states, copies apart."""
    own = [one for one in planned if one.copy_of is None]
    counts = ", ".join(f"{count} {state}" for state, count in Counter(one.state for one in own).items())
    copies = len(planned) - len(own)
    return f"{len(planned)} jobs, {len(own)} different runs: {counts}" + (f"; {copies} copies" if copies else "")


def left_out(planned: Iterable[Planned]) -> list[str]:
    """What will not run and why, in lines: copies by what is without effect in them, and what failed before."""
    planned = list(planned)
    copies = Counter(one.reason for one in planned if one.copy_of is not None)
    lines = [f"left out: {count} {_copies(count)} of other jobs ({why})" for why, count in copies.most_common(10)]
    if len(copies) > 10:
        lines.append(f"left out: {sum(n for _, n in copies.most_common()[10:])} copies more, for other such reasons")
    if unseen := [one for one in planned if one.state == RUNNING and not one.runs and one.copy_of is None]:
        lines.append(f"left out: {len(unseen)} that another process is running")
    failed = [one for one in planned if one.failed_before]
    lines += [f"{one.state} before: job {one.number}: {one.reason}" for one in failed]
    if failed:
        lines.append("what failed before is done again with retry=failed, retry=oom (out of memory) or retry=all")
    return lines


def _copies(count: int) -> str:
    return "is a copy" if count == 1 else "are copies"
