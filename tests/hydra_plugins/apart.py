"""A launcher for tests: every job in a process of its own, all at once, and nothing comes back but that they ended."""

import multiprocessing
import os
import signal
from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from omegaconf import open_dict

ConfigStore.instance().store(
    group="hydra/launcher", name="apart", node={"_target_": "hydra_plugins.apart.Apart"}, provider="tests"
)


class Apart(Launcher):
    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Like a cluster's: a job that is lost (those with the override in LOST) is an error here."""
        setup_globals()
        fork = multiprocessing.get_context("fork")
        processes = [
            fork.Process(target=self.run, args=(number, list(overrides)))
            for number, overrides in enumerate(job_overrides, start=initial_job_idx)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            raise RuntimeError("a job was lost")
        return [JobReturn(status=JobStatus.COMPLETED) for _ in processes]

    def run(self, number: int, overrides: list[str]) -> None:
        if os.environ.get("LOST") in overrides:
            os.kill(os.getpid(), signal.SIGKILL)
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.num = number
        run_job(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
