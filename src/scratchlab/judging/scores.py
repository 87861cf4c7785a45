"""Let a language model score responses from 0 to 100: asks, keeps every answer, and says what it could not read."""

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from scratchlab.assets.fetch import cache_folder
from scratchlab.judging.config import JudgeBackend, JudgeConfig
from scratchlab.judging.parser import PARSER, parse
from scratchlab.judging.servers import Server, TemporaryFailure, connect
from scratchlab.progress import progress
from scratchlab.runs.record import Record
from scratchlab.text.prompts import render

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scores:
    """What a judge said of each response, in their order."""

    card: dict[str, Any]
    """Who judged, and how it was asked and read: scores with different cards are not one scale."""
    answers: list[str | None]
    """As they came; None for an empty response, which scores 0 without being shown to the judge."""
    scores: list[int | None]
    """None where the answer could not be read."""

    @property
    def metrics(self) -> dict[str, Any]:
        """The mean is over what could be read, None where nothing could; how much could not stands beside it."""
        read = [score for score in self.scores if score is not None]
        return {
            "judge_score": sum(read) / len(read) if read else None,
            "judge_scored": len(read),
            "judge_unparsed": len(self.scores) - len(read),
            "judge_empty": sum(answer is None for answer in self.answers),
            "judge": self.card,
        }

    def items(self) -> list[dict[str, Any]]:
        both = zip(self.answers, self.scores, strict=True)
        return [{"index": index, "answer": answer, "score": score} for index, (answer, score) in enumerate(both)]


def check(config: JudgeConfig) -> None:
    """Find out now whether the judge can be asked.

    Raises:
        RuntimeError: the server does not run, or does not have the model.
    """
    if config.backend is not JudgeBackend.none:
        _retrying(config, connect)(config)


def score(config: JudgeConfig, entries: Sequence[Mapping[str, str]], *, key: str, repeat: int = 0) -> Scores:
    """Score `entry[key]` of every entry; a question that was answered before, in whatever run, is not asked again.

    `repeat` numbers independent rounds of the same questions.

    Raises:
        RuntimeError: the server failed for good; the answers it had given are kept.
    """
    server = _retrying(config, connect)(config)
    card = card_of(config, server)
    cache = Answers(cache_folder() / "judge" / f"{_hash(server.identity)}.jsonl")
    questions = [question(config, entry, entry[key]) if entry[key].strip() else None for entry in entries]
    keys = [None if text is None else _hash([text, repeat]) for text in questions]
    missing = {k: text for k, text in zip(keys, questions, strict=True) if k and text and k not in cache.known}
    if missing:
        log.info(
            "asking %s %d questions (%d are answered)",
            *(server.identity["model"], len(missing), sum(k in cache.known for k in keys)),
        )
        _retrying(config, server.load)()
        _ask_all(config, server, missing, cache)
    answers = [None if k is None else cache.known[k] for k in keys]
    scores = [0 if answer is None else parse(answer) for answer in answers]
    unread = [answer for answer, value in zip(answers, scores, strict=True) if value is None]
    if unread:
        log.warning(
            "%d of %d answers hold no score that is clear and are left out of the mean; the first: %.80r",
            *(len(unread), len(answers), unread[0]),
        )
    return Scores(card, answers, scores)


def score_and_keep(
    config: JudgeConfig, record: Record, entries: Sequence[Mapping[str, str]], key: str = "model_response"
) -> dict[str, Any]:
    """Score, and write scores.json with the judge's card and every answer; gives the metrics."""
    found = score(config, entries, key=key)
    content = {"judge": found.card, "items": found.items()}
    record.write_text("scores.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return found.metrics


def question(config: JudgeConfig, entry: Mapping[str, str], response: str) -> str:
    """What the judge is asked about one response."""
    shown, _ = render(config.question, entry)
    return config.prompt.format(question=shown, output=entry["output"], response=response)


def card_of(config: JudgeConfig, server: Server) -> dict[str, Any]:
    asked = [config.prompt, config.question.question, config.question.input]
    return server.identity | {"prompt": _hash(asked)[:12], "parser": PARSER}


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _ask_all(config: JudgeConfig, server: Server, missing: dict[str, str], cache: "Answers") -> None:
    kept = f"the answers so far are kept in {cache.path}, and the same command goes on from there"
    ask = _retrying(config, server.ask, kept)
    pool = ThreadPoolExecutor(config.concurrency)
    try:
        waiting = {pool.submit(ask, text): key for key, text in missing.items()}
        for future in progress(as_completed(waiting), total=len(waiting), what=f"asking {server.identity['model']}"):
            cache.keep(waiting[future], future.result())
    finally:
        pool.shutdown(cancel_futures=True)
        for future, key in waiting.items():  # those that were under way when another failed
            if future.done() and not future.cancelled() and future.exception() is None and key not in cache.known:
                cache.keep(key, future.result())


P = ParamSpec("P")
T = TypeVar("T")


def _retrying(config: JudgeConfig, reach: Callable[P, T], hint: str = "") -> Callable[P, T]:
    """Try again after each temporary failure, ever later; the last one becomes a RuntimeError that ends with `hint`."""
    from tenacity import before_sleep_log, retry, retry_if_exception_type, stop_after_attempt, wait_exponential

    again = retry(
        retry=retry_if_exception_type(TemporaryFailure),
        stop=stop_after_attempt(config.retries + 1),
        wait=wait_exponential(multiplier=config.wait, max=60),
        before_sleep=before_sleep_log(log, logging.WARNING),
        reraise=True,
    )(reach)

    def tried(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return again(*args, **kwargs)
        except TemporaryFailure as error:
            raise RuntimeError(
                f"judge={config.backend.name} at {config.url} failed {config.retries + 1} times: {error!r:.300}"
                + (f"; {hint}" if hint else "")
            ) from error

    return tried


class Answers:
    """A judge's answers on disk, one JSON line each, by the hash of the question; a cut line is no answer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, str] = {}
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        for line in text.splitlines():
            try:
                found = json.loads(line)
            except json.JSONDecodeError:
                continue
            self.known[found["question"]] = found["answer"]
        if text and not text.endswith("\n"):
            self._append("\n")

    def keep(self, key: str, answer: str) -> None:
        with self._lock:
            self.known[key] = answer
            self._append(json.dumps({"question": key, "answer": answer}) + "\n")

    def _append(self, text: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:  # one write of one line: other processes may append too
            file.write(text)
