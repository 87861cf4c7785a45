"""Hold what was printed against itself: sentences against cells, tables against logs, commands against their script."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scratchlab.book import commands
from scratchlab.book.claims import Stated
from scratchlab.book.printed import IN_LOG, Printed, Sentence, Slip, Table
from scratchlab.runs.claim import ClaimKind, Direction
from scratchlab.runs.metrics import Unit, metric

WORDS = {word: n for n, word in enumerate("one two three four five six seven eight nine ten".split(), 1)} | {"twice": 2}
HEDGES = ("~", "about", "approximately", "almost", "nearly", "roughly", "around")
HEDGED = 0.2
"""What a hedge allows, relative to the number it stands before."""
AMOUNT = re.compile(
    rf"(?:(?P<hedge>{'|'.join(HEDGES)})\s*)?\b(?:(?P<number>\d[\d,]*(?:\.\d+)?|{'|'.join(WORDS)})\s*"
    r"(?P<unit>% ?points?|%|percent|points?|x|times)(?!\w)|(?P<twice>twice)\b)"
)
NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Amount:
    """A number in a sentence, with how exactly it was said."""

    value: float
    unit: str
    """points (also for %), or times."""
    slack: float
    """Half a unit of the last digit that was written; more after a hedge."""
    words: str


def amounts(quote: str) -> list[Amount]:
    """Every amount in a sentence, in its order."""
    found = []
    for match in AMOUNT.finditer(quote):
        number = match["twice"] or match["number"]
        value = float(WORDS[number] if number in WORDS else number.replace(",", ""))
        slack = _half_a_digit(number)
        if match["hedge"]:
            slack = max(slack, HEDGED * value)
        times = match["twice"] or match["unit"] in ("x", "times")
        found.append(Amount(value, "times" if times else "points", slack, match[0]))
    return found


def _half_a_digit(number: str, *, round_numbers: bool = True) -> float:
    """Half a unit of the last digit; in a round number of an amount that is the last one that is not zero."""
    if "." in number:
        return 0.5 * 10.0 ** -len(number.partition(".")[2])
    digits = number.replace(",", "") if round_numbers else ""
    zeros = len(digits) - len(digits.rstrip("0"))
    return 0.5 * 10.0**zeros if digits.isdigit() and zeros < len(digits) else 0.5


def check(printed: Printed, stated: Sequence[Stated]) -> Iterator[Slip]:
    """Every slip, in the order of the file; and those of relations whose quote has an amount."""
    for sentence in printed.sentences:
        table = printed.tables[sentence.table]
        yield from _repeated(sentence, table, stated) if sentence.cells else _compared(sentence, table, stated)
    for table in printed.tables.values():
        yield from _logs(table)
    for script in printed.scripts:
        for command in script.commands:
            yield from commands.check(command, script, printed.tables[script.table])
    yield from _relations(stated)


# sentences


def _repeated(sentence: Sentence, table: Table, stated: Sequence[Stated]) -> Iterator[Slip]:
    """Numbers in a sentence that repeat cells."""
    written = NUMBER.findall(sentence.quote)
    if len(written) != len(sentence.cells):
        raise ValueError(
            f"{sentence.text}: {len(sentence.cells)} cells are named for the numbers in {sentence.quote!r}"
        )
    for number, (row, name) in zip(written, sentence.cells, strict=True):
        cell = table.cell(row, name, stated)
        if cell is not None and abs(float(number) - _scale(name) * cell) > _half_a_digit(number, round_numbers=False):
            text = f"{sentence.text} says {number}, {table.source} has {_shown(name, cell)}"
            yield Slip(table.experiment(row), "sentence", name, text)


def _compared(sentence: Sentence, table: Table, stated: Sequence[Stated]) -> Iterator[Slip]:
    """What a sentence says of pairs of rows: which is more, and by how much."""
    found = amounts(sentence.quote)
    gaps = []
    for pair in sentence.pairs:
        values = [_value(sentence, table, row, stated) for row in pair]
        if None in values:
            return  # not printed
        gaps.append(_gap(sentence, [value for value in values if value is not None], found))
    problem = _direction(sentence, gaps) or _amounts(found, gaps)
    if problem:
        rows = "; ".join(f"row {row}: {_cells_shown(sentence, table, row, stated)}" for row in _rows(sentence))
        text = f"{sentence.text} says {sentence.quote!r}, but {problem} ({rows})"
        text += _held_before(sentence, table, found, stated)
        yield Slip(table.experiment(sentence.pairs[0][0]), "sentence", sentence.metric, text)


@dataclass(frozen=True)
class Gap:
    """How far two cells of a pair lie apart, in the unit in which the sentence speaks."""

    signed: float
    size: float
    rounding: float
    """How far the size is unknown because the cells are rounded."""
    unit: str


def _gap(sentence: Sentence, values: list[float], said: list[Amount]) -> Gap:
    name, scale = sentence.metric, _scale(sentence.metric)
    step = _step(values, scale)
    if len(values) == 1:  # held against a bare number, as in "above 50"
        bare = float(NUMBER.findall(sentence.quote)[0])
        return Gap(scale * values[0] - bare, abs(scale * values[0] - bare), 0.0, "")
    one, other = (scale * value for value in values)
    if said and said[0].unit == "times":
        size = max(one, other) / min(one, other)
        return Gap(one - other, size, size * (step / one + step / other), "times")
    if said and scale == 1 and metric(name).unit is not Unit.points:  # a percentage of something that is no share
        size = 100 * abs(one - other) / other
        return Gap(one - other, size, 100 * 2 * step / other, "%")
    return Gap(one - other, abs(one - other), 2 * step, "points" if scale == 100 else "")


def _direction(sentence: Sentence, gaps: Sequence[Gap]) -> str:
    for gap in gaps:
        holds = {
            Direction.higher: gap.signed > 0 or gap.size <= gap.rounding,
            Direction.lower: gap.signed < 0 or gap.size <= gap.rounding,
            Direction.same: abs(gap.signed) <= gap.rounding,
            Direction.none: True,
        }[sentence.says]
        if not holds:
            return f"the cells are not so: {gap.signed:+.4g}"
    return ""


def _amounts(said: Sequence[Amount], gaps: Sequence[Gap]) -> str:
    """Why the amounts are not those between the cells, in words; empty if they are."""
    if not said:
        return ""
    each = list(said) if len(said) > 1 else [said[0]] * len(gaps)
    if len(each) != len(gaps):
        raise ValueError(f"{len(said)} amounts are said of {len(gaps)} pairs")
    if all(_fits(amount, gap) for amount, gap in zip(each, gaps, strict=True)):
        return ""
    told = " and ".join(f"{gap.size:.2f}" for gap in gaps)
    text = f"the cells give {told} {gaps[0].unit}".rstrip()
    other_way = all(_fits(amount, gap) for amount, gap in zip(reversed(each), gaps, strict=True))
    return text + ("; in the other order the amounts would hold" if len(each) > 1 and other_way else "")


def _fits(amount: Amount, gap: Gap) -> bool:
    return abs(amount.value - gap.size) <= amount.slack + gap.rounding + 1e-9


def _relations(stated: Sequence[Stated]) -> Iterator[Slip]:
    """Amounts in the quotes of relations, against the values that were printed for the two experiments."""
    for s in stated:
        claim, said = s.claim, amounts(s.claim.quote)
        if claim.kind is not ClaimKind.relation or not said:
            continue
        own, base = _printed(s.experiment, claim.metric, stated), _printed(claim.versus, claim.metric, stated)
        if own is None or base is None:
            continue
        sentence = Sentence(table="", text=claim.source, quote=claim.quote, metric=claim.metric)
        gap = _gap(sentence, [own, base], said)
        if problem := _amounts(said[:1], [gap]):
            shown = metric(claim.metric).shown
            text = f"{claim.source} says {claim.quote!r}, but {problem} ({shown(own)} against {shown(base)})"
            for value in _other_prints(claim.versus, claim.metric, stated):
                if not _amounts(said[:1], [_gap(sentence, [own, value], said)]):
                    text += f"; {shown(value)}, another print of the same cell, would give it"
            yield Slip(s.experiment, "sentence", claim.metric, text)


def _held_before(sentence: Sentence, table: Table, said: Sequence[Amount], stated: Sequence[Stated]) -> str:
    """Whether a sentence about one pair holds of another print of the row that it speaks of, in words."""
    if len(sentence.pairs) != 1 or len(sentence.pairs[0]) != 2:
        return ""
    row, other = sentence.pairs[0]
    base = _value(sentence, table, other, stated)
    columns = [_other_prints(table.experiment(row), name, stated) for name in (sentence.metric, sentence.less) if name]
    for values in zip(*columns, strict=False):
        gap = _gap(sentence, [values[0] - sum(values[1:]), base or 0.0], list(said))
        if base is not None and not (_direction(sentence, [gap]) or _amounts(said, [gap])):
            names = zip((sentence.metric, sentence.less), values, strict=False)
            shown = " less ".join(_shown(name, value) for name, value in names)
            return f"; it holds of an earlier print of row {row}: {shown}"
    return ""


def _other_prints(experiment: str, name: str, stated: Sequence[Stated]) -> list[float]:
    """What the same cell had in other prints."""
    return [
        float(one.value)
        for s in stated
        if (s.experiment, s.claim.metric) == (experiment, name)
        for one in s.claim.history
        if one.value != s.claim.value
    ]


def _printed(experiment: str, name: str, stated: Sequence[Stated]) -> float | None:
    values = (s.claim.value for s in stated if (s.experiment, s.claim.metric) == (experiment, name))
    return next((float(value) for value in values if isinstance(value, int | float)), None)


def _value(sentence: Sentence, table: Table, row: Any, stated: Sequence[Stated]) -> float | None:
    value = table.cell(row, sentence.metric, stated)
    if value is None or not sentence.less:
        return value
    less = table.cell(row, sentence.less, stated)
    return None if less is None else value - less


def _rows(sentence: Sentence) -> list[Any]:
    return list(dict.fromkeys(row for pair in sentence.pairs for row in pair))


def _cells_shown(sentence: Sentence, table: Table, row: Any, stated: Sequence[Stated]) -> str:
    names = [name for name in (sentence.metric, sentence.less) if name]
    cells = [table.cell(row, name, stated) for name in names]
    return " less ".join(_shown(name, cell) for name, cell in zip(names, cells, strict=True) if cell is not None)


def _scale(name: str) -> int:
    return metric(name).scale


def _shown(name: str, value: float) -> str:
    return metric(name).shown(int(value) if value.is_integer() else value)


def _step(values: Sequence[float], scale: int) -> float:
    """Half a unit of the last digit that cells are printed with: two decimals, or none for whole numbers."""
    whole = all(float(value).is_integer() for value in values) and scale == 1
    return 0.0 if whole else 0.005 * (1 + 1e-9)


# tables and logs


def _logs(table: Table) -> Iterator[Slip]:
    """Cells that the log of the same run prints otherwise."""
    unlike = []
    for row in table.rows:
        cells = table.cells(row)
        for name, value in cells.items():
            logged = cells.get(f"{name}{IN_LOG}")
            if logged is not None and logged != value:
                unlike.append((row, name, value, logged))
    for row, name, value, logged in unlike:
        text = f"{table.source}: {row} has {_shown(name, value)} in the table and {_shown(name, logged)} in its log"
        twin = next((other[0] for other in unlike if (other[2], other[3]) == (logged, value)), None)
        text += f"; {twin} has them the other way round" if twin is not None else ""
        yield Slip(table.experiment(row), "table_against_log", name, text)
