"""The sweeper of scratchlab, where Hydra looks for it; what it does is in `scratchlab.cli.sweep`."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

TARGET = "hydra_plugins.scratchlab_sweeper.PlannedSweeper"


@dataclass
class PlannedSweeperConf:
    """What stands below `hydra.sweeper`."""

    _target_: str = TARGET
    params: dict[str, str] | None = None
    """Words of the sweep that an experiment declares, by key."""
    parts: list[list[str]] = field(default_factory=list)
    """Sweeps that are made one after the other, each with the words of the command line."""
    max_batch_size: int | None = None
    """Jobs that the launcher is given at once; null: all."""


ConfigStore.instance().store(group="hydra/sweeper", name="planned", node=PlannedSweeperConf, provider="scratchlab")


@dataclass
class SearchSweeperConf:
    """The same with hydra/sweeper=search."""

    _target_: str = "hydra_plugins.scratchlab_sweeper.SearchSweeper"
    params: dict[str, str] | None = None
    """What an experiment declares to be varied, by key."""
    n_trials: int = 20
    """Jobs in all, those that are done already counted."""
    at_once: int = 1
    """Jobs that are asked for before any of them tells what it measured; as many as the launcher runs at once."""
    sampler: str = "tpe"
    """How Optuna proposes: tpe or random."""
    sampler_seed: int = 0
    max_batch_size: int | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="search", node=SearchSweeperConf, provider="scratchlab")


class PlannedSweeper(Sweeper):
    """Plans all jobs before it launches those that are missing."""

    def __init__(self, **settings: Any) -> None:
        """`settings` are read where the sweep is expanded, from its configuration."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        from scratchlab.cli import sweep

        assert self.config is not None and self.launcher is not None
        sweep.run(self.config, self.launcher)


class SearchSweeper(PlannedSweeper):
    """Lets Optuna choose each job by what those before it measured."""

    def sweep(self, arguments: list[str]) -> None:
        from scratchlab.cli import search

        assert self.config is not None and self.launcher is not None
        search.run(self.config, self.launcher)
