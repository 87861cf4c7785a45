"""Read a score from a judge's answer: every number with its context, and a score only if all that may be one agree."""

import re
from collections.abc import Iterator
from enum import Enum, auto

from scratchlab.judging.own_words import lines, own_words
from scratchlab.judging.scale import names_another, without_own

PARSER = 3
"""Version of `parse`; part of the card, because another reading of the same answers gives another score."""

# decimals, times and thousands stay together, so that they are refused whole; no part of a word (`3rd`, `v2`)
_NUMBER = re.compile(r"(?<![\w.,])(?P<sign>[-−–+])?(?P<digits>(?>\d+(?:[.,:'’]\d+)*))(?!\w)")
_IN_WORDS = re.compile(
    r"\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|hundred"
    r"|(?:thir|four|fif|six|seven|eigh|nine)teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty)\b(?!\s+of\b)",
    re.IGNORECASE,
)
_OF_100 = re.compile(
    r"[*]*(?:\s+points?\b)?\s*\(?(?:/|\bout\s+of\b(?:\s+(?:a|the))?(?:\s+(?:possible|maximum|total))?(?:\s+of)?)\s*100\b"
    r"(?![.,]?\d|\s*[/%])\)?(?:\s+points?\b)?",
    re.IGNORECASE,
)
_POINTS = re.compile(r"[*]*\s*(?:%|percent\b|(?:points?|marks)\b)(?!\s+(?:for|off|less)\b)", re.IGNORECASE)

_LINKS = (
    r"(?:[\s*\"'`()\[\]{}|>:=]|->|→|[-–—]\s|\b(?-i:an?)\b"
    r"|\b(?:is|of|be|would|should|will|therefore|thus|at|to|about|around|approximately|roughly)\b)*"
)
_CALLED = re.compile(
    r"(?P<start>^\W*(?:\d+[.)]\W*)?)?(?:(?P<before>[\w'’-]+)[\s*]+)?\b(?:score|rating|grade)\b"
    r"(?:\s+(?:for|of|to)\s+(?:the|this)\s+(?:[\w'’]+\s+)?(?:response|answer|output))?(?:\s*\([^()\d]*\))?"
    rf"(?P<links>{_LINKS})$",
    re.IGNORECASE,
)
_LINKED = re.compile(r"[:=|>→–—-]|\b(?:is|of|be|at)\b", re.IGNORECASE)
_GIVEN = re.compile(
    r"(?:(?:\b(?:(?:if|when|unless|suppose)\s+)?(?:I|we)\b|^\W*(?:would|will)\b)[^.!?;\d]*"
    r"\b(?:score|rate|grade|give|assign|award)|\b(?:deserves|merits|warrants))\b[^.!?;,\d]*$",
    re.IGNORECASE,
)
_NOT_GIVEN = re.compile(
    r"n['’]t\b|\b(?:not|never|cannot|if|when|unless|suppose|least|most|than|above|below|under|over|between|up\s+to)\b"
    r"|\bgive\s+(?:you|him|her|them|me|us|each|my|(?:the|an)\s+(?:answer|result))\b",
    re.IGNORECASE,
)
_NOT_THIS = re.compile(
    r"(?:n['’]t|\b(?:not|never|no))\b[^.!?;]*$"
    r"|^(?!.*\b(?:response|answer|output|it|this)\b)"
    r".*\b(?:got|gets?|had|has|have|receive[ds]?|earn(?:s|ed)|achieved|obtained|won|reached|with)\b(?:\s+(?:an?|the))?\s*$",
    re.IGNORECASE,
)
_OTHERWISE = re.compile(
    r"\b(?:correction|corrected|revised|updated|actually|rather|no|make\s+(?:it|that))\b[\s*:,]*(?:to\s+)?$",
    re.IGNORECASE,
)
_TOLD_OF_100 = re.compile(
    r"(?:^|[.!?;:—–(]|\b(?:deserves|gets|earns|receives|scores|merits|overall|total|so|therefore|thus|hence))[\s*]*(?:an?\s+)?$",
    re.IGNORECASE,
)
_PLAIN = frozenset(
    "the a an my this that its your final overall total single numeric numerical integer assigned following fair "
    "reasonable appropriate high low good solid strong moderate response response's model model's answer output "
    "give assign award deserves merits warrants with of to and so is as".split()
)
"""Words before `score` that leave it this response's; `average score` may be about the matter, or about a part."""
_BEST = frozenset("maximum max perfect full best highest possible top".split())
_WHOLE = re.compile(
    r"\W*(?:[\w'’]+\s+){0,4}(?:score|rating|grade|overall|total|final|verdict|evaluation|assessment)\W*", re.IGNORECASE
)

_MARKS_BEFORE = re.compile(r"\s*(?:#+\s)?[\s*(\[{|:]*")
_MARKS_AFTER = re.compile(r"(?:[\s*]*(?:/|\(?out\s+of)\s*\d+)?[\s*)\]}|.!]*", re.IGNORECASE)
_LIST_MARK = re.compile(r"[\s*#]*\d+[.)][\s*]*")
_BULLET = re.compile(r"\s*\*\s")
_NO_SCORE_OF_100 = re.compile(
    r"[\s*)]*(?:(?:[-–—~±,:|(\[/→>]|\b(?:to|and|or)\b)[\s*(]*)+[-−+]?\d|\s+\d|[\s*]*[/\\+=×^°$€£¥±~‰]|['’]\w|[\s*]*<(?!/)"
    r"|[-–—]\w|[\s*]*\(?\s*(?:out\s+of|of)\b|[\s*-]*(?:stars?\b|[★☆⭐])",
    re.IGNORECASE,
)
_NEXT_WORD = re.compile(
    r"[\s*]*(?!(?:to|for)\s+(?:it|(?:the|this|that)\s+(?:\S+\s+)?(?:response|answer|output))\b)([^\W\d_]+)",
    re.IGNORECASE,
)
_GOES_ON = frozenset(
    "because since as but due based given which the this it i with overall here there my while although though now "
    "then instead after explanation reason reasoning justification".split()
)


class _Role(Enum):
    score = auto()
    perhaps = auto()
    """A score of something: of a part (`accuracy score`), or in the matter (`average score`). It can contradict."""
    best = auto()
    """The best score there is; names the scale."""
    none = auto()


def parse(answer: str) -> int | None:
    """Read a score, a whole number from 0 to 100, from a judge's answer; None if it is not clear which.

    What may be a score: a number on a line of its own, one that is called a score, one that the judge says to give, and
    one over 100. All of them must agree. `85`, `**85**`, `85/100`, `85.0`, `I give it an 85`, `{"score": 85}` and
    `Score: 85. It names 2 of 3.` are 85. Any other number may be about the matter: `3 kilometers` is nothing, like the
    number of a list, and like what is quoted (`own_words`). A score of another kind (`80 to 90`, `85.5`, `-5`, `8/10`,
    `3 stars`, `eighty`, `850`) or another scale makes the whole answer unclear.
    """
    text = own_words(answer)
    if text is None:
        return None
    text = without_own(text)
    if names_another(text):
        return None
    only = sum(bool(line.strip()) for line in text.split("\n")) == 1
    found = [one for line, titled in lines(text) for one in _candidates(line, titled=titled, only=only)]
    values = {value for value, _ in found}
    return values.pop() if len(values) == 1 and any(role is _Role.score for _, role in found) else None


def _candidates(line: str, *, titled: bool, only: bool) -> Iterator[tuple[int | None, _Role]]:
    """What in a line may be the score; None for a score that is no whole number from 0 to 100.

    `titled`: what stands above says that the line is something else than a score; `only`: it is the whole answer.
    """
    for match in _NUMBER.finditer(line):
        before, after = line[: match.start()], line[match.end() :]
        of_100 = _OF_100.match(after)
        if unit := of_100 or _POINTS.match(after):
            after = after[unit.end() :]
        role = _role(before, bool(of_100))
        if _alone(line, before, after, only):
            role = _Role.none if titled and role is _Role.none else _Role.score
        elif _counts(after):
            continue
        value = None if _NO_SCORE_OF_100.match(after) else _value(match)
        if role is _Role.best:
            role, value = (_Role.none, value) if value == 100 else (_Role.perhaps, None)
        if role is not _Role.none:
            yield value, role
    for match in _IN_WORDS.finditer(line):
        if _called(line[: match.start()]):
            yield None, _Role.perhaps


def _role(before: str, of_100: bool) -> _Role:
    """What a number is by the words before it."""
    called = _called(before)
    given = _GIVEN.search(_near(before))
    if given and _NOT_GIVEN.search(given[0]):
        return _Role.none
    if called:
        kind = (called["before"] or "the").lower()
        if kind in _BEST:
            return _Role.score if given else _Role.best
        of_this = kind in _PLAIN and not _NOT_THIS.search(called.string[: called.start()])
        return _Role.score if of_this else _Role.perhaps
    if given:
        return _Role.score
    if of_100 and not re.search(r"[=+×<>/-]\s*$", before):
        label = before.rpartition(":")[0]
        told = _TOLD_OF_100.search(_near(before)) and (not label or _WHOLE.fullmatch(label))
        return _Role.score if told else _Role.perhaps
    return _Role.perhaps if _OTHERWISE.search(_near(before)) else _Role.none


def _near(before: str) -> str:
    """The last words of a long line; the mark before them keeps them from being taken for its beginning."""
    return before if len(before) <= 200 else "x" + before[-200:]


def _called(before: str) -> re.Match[str] | None:
    found = _CALLED.search(_near(before))
    return found if found and (found["start"] is not None or _LINKED.search(found["links"])) else None


def _alone(line: str, before: str, after: str, only: bool) -> bool:
    """Whether nothing but marks stands beside a number; `1.` and `1)` may begin a list, and a bullet may be a minus."""
    if _BULLET.match(line) or _LIST_MARK.fullmatch(line) and (not only or ")" in line):
        return False
    return bool(_MARKS_BEFORE.fullmatch(before) and _MARKS_AFTER.fullmatch(after))


def _counts(after: str) -> bool:
    """Whether the number counts what follows: `3 kilometers`; `85 because` goes on with a reason."""
    word = _NEXT_WORD.match(after)
    return bool(word and word[1].lower() not in _GOES_ON and not _NO_SCORE_OF_100.match(after))


def _value(match: re.Match[str]) -> int | None:
    whole = re.fullmatch(r"(0|[1-9][0-9]{0,2})(?:\.0+)?", match["digits"])
    return int(whole[1]) if whole and not match["sign"] and int(whole[1]) <= 100 else None
