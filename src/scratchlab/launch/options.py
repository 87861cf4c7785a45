"""What a command line can choose from: the groups and their options, read from names of files, without Hydra."""

from scratchlab.book import experiments
from scratchlab.files import resource

CONF = resource("conf")
"""The folder of the options: a folder a group, a file an option."""


def groups() -> list[str]:
    """The config groups that a command line may choose from."""
    return ["experiment", *sorted(path.name for path in CONF.iterdir() if path.is_dir())]


def options(group: str) -> list[str]:
    """The options of a config group, experiments and task included."""
    if group == "experiment":
        return list(experiments.paths())
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))
