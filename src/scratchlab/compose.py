"""From command line to typed run: the only module, with the entry point, that knows Hydra."""

from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from scratchlab import experiments
from scratchlab.runs.config import Run
from scratchlab.runs.registry import TASKS

CONF = experiments.resource("conf")


@cache
def register() -> None:
    """Tell Hydra the type of every task's configuration and every experiment file, once a process.

    The type stands first in each task's list, so that whatever is composed after it is checked against it.
    """
    store = ConfigStore.instance().store
    for name, task in TASKS.items():
        store(group="schema", name=name, node=task.schema(), package="_global_", provider="scratchlab")
    for experiment in experiments.read_all().values():
        node = OmegaConf.create({"name": experiment.name} | experiment.content)
        store(group="experiment", name=experiment.name, node=node, package="_global_", provider=str(experiment.path))


def typed(composed: DictConfig, task: str) -> Run:
    """Turn a composed configuration into the dataclass of its task.

    It is merged into a fresh, strict copy of the type, which refuses the keys that `+key=value` smuggled in.

    Raises:
        OmegaConfBaseException: a key or a value does not fit the type.
        ValueError: values that do not go together.
    """
    values = OmegaConf.to_container(
        OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"]), resolve=True
    )
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(TASKS[task].schema()), values))
    assert isinstance(config, Run)
    return config


def compose(overrides: list[str]) -> Run:
    """Compose a run from overrides as they stand on the command line; for tests and for tools that plan runs."""
    if GlobalHydra.instance().is_initialized():
        composed = hydra_compose("config", overrides, return_hydra_config=True)
    else:
        register()
        with initialize_config_dir(str(CONF), version_base="1.3", job_name="scratchlab"):
            composed = hydra_compose("config", overrides, return_hydra_config=True)
    return typed(composed, composed.hydra.runtime.choices.task)


def reference(choices: dict[str, Any]) -> Run | None:
    """The same experiment (or task) as published: without any override; None if it says nothing without one."""
    chosen = "experiment" if choices.get("experiment") else "task"
    try:
        return compose([f"{chosen}={choices[chosen]}"])
    except MissingMandatoryValue:
        return None


def current_choices() -> dict[str, Any]:
    """The options chosen for the job that is running, by group."""
    return dict(HydraConfig.get().runtime.choices)


def options(group: str) -> list[str]:
    """The options of a config group, experiments and task included."""
    if group == "experiment":
        return sorted(experiments.read_all())
    return sorted(path.stem for path in Path(CONF, group).glob("*.yaml"))


def groups() -> list[str]:
    """The config groups that a command line may choose from."""
    return ["experiment", *sorted(path.name for path in CONF.iterdir() if path.is_dir())]
