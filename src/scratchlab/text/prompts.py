"""Prompt templates: from an entry to what the model reads and what it should say, and back (exercise 7.1).

A template is a file in conf/prompt; every file there is tested.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from string import Formatter

_FIELDS = {"question": ["instruction", "input"], "input": ["input"], "answer": ["output"]}


@dataclass(kw_only=True)
class PromptConfig:
    """A template in three strings; text outside the braces is the template's own, its markers."""

    question: str
    """What the model reads, around `{instruction}` and `{input}`."""
    input: str
    """What stands for `{input}` in the question where the entry has an input; nothing does where it has none."""
    answer: str
    """What the model should say, around `{output}`; where masking is on, its markers stay in the loss."""

    def __post_init__(self) -> None:
        for part in fields(self):
            template, expected = getattr(self, part.name), _FIELDS[part.name]
            try:
                found = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
            except ValueError as error:
                raise ValueError(f"prompt.{part.name}={template!r}: {error}; a brace as text is doubled") from None
            if found != expected:
                wanted = " and then ".join(f"{{{name}}}" for name in expected)
                raise ValueError(f"prompt.{part.name}={template!r}: has the fields {found}; must have {wanted}, once")


def templates() -> dict[str, PromptConfig]:
    """Every template in conf/prompt, by name."""
    from scratchlab.files import read_yaml, resource

    files = sorted((resource("conf") / "prompt").glob("*.yaml"))
    return {path.stem: PromptConfig(**read_yaml(path)) for path in files}


def render(prompt: PromptConfig, entry: Mapping[str, str]) -> tuple[str, str]:
    """Put an entry into a template: the question, and the answer that follows it without a gap.

    Source: chapter 7, where training text is the two together and a trained model is given the question.
    """
    question, answer = parts(prompt, entry)
    return "".join(text for text, _ in question), "".join(text for text, _ in answer)


Parts = list[tuple[str, bool]]
"""A text in parts, each with whether it is the template's own."""


def parts(prompt: PromptConfig, entry: Mapping[str, str]) -> tuple[Parts, Parts]:
    """As `render`, with the template's own text told from the entry's, in which a tokenizer sees no special tokens."""

    def filled(template: str, values: Mapping[str, Parts]) -> Parts:
        found: Parts = []
        for text, name, _, _ in Formatter().parse(template):
            found += [(text, True), *(values[name] if name else [])]
        return found

    about = filled(prompt.input, {"input": [(entry["input"], False)]}) if entry["input"] else []
    question = filled(prompt.question, {"instruction": [(entry["instruction"], False)], "input": about})
    return question, filled(prompt.answer, {"output": [(entry["output"], False)]})


def extract(prompt: PromptConfig, generated: str) -> str:
    """The response in what a model wrote after a question, without markers and outer whitespace.

    It starts after the answer's first marker, if that occurs (a model may first write on at the question), and ends
    before the next marker of any kind, where the model ends the turn or begins another. A marker also counts without
    its colon. The book's script deletes its one marker wherever it stands and keeps all the rest.
    """
    return _found(prompt, generated)[0]


def _found(prompt: PromptConfig, generated: str) -> tuple[str, bool]:
    """The response, and whether a marker has ended it."""
    opening = _markers(_before(prompt.answer))
    if opening and (start := re.search(_pattern(opening), generated)):
        generated = generated[start.end() :]
        while again := re.match(rf"\s*(?:{_pattern(opening)})", generated):
            generated = generated[again.end() :]
    response, *rest = re.split(_pattern(markers(prompt)), generated, maxsplit=1)
    return response.strip(), bool(rest)


def extract_while_written(prompt: PromptConfig, texts: Iterable[str]) -> Iterator[str]:
    """`extract` for text that comes piece by piece: its result in pieces, each as soon as it is sure.

    What could still turn out to be the start of a marker is held back. Ends with the response, even if text goes on.
    """
    opening, own = _markers(_before(prompt.answer)), markers(prompt)
    whole, shown = "", 0
    for text in texts:
        whole += text
        if opening and not re.search(_pattern(opening), whole):
            continue
        found, ended = _found(prompt, whole)
        open_ = max((n for m in own for n in range(1, len(m)) if found.endswith(m[:n])), default=0)
        sure = len(found[: len(found) - open_].rstrip())
        if sure > shown:
            yield found[shown:sure]
            shown = sure
        if ended and found:
            break
    yield extract(prompt, whole)[shown:]


def markers(prompt: PromptConfig) -> list[str]:
    """The lines that are a template's own, such as `### Response:`."""
    pieces = [text for template in (prompt.question, prompt.input, prompt.answer) for text in _own_text(template)]
    return [line for piece in pieces for line in _markers(piece)]


def _own_text(template: str) -> list[str]:
    return [text for text, _, _, _ in Formatter().parse(template)]


def _before(template: str) -> str:
    return _own_text(template)[0]


def _markers(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _pattern(marker_lines: list[str]) -> str:
    """A regular expression for any of the markers, the longest first."""
    without_colon = sorted({line.rstrip(":") for line in marker_lines}, key=len, reverse=True)
    return "|".join(f"{re.escape(line)}:?" for line in without_colon) or r"(?!)"
