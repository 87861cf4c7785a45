"""From command line to typed run: the only module, with the entry point, that knows Hydra."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, cast

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from scratchlab.book import experiments
from scratchlab.files import dotted
from scratchlab.launch import quick
from scratchlab.launch.options import CONF
from scratchlab.runs.checks import check
from scratchlab.runs.config import Run
from scratchlab.runs.registry import TASKS

VERSION, PRIMARY = "1.3", "config"
"""The version of Hydra whose behaviour is asked for, and the file in conf/ that everything starts from."""
SAME_RUN = ("out", "force", "seed")
"""Keys that make no other run of an experiment: where it is kept, whether it is repeated, and which seed it has."""

Names = list[str]  # the class below has a method called `list`


class OnDemand(ConfigSource):
    """The types of the tasks' configurations, and the experiment files, each made when Hydra asks for it.

    The type stands first in each task's list, so that whatever is composed after it is checked against it. (Hydra's own
    store wants everything at the start, and every composition copies it.)
    """

    @staticmethod
    def scheme() -> str:
        return "scratchlab"

    def load_config(self, config_path: str) -> ConfigResult:
        group, _, name = config_path.removesuffix(".yaml").rpartition("/")
        header: dict[str, str | None] = {"package": "_global_"}
        if group == "schema" and name in TASKS:
            return ConfigResult(self.provider, self.full_path(), OmegaConf.structured(TASKS[name].schema()), header)
        if group == "experiment" and (experiment := experiments.read_named(name)):
            node = OmegaConf.create({"name": name} | experiment.content)
            return ConfigResult(str(experiment.path), str(experiment.path), node, header)
        raise ConfigLoadError(f"no {config_path} among the tasks' types and the experiments")

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        return config_path.rstrip("/") in ("", "schema", "experiment")

    def is_config(self, config_path: str) -> bool:
        group, _, name = config_path.removesuffix(".yaml").rpartition("/")
        return name in self._names(group)

    def list(self, config_path: str, results_filter: ObjectType | None) -> Names:
        kind = ObjectType.CONFIG if config_path else ObjectType.GROUP
        names = self._names(config_path.rstrip("/")) if config_path else ["schema", "experiment"]
        return sorted(names) if results_filter in (None, kind) else []

    @staticmethod
    def _names(group: str) -> Iterable[str]:
        if group == "experiment":
            return experiments.paths()
        return TASKS if group == "schema" else ()


class SearchOnDemand(SearchPathPlugin):
    """Makes Hydra look there; `hydra.searchpath` in conf/config.yaml would not do for `experiment=glob(...)`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("scratchlab", f"{OnDemand.scheme()}://")


@cache
def register() -> None:
    """Tell Hydra, once a process, where types and experiments come from."""
    for plugin in (OnDemand, SearchOnDemand):
        Plugins.instance().register(plugin)


def typed(composed: DictConfig, task: str) -> Run:
    """Turn a composed configuration into the dataclass of its task.

    It is merged into a fresh, strict copy of the type, which refuses the keys that `+key=value` smuggled in.

    Raises:
        OmegaConfBaseException: a key or a value does not fit the type.
        ValueError: values that do not go together.
    """
    values = OmegaConf.to_container(own(composed), resolve=True)
    merged = OmegaConf.merge(OmegaConf.structured(TASKS[task].schema()), values)
    found = OmegaConf.to_container(merged)
    assert isinstance(found, dict)
    check(dotted({str(key): value for key, value in found.items() if key != "claims"}))
    config = OmegaConf.to_object(merged)
    assert isinstance(config, Run)
    return config


def entry_point(job: Callable[[DictConfig], Any]) -> Callable[[], None]:
    """What does the job, or jobs, of the command line."""
    register()
    start: Callable[[], None] = hydra.main(version_base=VERSION, config_path=str(CONF), config_name=PRIMARY)(job)
    return start


def untyped(overrides: list[str]) -> DictConfig:
    """Compose overrides as they stand on the command line; what must be given and is not may be missing."""
    if GlobalHydra.instance().is_initialized():
        return hydra.compose(PRIMARY, overrides, return_hydra_config=True)
    register()
    with hydra.initialize_config_dir(str(CONF), version_base=VERSION, job_name="scratchlab"):
        return hydra.compose(PRIMARY, overrides, return_hydra_config=True)


def compose(overrides: list[str]) -> Run:
    """Compose a run from overrides as they stand on the command line; for tests and for tools that plan runs."""
    try:
        return quick.compose(overrides)
    except quick.NotQuickly:
        return by_hydra(overrides)


def by_hydra(overrides: list[str]) -> Run:
    """The same, whatever the overrides are, and slowly."""
    composed = untyped(overrides)
    return typed(composed, composed.hydra.runtime.choices.task)


def reference(choices: dict[str, Any], overrides: Iterable[str] | None = None) -> Run | None:
    """The same experiment (or task) as published: without any override.

    `overrides`: those of the job; None: of the one that Hydra is running. None if it says nothing without one, or if
    the job is just that: composing it again would tell nothing.
    """
    chosen = "experiment" if choices.get("experiment") else "task"
    words = HydraConfig.get().overrides.task if overrides is None else overrides
    if {word.partition("=")[0] for word in words} <= {chosen, *SAME_RUN}:
        return None
    try:
        return compose([f"{chosen}={choices[chosen]}"])
    except MissingMandatoryValue:
        return None


def current_choices() -> dict[str, Any]:
    """The options chosen for the job that is running, by group."""
    return dict(HydraConfig.get().runtime.choices)


def choices_of(composed: DictConfig) -> dict[str, Any]:
    """The options chosen in a composition, by group."""
    return dict(composed.hydra.runtime.choices)


def values_of(composed: DictConfig) -> dict[str, Any]:
    """The values of a composition, enums by name; `???` where one must be given and is not."""
    values = OmegaConf.to_container(own(composed), resolve=True, enum_to_str=True)
    return cast(dict[str, Any], values)


def own(composed: DictConfig) -> DictConfig:
    """A composition without Hydra's part."""
    return OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
