"""Compose thousands of jobs at once: what they have in common is composed once, and values are put into it."""

import dataclasses
from collections.abc import Sequence

from omegaconf import OmegaConf

from scratchlab.launch import compose, jobs, quick
from scratchlab.launch.jobs import Job
from scratchlab.launch.quick import NotQuickly
from scratchlab.runs import record

Words = tuple[str, ...]


def compose_all(splits: Sequence[Words], first: Words = ()) -> list[Job | Exception]:
    """A job, or what is wrong with it, for the overrides of each; `first` stands before those when they are composed.

    The same as `jobs.job` gives for each of them.
    """
    bases: dict[Words, tuple[str, quick.Values] | None] = {}
    """By the words that choose options, what `_said` gives."""
    found: list[Job | Exception] = []
    known: dict[tuple[Words, str], Exception] = {}
    """What Hydra said of a word that has no place in what it composed from others."""
    values_are = {word: quick.sets_value(word) for word in {word for words in splits for word in words}}
    with jobs.at_hand():
        for words in splits:
            base = tuple(word for word in words if not values_are[word])
            if base not in bases:
                bases[base] = _said((*first, *base))
            try:
                found.append(_job(words, bases[base], [word for word in words if values_are[word]]))
                continue
            except NotQuickly as slow:
                place = (base, slow.word)
            except ValueError as error:
                if type(error) is ValueError:
                    found.append(error)
                    continue
                place = (base, " ".join(words))
            if place not in known:
                try:
                    found.append(dataclasses.replace(jobs.job((*first, *words)), overrides=words))
                    continue
                except Exception as error:
                    known[place] = error
            found.append(known[place])
    return found


def _job(words: Words, base: tuple[str, quick.Values] | None, values: Sequence[str]) -> Job:
    """A job with these values; raises what `quick.Typed.run` does."""
    if base is None:
        raise NotQuickly
    task, values_of_base = base
    if not task:
        raise NotQuickly(" ".join(words))
    config = quick.of_task(task).run(values_of_base, values)
    return Job(words, config, record.folder_of(config), jobs.choices(words, type(config)))


def _said(words: Words) -> tuple[str, quick.Values] | None:
    """The task, and what the options say that words choose; by Hydra where it has to be asked.

    No task where what they say depends on values of the job; None where they cannot be composed, whatever these are.
    """
    try:
        return _typed(*quick.of_options(words))
    except Exception:  # also what is wrong, which Hydra says best
        pass
    try:
        composed = compose.untyped(list(words))
    except Exception:
        return None
    try:
        said = quick.spread(OmegaConf.to_container(compose.own(composed), resolve=False))
        return _typed(compose.choices_of(composed)["task"], {k: v for k, v in said.items() if v != quick.MISSING})
    except NotQuickly:
        return "", {}


def _typed(task: str, said: quick.Values) -> tuple[str, quick.Values]:
    return task, quick.of_task(task).values(said)
