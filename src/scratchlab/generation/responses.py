"""Answer entries with a trained model, and keep every answer as soon as it is there (chapter 7)."""

import json
import logging
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from scratchlab.data.instructions import Entry
from scratchlab.generation import sampling
from scratchlab.generation.sampling import SamplingConfig
from scratchlab.judging.overlap import overlap
from scratchlab.model.decoder import Decoder
from scratchlab.progress import progress
from scratchlab.runs.record import Record
from scratchlab.text.prompts import PromptConfig, extract, parts
from scratchlab.text.tokenizer import Tokenizer

log = logging.getLogger(__name__)

ANSWERS, RESPONSES = "responses.jsonl", "responses.json"
"""Tokens as they come, a line an entry; and the book's layout, when all are there."""
TOGETHER = 16
"""Entries answered together: bounds the memory of the key/value caches, and what a kill can cost."""


def respond(
    model: Decoder,
    prompt: PromptConfig,
    entries: Sequence[Entry],
    config: SamplingConfig,
    record: Record,
    *,
    seed: int,
    autocast: AbstractContextManager[Any],
) -> tuple[list[Entry], dict[str, Any]]:
    """Answer entries, and write the answers in the book's layout; gives them, and what can be said without a judge."""
    started = time.perf_counter()
    answers = answer(model, prompt, entries, config, record.folder / ANSWERS, seed=seed, autocast=autocast)
    seconds = time.perf_counter() - started
    answered = with_responses(model.tokenizer, prompt, entries, answers)
    record.write_text(RESPONSES, json.dumps(answered, indent=4, ensure_ascii=False) + "\n")
    metrics: dict[str, Any] = {"answers": len(answers), "first_answer_ids": answers[0], "answer_seconds": seconds}
    alike = overlap([entry["model_response"] for entry in answered], [entry["output"] for entry in answered])
    return answered, metrics | alike


def answer(
    model: Decoder,
    prompt: PromptConfig,
    entries: Sequence[Entry],
    config: SamplingConfig,
    path: Path,
    *,
    seed: int,
    autocast: AbstractContextManager[Any],
    what: str = "answering",
) -> list[list[int]]:
    """The tokens written after each entry's question; what `path` (JSON lines) already holds is not written again.

    Each group of `TOGETHER` entries is appended as a whole when it is done. Where tokens are drawn, each group starts
    from a seed of its own, so that a run that was stopped goes on as it would have.
    """
    tokenizer = model.tokenizer
    done = read(path)
    done = done[: len(done) // TOGETHER * TOGETHER if len(done) < len(entries) else len(entries)]
    path.write_text("".join(_line(tokenizer, index, ids) for index, ids in enumerate(done)), encoding="utf-8")
    if done:
        log.info("%d of %d answers are there already", len(done), len(entries))
    questions = [tokenizer.encode_parts(parts(prompt, entry)[0]) for entry in entries]
    starts = range(len(done), len(entries), TOGETHER)
    with path.open("a", encoding="utf-8") as file, autocast:
        for start in progress(starts, total=len(starts), what=what):
            if not config.deterministic:
                torch.manual_seed(seed + start)
            group = questions[start : start + TOGETHER]
            new = sampling.generate(model, group, config, end_token=tokenizer.end)
            file.write("".join(_line(tokenizer, start + offset, ids) for offset, ids in enumerate(new)))
            file.flush()
            done += new
    return done


def _line(tokenizer: Tokenizer, index: int, ids: list[int]) -> str:
    return json.dumps({"index": index, "ids": ids, "text": tokenizer.decode(ids)}, ensure_ascii=False) + "\n"


def read(path: Path) -> list[list[int]]:
    """The answers in `path`, in order, as far as they are whole: a kill may have cut the last line short."""
    done: list[list[int]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            found = json.loads(line)
        except json.JSONDecodeError:
            break
        if found["index"] != len(done):
            break
        done.append(found["ids"])
    return done


def with_responses(
    tokenizer: Tokenizer, prompt: PromptConfig, entries: Sequence[Entry], answers: Sequence[list[int]]
) -> list[Entry]:
    """The book's layout: each entry's keys and `model_response`."""
    return [
        entry | {"model_response": extract(prompt, tokenizer.decode(ids))}
        for entry, ids in zip(entries, answers, strict=True)
    ]
