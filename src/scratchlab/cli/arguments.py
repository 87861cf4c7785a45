"""What is done to the words of a command line before Hydra reads them."""

from scratchlab.book import experiments
from scratchlab.matching import matches

LISTS = ("select", "seeds", "claim", "chapter", "exercise", "factors", "metrics")
"""Keys whose value is a list with commas, which Hydra would take for a sweep."""


def prepare(arguments: list[str]) -> list[str]:
    """The words as Hydra should read them."""
    return name_task(quote_lists(arguments))


def quote_lists(arguments: list[str]) -> list[str]:
    """Put values of `LISTS` in quotes where Hydra would not take them whole, if there are none; not in a sweep."""
    if {"-m", "--multirun"} & set(arguments):
        return arguments
    quoted = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        plain = key in (*LISTS, "baseline") and set(",=") & set(value) and value[0] not in "'\"[{"
        quoted.append(f"{key}='{value}'" if plain else argument)
    return quoted


def name_task(arguments: list[str]) -> list[str]:
    """Add the task that swept experiments share: Hydra checks overrides of a sweep before it knows an experiment."""
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    swept = given.get("experiment", "")
    if "task" in given or not ("," in swept or swept.startswith("glob(")):
        return arguments
    wanted = swept.removeprefix("glob(").removesuffix(")")
    chosen = [path for name, path in experiments.paths().items() if matches(name, wanted)]
    tasks = {experiments.read(path).task for path in chosen}
    if len(tasks) != 1:
        return arguments
    place = next(number for number, word in enumerate(arguments) if word.startswith("experiment="))
    # beside the experiment: after an option, as --config-dir FOLDER, no further overrides are read
    return [*arguments[:place], f"task={tasks.pop()}", *arguments[place:]]
