"""What of a judge's answer is its own words: no thinking aloud, no quotation, no response that it repeats."""

import re
from collections.abc import Iterator

QUOTED = "\ufffc"
"""Stands where something was quoted, so that a label before it is not an empty one."""

_SAME = str.maketrans("\r：∕⁄／％", "\n:///%", "\u200b\ufeff")
_SCORE = r"(?:scores?|rating|grade|evaluation|assessment|verdict|judge?ment|evaluat(?:e|ing)|rat(?:e|ing)|scoring)"
_MATTER = (
    r"(?:responses?|outputs?|answers?|reply|replies|completion|input|instruction|question|prompt|task|reference|expected"
    r"|target|text|passage|sentence|quote|quotation|example|solution|results?|said|says|reads|wrote|responded|answered)"
)
_TAGS = rf"(?:\w+_)?(?:{_MATTER}|code|pre|q|blockquote)"
_THINK = r"(?:think|thinking|thought|reasoning|reflection)"
_THOUGHT = [
    re.compile(rf"[<\[]({_THINK})[>\]].*?[<\[]/\1[>\]]", re.DOTALL | re.IGNORECASE),
    re.compile(rf"\A.*[<\[]/{_THINK}[>\]]", re.DOTALL | re.IGNORECASE),  # some chat templates open it in the prompt
    re.compile(rf"[<\[]{_THINK}[>\]].*", re.DOTALL | re.IGNORECASE),
]
_FENCED = re.compile(r"^[ \t]*(```+|~~~+)[^\n]*\n.*?(?:^[ \t]*\1[`~]*[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_QUOTES = [
    re.compile(rf"<({_TAGS})\b[^>]*>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE),
    re.compile(r"^[ \t]*>.*$", re.MULTILINE),
    re.compile(r"```.*?(?:```|\Z)|``.*?(?:``|\Z)|`[^`]*(?:`|\Z)", re.DOTALL),
    re.compile(r"[“”„«「『][^“”»」』]*(?:[“”»」』]|\Z)"),
    re.compile(r"(?<![\w'])\"[^\"]*(?:\"|\Z)"),
    re.compile(r"(?<![\w'\"])'(?=\S)(?:[^']|(?<=\w)'(?=\w))*'(?!\w)|‘[^‘]*?’(?!\w)"),
]
_WRAPPED = re.compile(
    r"\s*(?:```+\w*\n(?P<fence>(?:(?!```).)*)\n[ \t]*```+|(?P<mark>[\"'`])(?P<inner>[^\"'`]*)(?P=mark)"
    r"|“(?P<curly>[^“”]*)”)\s*",
    re.DOTALL,
)
_KEY = re.compile(r"([\"'])([A-Za-z][\w ]{0,40})\1(?=\s*:)")
_SCORE_QUOTED = re.compile(
    r"((?:score|rating|grade)[\s*_]*(?::|=|\bis\b|\bof\b)[\s*_]*)([\"'`])([\d.\s]+(?:/\s*\d+)?)\2", re.IGNORECASE
)
_BOXED = re.compile(
    r"\\boxed\s*\{\s*([^{}]*)\}|\$\$?\s*(\d[\d./\s]*?)\s*\$\$?(?!\d)|\\[(\[]\s*(\d[\d./\s]*?)\s*\\[)\]]"
)
_UNDERLINED = re.compile(r"(?<![^\W_])(_{1,3})([^_\n]+)\1(?![^\W_])")
_MATH = re.compile(r"\$\$?(?=[^\w\n]*\\boxed)|\\[(\[](?=\s*\\boxed)|(?<=\})\s*(?:\$\$?|\\[)\]])")

_LABEL = re.compile(r"^[^\w\n]*(?:\d+[.)][^\w\n]*)?(?P<label>[^\W\d_][^:\n]{0,200}?)[*\"'`\s]*:\**(?!//)(?P<rest>.*)$")
_TITLE = re.compile(r"^\s*(?:#+\s+(?P<heading>[^#]*)#*|\*+(?P<bold>[^*]+)\*+\s*)$")
_ENDS_IN_SCORE = re.compile(rf"\b{_SCORE}\b\W*(?:\([^()]*\)\W*)?$", re.IGNORECASE)
_I_SCORE = re.compile(r"\b(?:I|would|will)\b.*\b(?:score|rate|grade|evaluate)\b", re.IGNORECASE)
_ENDS_IN_MATTER = re.compile(
    rf"\b{_MATTER}\b\W*(?:(?:is|was|were|are|given|with|[a-z]|\d+)\b\W*)*(?:\([^()]*\)\W*)?$", re.IGNORECASE
)
_FIRST = re.compile(rf"\b(?:(?P<score>{_SCORE})|(?P<matter>{_MATTER}))\b", re.IGNORECASE)
_SCORE_LINE = re.compile(
    r"(^[^\w\n]*(?:[\w'’]+ ){0,5}(?:score|rating|grade)[* \t|]*:?[* \t]*)\n\s*(?=[*(]*\d)(?!\d+[.)][ \t]*\S)",
    re.IGNORECASE | re.MULTILINE,
)


def own_words(answer: str) -> str | None:
    """The answer with QUOTED for every quotation; None if a quotation mark is left that belongs to no other.

    What is quoted: code, block quotes, tags like `<response>`, and anything in quotation marks; not what wraps the
    whole answer, nor the names of JSON, nor a lone number that is called a score. What a reasoning model puts between
    `<think>` and `</think>` is not its answer.
    """
    text = answer.replace("\r\n", "\n").translate(_SAME)
    for thought in _THOUGHT:
        text = thought.sub(" ", text)
    if wrapped := _WRAPPED.fullmatch(text):
        text = next(value for name, value in wrapped.groupdict().items() if name != "mark" and value is not None)
    text = _FENCED.sub(QUOTED, text)
    text = _BOXED.sub(lambda found: next(value for value in found.groups() if value is not None), _MATH.sub("", text))
    text = _UNDERLINED.sub(r"*\2*", text)
    text = _KEY.sub(lambda found: found[2].replace("_", " "), text)
    text = _SCORE_QUOTED.sub(r"\1\3", text)
    for quote in _QUOTES:
        text = quote.sub(QUOTED, text)
    return None if re.search('["“”»」』]', text) else _SCORE_LINE.sub(r"\1 ", text)


def lines(text: str) -> Iterator[tuple[str, bool]]:
    """Lines that are the judge's, and whether what stands above says that they are something else than a score.

    After `Model response:` or a heading like it nothing is the judge's until a line that is labelled as a score, or the
    end of the quotation where it stands in marks; the line right after it never is.
    """
    repeated = announced = first = False
    for line in text.split("\n"):
        if not line.strip():
            continue
        label, rest = _labelled(line)
        topic = _topic(label) if label else ""
        if first or topic == "matter":
            first = topic == "matter" and not rest
            said = rest if topic == "matter" else line
            repeated = said.strip(" \t*.") != QUOTED
            continue
        if topic == "score":
            repeated = announced = False
        elif label and not rest:
            announced = True
        if not repeated:
            yield line, announced


def _labelled(line: str) -> tuple[str, str]:
    """What a line is called, and what it then says: `Score: 85` is called `Score`; headings say nothing more."""
    if found := _LABEL.match(line):
        return found["label"], found["rest"].strip(" \t*")
    if found := _TITLE.match(line):
        title = found["heading"] or found["bold"] or ""
        return (title, "") if re.search(r"[^\W\d_]", title) else ("", line)
    return "", line


def _topic(label: str) -> str:
    if _ENDS_IN_SCORE.search(label) or _I_SCORE.search(label):
        return "score"
    first = _FIRST.search(label)
    if first and first["score"]:
        return "score"
    return "matter" if _ENDS_IN_MATTER.search(label) else ""
