"""Make the arms of an ablation, run what is missing, and compare them."""

import dataclasses
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.evidence.reading import seed_list
from scratchlab.launch.ablation import Design, Planned, arms
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.evidence.runs import Arm, RunRecord
    from scratchlab.runs.record import Record

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Ablate(Run):
    task: ClassVar[str] = "ablate"
    reusable: ClassVar[bool] = False
    about_records: ClassVar[bool] = True

    of: str = ""
    """The experiment that is varied."""
    factors: str = ""
    """Overrides, comma-separated, each one factor: `position=first,tune=all`."""
    design: Design = Design.one_at_a_time
    overrides: str = ""
    """Overrides of all arms, separated by spaces: `weights=random model=gpt2_tiny`."""
    seeds: Any = "123-125"
    control: bool = True
    """Add an A/A control: the baseline with other seeds, which must come out as no difference."""
    shuffled_labels: bool = False
    """Add an arm whose training labels are dealt out at random."""
    metric: str = ""

    def __post_init__(self) -> None:
        seed_list(self.seeds)

    def arms(self) -> list[Planned]:
        factors = [factor.strip() for factor in self.factors.split(",") if factor.strip()]
        return arms(factors, self.design, control=self.control, shuffled_labels=self.shuffled_labels)

    def makes(self) -> list[list[str]]:
        return [self.words(arm, seed) for arm in self.arms() for seed in seed_list(self.seeds)]

    def words(self, arm: Planned, seed: int) -> list[str]:
        """The run of an arm with one of the seeds."""
        return [*_words(self, arm, seed + arm.shift), f"out={self.out}"]


def ablate(config: Ablate, record: "Record") -> dict[str, Any]:
    from scratchlab.evidence import compare
    from scratchlab.evidence.baseline import choose_metric
    from scratchlab.evidence.gather import Comparison
    from scratchlab.report import formats, tables, terminal

    planned = config.arms()
    found, failed = measure(config, planned)
    if planned[0].label not in {arm.name for arm in found}:
        raise RuntimeError(f"the baseline of {config.of} has no finished run; its log says why")
    baseline = found[0]
    metric = choose_metric(found, baseline, config.metric)
    rows = compare.rows(found, baseline, metric, declared={arm.label: arm.keys for arm in planned})
    for row, arm in zip(rows, found, strict=True):
        row["command"] = _command(config, next(p for p in planned if p.label == arm.name))
    task, why = f"{config.of}, {config.design.name}", "the arm that the design starts from"
    one = Comparison(task, metric, baseline, found, rows, {}, why)
    formats.write_comparisons(record, "table", [one])
    tables.show(one)
    for line in failed:
        terminal.say(f"failed: {line}")
    terminal.say(f"written to {record.folder}/table.json (and .md, .tex, .csv)")
    return {"arms": len(found), "runs": sum(len(arm.runs) for arm in found), "failed": failed, "metric": metric}


def _words(config: Ablate, arm: Planned, seed: int) -> list[str]:
    if not config.of:
        raise ValueError("of=EXPERIMENT is needed: the experiment to vary, see `scratchlab task=list`")
    return [f"experiment={config.of}", *config.overrides.split(), *arm.overrides, f"seed={seed}"]


def _command(config: Ablate, arm: Planned) -> str:
    *words, _ = _words(config, arm, 0)
    seeds = ",".join(str(seed + arm.shift) for seed in seed_list(config.seeds))
    return " ".join(["scratchlab -m", *words, f"seed={seeds}"])


def measure(config: Ablate, planned: list[Planned]) -> tuple[list["Arm"], list[str]]:
    """Run every arm and seed that is not there yet; the finished arms, and the commands that failed.

    Everything is composed before the first run, so that a mistake in a factor costs nothing.
    """
    from scratchlab.evidence.runs import Arm, read_run
    from scratchlab.launch import jobs, plan, plan_table

    seeds = seed_list(config.seeds)
    planned_jobs = {(arm, seed): jobs.job(config.words(arm, seed)) for arm in planned for seed in seeds}
    states = plan.make(list(planned_jobs.values()), config.retry, estimated=True)
    plan_table.show(states)
    failed = [one.job for one in states if one.failed_before]
    failed += jobs.run_all([one.job for one in states if one.runs or one.copy_of is not None])
    found = []
    for arm in planned:
        runs = [(seed, read_run(planned_jobs[arm, seed].folder)) for seed in seeds]
        done = tuple(_as_arm(run, arm, seed) for seed, run in runs if run.done)
        if done:
            label = f"{arm.label} (seeds from {seeds[0] + arm.shift})" if arm.shift else arm.label
            found.append(Arm(arm.label, label, done[0].acting, done))
    return found, [job.command for job in failed]


def _as_arm(run: "RunRecord", arm: Planned, seed: int) -> "RunRecord":
    """The run under its arm's name; the control is paired by place, so its seeds stand for those of the baseline."""
    hashes = run.hashes
    if arm.shift:  # another order of batches is what the control is for
        hashes = {name: value for name, value in hashes.items() if name != "batch_order"}
    return dataclasses.replace(run, seed=seed, name=arm.label, hashes=hashes)
