"""The scale in a judge's answer: 0 to 100, which it may repeat, or another, on which its numbers are no scores here."""

import re

_OWN = re.compile(
    r"(?:\b(?:on|using|with)\s+(?:a|the)\s+)?(?:\bscale\s+)?(?:\(\s*)?(?:\b(?:from|of|between)\s+)?"
    r"(?<![\w.,/-])[01]\s*(?:[-–—]|\bto\b|\band\b)\s*100\b(?![.,]?\d)%?(?:\s+(?:point\s+)?scale\b)?(?:\s*\))?,?"
    r"|\b(?:on\s+(?:a|the)\s+)?(?:100[-\s]point\s+scale|scale\s+of\s+100)\b,?",
    re.IGNORECASE,
)
_OWN_IN_LABEL = re.compile(
    r"\b(score|rating|grade)([\s*]*)\(?\s*(?:out\s+of|/)\s*100\b(?![.,]?\d)\s*\)?", re.IGNORECASE
)
_SIZE = r"(?!100\b)(?:\d+|zero|one|two|three|four|five|six|seven|eight|nine|ten|twenty)\b"
_ANOTHER = re.compile(
    rf"\bscale(?:\s+|[:(]|\b(?:of|from|is|was|between|ranges?|ranging)\b)+{_SIZE}"
    rf"|\b{_SIZE}[-\s](?:points?|stars?)[-\s](?:scale|system|rating)"
    rf"|\b(?:scor|rat|grad)(?:es?|ed|ings?)\b[^.:\n\d]{{0,20}}?\(?\b(?:[01]|zero|one)\s*(?:[-–—]|\.\.|to\b|and\b)\s*{_SIZE}"
    rf"|\bout\s+of\s+{_SIZE}\s+stars\b|(?:^|[.;:(\[])\s*out\s+of\s+{_SIZE}"
    rf"|\b{_SIZE}\s+(?:is|being)\s+(?:the\s+)?(?:best|highest|perfect|maximum|top)\b|[★☆⭐]",
    re.IGNORECASE | re.MULTILINE,
)


def without_own(text: str) -> str:
    """Take out where 0 to 100 is only named: `On a scale from 0 to 100: 85` says `85`, `Score (out of 100): 85` too."""
    return _OWN_IN_LABEL.sub(r"\1\2", _OWN.sub(" ", text))


def names_another(text: str) -> bool:
    """Whether a scale is named that does not end in 100: `on a scale of 1 to 10`, `5-star rating`, `out of 5 stars`."""
    return bool(_ANOTHER.search(text))
