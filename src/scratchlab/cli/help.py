"""`--help` and `--version`: one screen of what there is, or the keys of a task; plain text, answered without Hydra.

Only the keys of a task need a composition. Everything is read where it stands anyway: options are names of files, what
a task does is the first line of its file, what a key means is the text under its field.
"""

import ast
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import reduce
from operator import getitem
from pathlib import Path
from textwrap import shorten, wrap
from typing import Any

from scratchlab import __version__, tasks
from scratchlab.book import experiments
from scratchlab.launch.options import groups, options
from scratchlab.runs.config import Run
from scratchlab.runs.registry import TASKS

WIDTH = 110
FORMS = """\
scratchlab: the exercises of Build a Large Language Model (From Scratch) as typed, checkable runs

  scratchlab experiment=NAME [key=value ...]     do an exercise; `scratchlab task=list` shows all {experiments}
  scratchlab task=NAME [key=value ...]           do something else, see below
  scratchlab -m experiment=NAME seed=123,124     do a run for each value, or combination of values, then show a table
  scratchlab ... plan=true                       show what would run, what is done, and how long it may take
  scratchlab experiment=NAME --help              show the keys of an experiment or a task: values and meaning
  scratchlab experiment=NAME --cfg job           show what would run (--version, --hydra-help: more flags)
  for example: scratchlab experiment=ch06_row01_baseline position=first tune=lora tune.lora_rank=4"""
ENVIRONMENT = {
    "SCRATCHLAB_MIRROR": "a folder that has data and weights, asked before the web",
    "SCRATCHLAB_CACHE": "where fetched files are kept",
    "OPENAI_API_KEY": "for judge=openai, if the server asks for one",
    "WANDB_API_KEY": "for tracking=wandb, if there was no `wandb login`",
}
BONUS = "bonus"
PARTS = {BONUS: BONUS, "any": "any chapter", "evidence": "evidence"}


def page(words: list[str]) -> str | None:
    """What the words of a command line ask to be told instead of a run; None if nothing.

    Raises:
        Exception: what is asked about cannot be composed, as when it is run.
    """
    if "--version" in words:
        return f"scratchlab {__version__}"
    if not {"--help", "-h"} & set(words):
        return None
    overrides = [word for word in words if not word.startswith("-")]
    chosen = {word.partition("=")[0] for word in overrides}
    return _of_one(overrides) if {"task", "experiment"} & chosen else _overview()


def _overview() -> str:
    lines = [FORMS.format(experiments=len(experiments.paths())), "", "options (group=option)"]
    named = {group: options(group) for group in groups() if group not in ("experiment", "task")}
    lines += _table((f"  {group}", " ".join(possible)) for group, possible in named.items())
    lines += ["", "tasks (task=NAME), by chapter"]
    lines += _table((f"  {part:11} {', '.join(names)}", about) for part, names, about in _tasks())
    lines += ["", "environment variables"]
    return "\n".join(lines + _table((f"  {name}", about) for name, about in ENVIRONMENT.items()))


def _tasks() -> Iterator[tuple[str, list[str], str]]:
    """Part, names and purpose of the tasks, a line for each of their files; a part is named once.

    Those about bonus material of the book share their lines: their own pages say what they do.
    """
    before = ""
    for part in dict.fromkeys(sorted((task.part for task in TASKS.values()), key=_order)):
        if part == BONUS:
            yield part, [], ", ".join(name for name, task in TASKS.items() if task.part == part)
            continue
        for module in dict.fromkeys(task.module for task in TASKS.values() if task.part == part):
            names = [name for name, task in TASKS.items() if task.module == module]
            yield ("" if part == before else PARTS.get(part, part)), names, _in_short(about(module))
            before = part


def _in_short(sentence: str) -> str:
    """What stands before a colon or brackets, in one line of the table."""
    return shorten(re.split(r": | \(|; |\.$", sentence)[0], 80, placeholder=" ...")


def _order(part: str) -> tuple[bool, str]:
    return part in PARTS, part  # chapters and appendices first


def about(module: str) -> str:
    """The first line of a task's file, which is not imported, nor read any further."""
    with Path(tasks.__path__[0], f"{module}.py").open(encoding="utf-8") as file:
        first = next(tokenize.generate_tokens(file.readline))
    return str(ast.literal_eval(first.string)).splitlines()[0]


def _of_one(overrides: list[str]) -> str:
    from scratchlab.launch import compose

    composed = compose.untyped(overrides)
    choices = compose.choices_of(composed)
    task = choices["task"]
    named = experiments.read_named(choices["experiment"]) if choices.get("experiment") else None
    lines = wrap(f"task={task}: {about(TASKS[task].module)}", WIDTH)
    if named:
        lines = [*wrap(f"experiment={named.name}: {named.summary}", WIDTH), *lines]
    taken = {group: choices[group] for group in experiments.task_options(task) if group in choices}
    if taken:
        lines += ["", "options (group=option, the chosen one first)"]
        lines += _table((f"  {g}={o}", " ".join(x for x in options(g) if x != o)) for g, o in taken.items())
    values = compose.values_of(composed)
    lines += _keys(TASKS[task].schema(), values)
    if claims := values.get("claims"):
        lines += ["", f"held against {len(claims)} published numbers; `--cfg job` shows them"]
    return "\n".join(lines)


def _keys(schema: type[Run], values: dict[str, Any]) -> list[str]:
    from scratchlab.cli import keys

    meaning = keys.documentation(schema)
    shared = {field.name for field in fields(Run)}
    own: list[tuple[str, str]] = []
    common: list[tuple[str, str]] = []
    for key, kind in keys.kinds(schema):
        if key == "claims":  # published numbers are not for setting
            continue
        row = (
            f"  {key}={_shown(reduce(getitem, key.split('.'), values))}",
            f"({keys.possible(kind)})  {meaning.get(key, '')}".rstrip(),
        )
        (common if key.split(".")[0] in shared else own).append(row)
    lines = ["", "keys (key=value, what is possible, what it is; ??? must be given)", *_table(own)] if own else []
    return [*lines, "", "keys of every task", *_table(common)]


def _shown(value: Any) -> str:
    """A value in the words of YAML, cut where it is long."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list):
        text = f"[{','.join(_shown(item) for item in value)}]"
    else:
        text = repr(value) if isinstance(value, str) and not value.isprintable() else str(value)
    return text if len(text) <= 30 else f"{text[:27]}..."


def _table(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Rows of a head and a text, the texts wrapped below each other."""
    rows = list(rows)
    column = min(max(len(head) for head, _ in rows), 44) + 2
    lines = []
    for head, text in rows:
        first, *rest = wrap(text, WIDTH - column, break_on_hyphens=False) or [""]
        if len(head) >= column:
            lines.append(head)
            head = ""
        lines += [f"{head:{column}}{first}".rstrip(), *(f"{'':{column}}{line}" for line in rest)]
    return lines
