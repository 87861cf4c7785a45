"""What is done to the words of a command line before Hydra reads them."""

from scratchlab.book import experiments
from scratchlab.launch.words import SWEEP_KEYS
from scratchlab.matching import matches

LISTS = ("select", "seeds", "claim", "chapter", "exercise", "factors", "metrics")
"""Keys whose value is a list with commas, which Hydra would take for a sweep."""

OF_THE_SWEEP = (*SWEEP_KEYS, "launch")
"""Keys that are about a sweep and not about its jobs, wherever they stand."""
AND, PARTS = "+", "hydra.sweeper.parts"
"""What stands between the parts of a sweep, and where its sweeper is given them."""


def prepare(arguments: list[str]) -> list[str]:
    """The words as Hydra should read them."""
    return with_parts(name_task(quote_lists(arguments)))


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


def with_parts(words: list[str]) -> list[str]:
    """A command line as Hydra reads it: the parts of a sweep, which `+` separates, become one override.

    Raises:
        ValueError: a flag stands among the parts.
    """
    if AND not in words:
        return list(words)
    first = words.index(AND)
    parts: list[list[str]] = []
    flags, shared = [], words[:first]
    for word in words[first:]:
        if word == AND:
            parts.append([])
        elif word in ("-m", "--multirun"):
            flags.append(word)
        elif word.partition("=")[0] in OF_THE_SWEEP or word.startswith("hydra"):
            shared.append(word)
        elif word.startswith("-"):
            raise ValueError(f"{word}: stands after a `+`; possible: flags before the first `+`")
        else:
            parts[-1].append(word)
    quoted = ",".join(f"[{','.join(map(_quoted, part))}]" for part in parts)
    return [*flags, *shared, f"{PARTS}=[{quoted}]"]


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
