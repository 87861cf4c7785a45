"""A sweep that searches: Optuna proposes jobs by what the ones before them measured.

The same command proposes the same jobs, as long as they measure the same: what is done is read from its record and not
repeated, and a search that was killed goes on where it was. So there is no storage of trials besides the records.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from scratchlab.cli import listing, live, objective, outcome, sweep
from scratchlab.cli.sweep_folder import Sweep
from scratchlab.launch import jobs, plan, plan_table
from scratchlab.launch.plan import Planned
from scratchlab.launch.words import SWEEP_KEYS
from scratchlab.matching import nearest
from scratchlab.runs.config import Retry
from scratchlab.runs.metric import Better
from scratchlab.runs.metrics import METRICS, metric
from scratchlab.runs.record import result_or_warning

if TYPE_CHECKING:
    import optuna

log = logging.getLogger("scratchlab")

DIRECTIONS = {Better.lower: "minimize", Better.higher: "maximize"}


def run(config: DictConfig, launcher: Launcher) -> None:
    """Ask for jobs, do those that are not done, and say which was best.

    Raises:
        ValueError: what is to be made better is not said or has no direction, or nothing is to be varied.
        RuntimeError: Optuna is not installed, or what the launcher needs is not here.
    """
    told, outcome.SweepFolder.current = outcome.SweepFolder.current, None
    outcome.check_alone()
    better = direction(config.optimize)
    study = _study(better, config.hydra.sweeper)
    fixed, varied = space(config.hydra.overrides.task, config.hydra.sweeper.params or {})
    folder = Sweep(Path(config.hydra.sweep.dir))
    if not config.plan:
        sweep.check(launcher)
        outcome.SweepFolder.current = told
        folder.begin(config.fail_fast)
    asked, most, best = 0, config.hydra.sweeper.n_trials, None
    with sweep.asked_to_stop(folder):
        while asked < most and not folder.stopped():
            trials = [study.ask(varied) for _ in range(min(config.hydra.sweeper.at_once, most - asked))]
            words = [(*fixed, *(f"{key}={_word(value)}" for key, value in one.params.items())) for one in trials]
            planned = _planned(config, words, first=asked)
            if any(one.runs for one in planned):
                if config.plan:
                    plan_table.show(planned)
                    print(f"{better} {config.optimize}: {most - asked - len(planned)} further jobs depend on these")
                    return
                _do(planned, folder, launcher, config)
            elif not config.plan:
                sweep.note(planned, folder)
            asked += len(planned)
            best = _tell(study, trials, planned)
    if best is not None:
        chosen = " ".join(f"{key}={_word(value)}" for key, value in best.params.items())
        print(f"best of {asked}: {chosen}: {config.optimize} {metric(config.optimize).shown(best.value)}")


def direction(name: str) -> str:
    """Which way a metric is better, as Optuna says it; a warning where what is chosen is no longer measured by it.

    Raises:
        ValueError: it is not said, not declared, or neither way is better.
    """
    possible = [one.name for one in METRICS.values() if one.better in DIRECTIONS and not one.table]
    if metric(name).better not in DIRECTIONS:
        given = f"optimize={name}: neither more nor less of it is better" if name in METRICS else f"optimize={name}"
        raise ValueError(
            f"{given}; a search needs a metric that has a better side; possible: {', '.join(possible)}"
            + nearest(name, possible)
        )
    if metric(name).split == "test":
        log.warning(
            "optimize=%s: what is chosen by the test split is no longer measured by it; val_accuracy or val_loss "
            "leaves it for the end",
            name,
        )
    return DIRECTIONS[metric(name).better]


def space(words: Sequence[str], params: Mapping[str, str]) -> tuple[list[str], dict[str, Any]]:
    """What all jobs share, as words, and what a job may have of each other key, as Optuna's distributions.

    Raises:
        ValueError: nothing is varied.
    """
    parser = OverridesParser.create()
    overrides = parser.parse_overrides([*(f"{key}={value}" for key, value in params.items()), *words])
    last = {one.get_key_element(): one for one in overrides if one.get_key_element() not in SWEEP_KEYS}
    fixed = [one.input_line or "" for one in last.values() if not one.is_sweep_override()]
    varied = {key: _distribution(one) for key, one in last.items() if one.is_sweep_override()}
    if not varied:
        raise ValueError(
            "hydra/sweeper=search: nothing is varied; possible: train.lr=interval(1e-5,1e-3), "
            "train.lr=tag(log,interval(1e-5,1e-3)), position=first,last, train.epochs=range(1,6)"
        )
    return fixed, varied


def _distribution(override: Override) -> "optuna.distributions.BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    if isinstance(value, IntervalSweep):
        assert value.start is not None and value.end is not None
        log_scale = "log" in value.tags
        if isinstance(value.start, int) and isinstance(value.end, int):
            return IntDistribution(value.start, value.end, log=log_scale)
        return FloatDistribution(value.start, value.end, log=log_scale)
    words = list(override.sweep_string_iterator())
    if isinstance(value, RangeSweep) and not value.shuffle and all(isinstance(n, int) for n in _range_of(value)):
        return IntDistribution(int(words[0]), int(words[-1]), step=int(value.step or 1))
    return CategoricalDistribution(words)


def _range_of(value: RangeSweep) -> tuple[Any, ...]:
    return value.start, value.stop, value.step


def _word(value: Any) -> str:
    """A chosen word as it was typed; a number with four digits, so that a table can be read."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _study(better: str, settings: DictConfig) -> "optuna.Study":
    if find_spec("optuna") is None:
        raise RuntimeError("hydra/sweeper=search: needs the package optuna; possible: pip install 'scratchlab[optuna]'")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    if settings.sampler not in samplers:
        raise ValueError(f"hydra.sweeper.sampler={settings.sampler}; possible: {', '.join(samplers)}")
    sampler = samplers[settings.sampler](seed=settings.sampler_seed)
    return optuna.create_study(direction=optuna.study.StudyDirection[better.upper()], sampler=sampler)


def _planned(config: DictConfig, words: Sequence[tuple[str, ...]], first: int) -> list[Planned]:
    """Jobs that were asked for, with numbers from `first` on."""
    found = listing.composed(words, jobs.searched(config))
    planned = plan.make(found, Retry(config.retry), estimated=True, measured=config.measure)
    return [
        replace(one, number=first + one.number, copy_of=None if one.copy_of is None else first + one.copy_of)
        for one in planned
    ]


def _do(planned: Sequence[Planned], folder: Sweep, launcher: Launcher, config: DictConfig) -> None:
    """Launch those that are to run."""
    waiting = sweep.note(planned, folder)
    folder.expect(live.expected(planned))
    for line in plan.left_out(planned):
        log.info("%s", line)
    sweep.launch(launcher, waiting, folder, config.hydra.sweeper)


def _tell(study: "optuna.Study", trials: Sequence["optuna.Trial"], planned: Sequence[Planned]) -> Any:
    """Tell what the records say; returns the best trial so far, None if there is none."""
    import optuna

    for trial, value in zip(trials, _values(planned), strict=True):
        if value == value:
            study.tell(trial, value)
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
    done = [one for one in study.trials if one.state == optuna.trial.TrialState.COMPLETE]
    return study.best_trial if done else None


def _values(planned: Sequence[Planned]) -> Iterator[float]:
    for one in planned:
        result = result_or_warning(one.job.folder)
        done = result is not None and result.get("status") == "done"
        yield objective.of(one.job.config, result["metrics"]) if done and result else objective.NONE
