"""Say what is wrong with a command line or an experiment file: the key, what was given, what is possible."""

import re
from collections.abc import Iterator

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException, ValidationError

from scratchlab.book import experiments
from scratchlab.cli import keys
from scratchlab.launch.options import groups, options
from scratchlab.matching import nearest
from scratchlab.runs.config import Run
from scratchlab.runs.registry import TASKS

EXPECTED = (ValueError, OSError, RuntimeError)
"""What our own checks raise with a message meant for the user, and what a disk or a file says of itself."""


SYNONYMS = {
    "learning_rate": "lr",
    "num_epochs": "epochs",
    "n_epochs": "epochs",
    "accumulation_steps": "accumulate",
    "eval_freq": "eval_every",
    "eval_iter": "eval_batches",
    "context_size": "context_length",
    "d_model": "emb_dim",
    "n_embd": "emb_dim",
    "n_layer": "n_layers",
    "n_head": "n_heads",
    "num_heads": "n_heads",
    "drop_rate": "drop_rate_emb",
    "alpha": "lora_alpha",
    "rank": "lora_rank",
}
"""What the book's scripts and other tools call our keys."""


def explain(error: BaseException, arguments: list[str]) -> str | None:
    """Turn an error met while composing into a message for the user; None if it is none of those."""
    errors = list(_causes(error))
    for found in errors:
        if isinstance(found, MissingConfigException) and found.missing_cfg_file:
            group, _, option = found.missing_cfg_file.rpartition("/")
            return _unknown_option(group, option)
        if isinstance(found, OverrideParseException):
            return f"{found.override!r} is no override; possible: key=value, as in train.epochs=2 or model=gpt2_medium"
    schema = _schema(arguments)
    for found in errors:
        if isinstance(found, OmegaConfBaseException) and found.full_key:
            return _key_problem(found, schema, arguments)
    text = " ".join(str(error).split())
    if multiple := re.search(r"Multiple values for (\w+)", text):
        return f"+{multiple[1]}=: {multiple[1]} is chosen already; nearest: {multiple[1]}=OPTION, without the +"
    if absent := re.search(r"Could not override '([\w/]+)'. No match in the defaults list", text):
        parts = ", ".join(experiments.task_options(schema.task))
        instead = f"; it chooses from: {parts}" if parts else ", nor from any other group of options"
        return f"{absent[1]}=: task={schema.task} does not choose from {absent[1]}{instead}"
    if "Ambiguous value" in text:
        argument = re.search(r"'(.+?)'", text)
        return f"{argument[1] if argument else text}: several values are a sweep; nearest: add -m to the command"
    if "Config group override must be" in text:
        return _group_given_a_value(arguments)
    if type(error).__module__.startswith(("hydra", "omegaconf")):
        return text
    return str(error) if isinstance(error, EXPECTED) else None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _unknown_option(group: str, option: str) -> str:
    if group == "hydra/launcher":
        plugin = f"hydra-{option}-launcher"
        return f"{group}={option}: no such launcher is installed; possible: launch=local, or `pip install {plugin}`"
    if group not in groups():
        return f"{group}={option}: no such group; possible: {', '.join(groups())}" + nearest(group, groups())
    possible = options(group)
    listed = "see `scratchlab task=list`" if group == "experiment" else ", ".join(possible)
    return f"{group}={option}: no such {group}; possible: {listed}" + nearest(option, possible)


def _group_given_a_value(arguments: list[str]) -> str:
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key in groups() and value not in options(key):
            return f"{key}={value}: {key} takes the name of an option; possible: {', '.join(options(key))}"
    return f"a group was given a value instead of an option; the groups are {', '.join(groups())}"


def _schema(arguments: list[str]) -> type[Run]:
    """The type of the task that the arguments choose, as far as can be told."""
    chosen = dict(argument.lstrip("+").split("=", 1) for argument in arguments if "=" in argument)
    task = chosen.get("task", "list")
    try:
        if "experiment" in chosen and (experiment := experiments.read_named(chosen["experiment"])):
            task = experiment.task
    except ValueError:  # the file is what is wrong, and the error that is being explained says how
        return Run
    return TASKS[task].schema() if task in TASKS else Run


def _key_problem(error: OmegaConfBaseException, schema: type[Run], arguments: list[str]) -> str:
    key = str(error.full_key)
    given = next((a for a in arguments if f"{a.lstrip('+~').split('=')[0]}.".startswith(f"{key}.")), "")
    where = given or next((f"{a} (in {_experiment_file(a)})" for a in arguments if a.startswith("experiment=")), key)
    reason = str(error.msg).splitlines()[0]
    known = dict(keys.kinds(schema))
    if isinstance(error, MissingMandatoryValue):
        return f"task={schema.task} needs {key}=VALUE ({keys.possible(known.get(key))})"
    if isinstance(error, ValidationError):
        possible = keys.possible(known.get(key))
        value = given.partition("=")[2] if given else ""
        options = [m.name for m in known[key]] if keys.is_enum(known.get(key)) else []
        return f"{where}: {reason}; {key} takes {possible}" + nearest(value, options)
    if key in known:
        return f"{where}: {reason}"
    parent, _, last = key.rpartition(".")
    while parent and parent not in known and not any(k.startswith(f"{parent}.") for k in known):
        parent, _, last = parent.rpartition(".")
    inside = f"{parent}." if parent else ""
    siblings = sorted({k.removeprefix(inside).split(".")[0] for k in known if k.startswith(inside)})
    others = [k for k in known if k.rpartition(".")[2] == last]
    near = f"; nearest: {others[0]}" if others else nearest(SYNONYMS.get(last, last), siblings)
    place = f"{parent} of task={schema.task}" if parent else f"task={schema.task}"
    return f"{where}: no key {key!r} in {place}; possible: {', '.join(siblings)}" + near


def _experiment_file(argument: str) -> str:
    experiment = experiments.read_named(argument.partition("=")[2])
    return str(experiment.path) if experiment else argument
