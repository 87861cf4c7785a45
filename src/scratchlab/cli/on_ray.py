"""Jobs of a sweep as tasks of Ray.

Hydra's plugin would wait for the first task and leave the others running when one is lost. Here each is waited for.
"""

import logging
import os
from collections.abc import Sequence
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from omegaconf import open_dict

from scratchlab.cli import on_cluster

log = logging.getLogger("scratchlab")

POLL_SECONDS = 1.0


def check() -> tuple[Any, Any]:
    """What is needed: Ray, and Hydra's plugin over it.

    Raises:
        RuntimeError: one of them is not here.
    """
    return on_cluster.needs("ray", "ray"), on_cluster.needs("hydra_plugins.hydra_ray_launcher._launcher_util", "ray")


def launch(launcher: Any, job_overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
    """Hand jobs to Ray and wait until each has come to its end.

    Raises:
        RuntimeError: see `check`; or jobs were lost: names them with what Ray said.
    """
    # unless somebody wants it, nothing is told to Ray's makers
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray, plugin = check()
    if not ray.is_initialized():
        settings = launcher.settings["init"]
        alone = not (settings.get("address") or os.environ.get("RAY_ADDRESS"))
        ray.init(**({"include_dashboard": False} if alone else {}), **settings)
    task = ray.remote(**launcher.settings["remote"])(_job)
    refs = [
        task.remote(os.getcwd(), plugin._run_job, *_arguments(launcher, list(words), first + place))
        for place, words in enumerate(job_overrides)
    ]
    log.info("Ray has %d jobs", len(refs))
    try:
        _wait(ray, launcher, refs)
    except BaseException as stop:
        _cancel(ray, refs)
        if isinstance(stop, KeyboardInterrupt):  # elsewhere they only now hear of it, and end with their step
            _wait(ray, launcher, refs)
        raise
    return _results(ray, launcher, refs, job_overrides)


def _job(folder: str, run: Any, *arguments: Any) -> JobReturn:
    """One job, in a worker; it may have been started elsewhere, and `out` is as a rule a relative path."""
    os.chdir(folder)
    result: JobReturn = run(*arguments)
    return result


def _arguments(launcher: Any, words: list[str], number: int) -> tuple[Any, ...]:
    config = launcher.context.config_loader.load_sweep_config(launcher.config, words)
    with open_dict(config):
        config.hydra.job.id, config.hydra.job.num = str(number), number
    return launcher.context, config, launcher.function, Singleton.get_state()


def _wait(ray: Any, launcher: Any, refs: list[Any]) -> None:
    left, stopping = refs, False
    while left:
        _, left = ray.wait(left, num_returns=len(left), timeout=POLL_SECONDS)
        if left and not stopping and on_cluster.is_signal(on_cluster.stop_wanted(launcher)):
            stopping = True
            _cancel(ray, left)


def _cancel(ray: Any, refs: list[Any]) -> None:
    """Take tasks out of the queue; those that run are asked to end, as by Ctrl-C."""
    for ref in refs:
        ray.cancel(ref, force=False)


def _results(ray: Any, launcher: Any, refs: list[Any], job_overrides: Sequence[Sequence[str]]) -> list[JobReturn]:
    results, told = [], []
    stopped = on_cluster.stop_wanted(launcher)
    for ref, words in zip(refs, job_overrides, strict=True):
        try:
            results.append(ray.get(ref))
        except ray.exceptions.RayError as error:
            if not stopped:
                said = f"{type(error).__name__}: {error}".splitlines()[0]
                told.append(f"{on_cluster.words(list(words))} ({said})")
    if told:
        raise on_cluster.lost("Ray", told)
    return results
