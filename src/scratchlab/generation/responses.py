"""Answer entries with a trained model, and keep every answer as soon as it is there (chapter 7)."""

import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from scratchlab import processes
from scratchlab.data.instructions import Entry
from scratchlab.generation import sampling
from scratchlab.generation.sampling import SamplingConfig
from scratchlab.judging.overlap import overlap
from scratchlab.model.decoder import Decoder
from scratchlab.model.sharded import whole
from scratchlab.progress import progress
from scratchlab.runs.record import Record, write_atomically
from scratchlab.text.prompts import PromptConfig, extract, parts
from scratchlab.text.tokenizer import Tokenizer

log = logging.getLogger(__name__)

ANSWERS, RESPONSES = "responses.jsonl", "responses.json"
"""Tokens as they come, a line an entry; and the book's layout, when all are there."""
TOGETHER = 16
"""Entries answered together where tokens are drawn, which hang on it; else at least so many."""
_MOST_TOGETHER, _CACHE_BYTES = 64, 2 << 30
"""Where nothing is drawn: as many as the key/value caches of texts of full length have room for, and at most 64."""


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
    """Answer entries, and write the answers in the book's layout; gives them, and what can be said without a judge.

    Of several processes the first goes on alone from here; those that hold parts of the model help with the answers.
    """
    started = time.perf_counter()
    if not model.sharded:
        processes.leave_the_rest_to_the_first()
    with whole(model):
        answers = answer(model, prompt, entries, config, record.folder / ANSWERS, seed=seed, autocast=autocast)
    processes.leave_the_rest_to_the_first()
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

    Where nothing is drawn, every answer is appended when it is complete, and a next entry takes its place. Where tokens
    are drawn, each group of `TOGETHER` entries is complete as a whole, and starts from a seed of its own, so that a run
    that was stopped goes on as it would have.
    """
    tokenizer, total = model.tokenizer, len(entries)
    done = processes.agree(read(path))
    if not config.deterministic:
        groups = [range(start, min(start + TOGETHER, total)) for start in range(0, total, TOGETHER)]
        done = {index: done[index] for group in groups if all(i in done for i in group) for index in group}
    if done:
        log.info("%d of %d answers are there already", len(done), total)
    _write_all(path, tokenizer, done)
    questions = [tokenizer.encode_parts(parts(prompt, entry)[0]) for entry in entries]
    missing = [index for index in range(total) if index not in done]
    with path.open("a", encoding="utf-8") as file, autocast:
        written = _answers(model, questions, missing, config, seed)
        for index, ids in progress(written, total=total, done=len(done), what=what):
            file.write(_line(tokenizer, index, ids))
            file.flush()
            done[index] = ids
    _write_all(path, tokenizer, done)  # in their order
    return [done[index] for index in range(total)]


def _answers(
    model: Decoder, questions: list[list[int]], missing: list[int], config: SamplingConfig, seed: int
) -> Iterator[tuple[int, list[int]]]:
    """The index of each missing answer, and its tokens."""
    end = model.tokenizer.end
    if config.deterministic:
        wanted = [questions[index] for index in missing]
        together = _together(model, max(map(len, wanted), default=0) + config.max_new_tokens)
        for place, ids in sampling.texts(model, wanted, config, end_token=end, together=together):
            yield missing[place], ids
        return
    for start in missing[::TOGETHER]:  # whole groups
        torch.manual_seed(seed + start)
        new = sampling.generate(model, questions[start : start + TOGETHER], config, end_token=end)
        yield from enumerate(new, start)


def _together(model: Decoder, tokens: int) -> int:
    """How many texts of so many tokens the caches have room for."""
    caches = model.new_cache(1, 1, like=model.tok_emb.weight)
    of_a_token = sum(2 * cache.keys.numel() * cache.keys.element_size() for cache in caches)
    return min(_MOST_TOGETHER, max(TOGETHER, _CACHE_BYTES // (of_a_token * max(tokens, 1))))


def _write_all(path: Path, tokenizer: Tokenizer, done: dict[int, list[int]]) -> None:
    write_atomically(path, "".join(_line(tokenizer, index, ids) for index, ids in sorted(done.items())))


def _line(tokenizer: Tokenizer, index: int, ids: list[int]) -> str:
    return json.dumps({"index": index, "ids": ids, "text": tokenizer.decode(ids)}, ensure_ascii=False) + "\n"


def read(path: Path) -> dict[int, list[int]]:
    """The answers in `path` by entry, as far as they are whole: a kill may have cut the last line short."""
    done: dict[int, list[int]] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            found = json.loads(line)
        except json.JSONDecodeError:
            break
        done[found["index"]] = found["ids"]
    return done


def with_responses(
    tokenizer: Tokenizer, prompt: PromptConfig, entries: Sequence[Entry], answers: Sequence[list[int]]
) -> list[Entry]:
    """The book's layout: each entry's keys and `model_response`."""
    return [
        entry | {"model_response": extract(prompt, tokenizer.decode(ids))}
        for entry, ids in zip(entries, answers, strict=True)
    ]
