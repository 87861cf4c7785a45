"""A sweeper for tests that searches as Optuna's does: one job after the other, by the number that each one gives."""

import math
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper

ConfigStore.instance().store(
    group="hydra/sweeper", name="searching", node={"_target_": "hydra_plugins.searching.Searching"}, provider="tests"
)


class Searching(Sweeper):
    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Try the values of the last argument, and say which gave the largest number."""
        *fixed, last = arguments
        key, _, values = last.partition("=")
        told = {}
        for number, value in enumerate(values.split(",")):
            (job,) = self.launcher.launch([[*fixed, f"{key}={value}"]], initial_job_idx=number)
            told[value] = float(job.return_value)
        finite = {value: number for value, number in told.items() if math.isfinite(number)}
        print(f"told {len(told)}, of them numbers {len(finite)}, best {max(finite, key=lambda one: finite[one])}")
