"""Change one thing at a time in the modules that decide numbers, and see whether their tests notice.

    python tests/mutants.py [MODULE ...] [--sample N] [--seed S] [--seconds LIMIT] [--of LOG]

A mutant is one small change: a comparison turned or loosened, an operation exchanged, a number moved by one, a
condition negated, `and` for `or`. The tests run once as they are, to learn which of them reach which line, in their
own processes too, and how long each takes. Then each mutant meets the tests that reach its statement, quickest first,
up to the first that fails, in a process of its own over a copy of the package; the checkout is not touched. A mutant
with the same bytecode as the original, and one listed in EQUAL with the reason, is not run. Prints every survivor,
which statements no test reaches, and how many were caught. `--of LOG` takes only the survivors that an earlier output
names.
"""

import argparse
import ast
import gc
import hashlib
import json
import marshal
import math
import os
import pickle
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import zip_longest
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from reached import LOG, take, telling

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / ".cache" / "mutants"
"""What was learnt, for the next run."""
QUICK = 0.5
"""Seconds below which tests of different files are mixed."""
TESTS = {
    "data/collection.py": ["test_spam.py", "test_data_borders.py"],
    "data/instructions.py": ["test_data_borders.py", "test_training_borders.py"],
    "data/spam.py": ["test_spam.py"],
    "data/corpus.py": ["test_data_borders.py", "test_training_borders.py"],
    "model/tune.py": ["test_classifier_borders.py"],
    "model/classifier.py": ["test_classifier_borders.py"],
    "training/steps.py": ["test_train.py", "test_fit_borders.py", "test_training_borders.py"],
    "training/fit.py": ["test_fit_borders.py"],
    "training/evaluate.py": ["test_fit_borders.py", "test_training_borders.py"],
    "training/frozen.py": ["test_frozen_borders.py"],
    "training/kept.py": ["test_frozen_borders.py"],
    "training/kept_split.py": ["test_frozen_borders.py"],
    "training/schedule.py": ["test_fit_borders.py", "test_training_borders.py"],
    "training/resume.py": ["test_resume_borders.py"],
    "generation/sampling.py": ["test_answers_borders.py", "test_training_borders.py"],
    "generation/responses.py": ["test_answers_borders.py", "test_training_borders.py"],
    "runs/identity.py": ["test_record_borders.py"],
    "runs/record.py": ["test_record_borders.py"],
    "evidence/verdicts/single.py": ["test_verdicts_borders.py"],
    "evidence/verdicts/versus.py": ["test_verdicts.py", "test_verdicts_borders.py"],
    "evidence/verdicts/comparable.py": ["test_evidence_borders.py", "test_speaking_borders.py"],
    "evidence/verdicts/speaking.py": ["test_evidence_borders.py", "test_speaking_borders.py"],
    "evidence/configuration.py": ["test_configuration_borders.py"],
    "evidence/items.py": ["test_evidence_borders.py"],
    "evidence/predictions.py": ["test_evidence_borders.py"],
    "evidence/remarks.py": ["test_evidence_borders.py"],
    "evidence/verify.py": ["test_bundle_borders.py", "test_evidence_borders.py"],
    "evidence/compare.py": ["test_compare.py", "test_evidence_borders.py"],
    "evidence/confounds.py": ["test_evidence_borders.py"],
    "evidence/bundle.py": ["test_bundle_borders.py"],
    "stats/intervals.py": ["test_stats_borders.py", "test_stats.py"],
    "stats/paired.py": ["test_stats.py", "test_stats_borders.py"],
    "stats/checks.py": ["test_stats.py", "test_stats_borders.py"],
    "stats/planning.py": ["test_stats.py", "test_stats_borders.py"],
    "judging/parser.py": ["test_judge_parser.py"],
    "judging/scores.py": ["test_judge.py"],
}
"""The tests that must notice a change, by module below the package."""

SPLIT = "split = np.arange(max(0, math.floor(middle - reach)), min(items, math.ceil(middle + reach)) + 1)"
EXCESS = "lower, upper = (float(x <= 1e-12 * margin) for x in (value + margin, margin - value))"
BRACKET = "a root is looked for between wider ends; it is the same root"
WIDER = "the number is looked for from farther below; it is the same number"
FARTHER = "sums farther than eight standard deviations, where there is nothing left to sum"
FOLDER_THERE = "the folder above is there: the record's history lies in it"
ROOT_AT_END = "at the very end of the bracket, where the root is that end in both ways"
ONE_TOKEN = "whether random numbers are drawn is found with one row as with two"
EQUAL: dict[tuple[str, str, str], str] = {
    (
        "training/evaluate.py",
        "one = torch.zeros(1, 1, dtype=torch.long, device=machine.device)",
        "1 -> 2 at 18",
    ): ONE_TOKEN,
    (
        "training/evaluate.py",
        "given = [(ids[rows], *(other[rows] for other in others)) for rows in order.split(len(whole[0][0]))]",
        "0 -> 1 at 94",
    ): "a batch has as many labels as rows of ids",
    ("training/steps.py", "one = torch.zeros(1, 1, dtype=torch.long, device=model.device)", "1 -> 2 at 18"): ONE_TOKEN,
    (
        "training/steps.py",
        "if self.epoch > self.epochs:  # the state of a training that is over: what comes after it may draw as well",
        "Gt -> GtE",
    ): "an epoch that begins puts the generators there itself",
    ("training/frozen.py", "REVISION = 1", "1 -> 2"): "a version number",
    ("training/frozen.py", "one = torch.zeros(1, 1, dtype=torch.long)", "1 -> 2 at 18"): ONE_TOKEN,
    (
        "training/frozen.py",
        "digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())",
        "True -> False",
    ): "the keys stand in one order in either way, and the content is the same",
    ("training/frozen.py", 'like = prefix([splits["train"].row(0)[:1]])', "1 -> 2"): (
        "what is kept of two tokens has the width and the number format of what is kept of one"
    ),
    (
        "training/frozen.py",
        "like, lengths = fewer([split.seen[0][:1]]), [len(row) for row in split.seen]",
        "1 -> 2",
    ): "what is kept of two tokens has the width and the number format of what is kept of one",
    ("training/kept.py", 'with FileLock(folder() / f"{key}{LOCK}", timeout=0):', "0 -> 1"): "how long to wait",
    (
        "generation/responses.py",
        "together = _together(model, max(map(len, wanted), default=0) + config.max_new_tokens)",
        "0 -> 1",
    ): "where no answer is missing, none is written",
    ("training/steps.py", "total, whole = self.targets(batch) or 1, 0.0", "1 -> 2"): (
        "of no target every part's share is 0, whatever it is divided by"
    ),
    (
        "training/resume.py",
        "(self.record.folder / STATE).parent.mkdir(parents=True, exist_ok=True)",
        "True -> False at 50",
    ): FOLDER_THERE,
    ("training/resume.py", "path.parent.mkdir(parents=True, exist_ok=True)", "True -> False at 26"): FOLDER_THERE,
    ("training/resume.py", "target.parent.mkdir(parents=True, exist_ok=True)", "True -> False at 28"): FOLDER_THERE,
    ("stats/planning.py", "reach = 8 * math.sqrt(items * discordance) + 10", "8 -> 9"): FARTHER,
    ("stats/planning.py", "reach = 8 * math.sqrt(items * discordance) + 10", "10 -> 11"): FARTHER,
    ("stats/planning.py", "reach = 8 * math.sqrt(items * discordance) + 10", "Mult -> Div at 22"): FARTHER,
    ("stats/planning.py", SPLIT, "0 -> 1"): "without a discordant item nothing is ever found",
    ("stats/planning.py", SPLIT, "1 -> 2"): "more discordant items than items have no probability",
    ("stats/planning.py", "most = 1.0", "1.0 -> 2.0"): BRACKET,
    ("stats/planning.py", "while _t_power(1.0, most, seeds, alpha) < power:", "1.0 -> 2.0"): BRACKET,
    ("stats/planning.py", "while _t_power(1.0, most, seeds, alpha) < power:", "Lt -> LtE"): BRACKET,
    ("stats/planning.py", "most *= 2", "2 -> 3"): BRACKET,
    ("stats/planning.py", "return float(np.mean(np.where(room > 0, chance, 0.0)))", "Gt -> GtE"): "at 0, chance is 0",
    ("stats/planning.py", "middles = (np.arange(4000) + 0.5) / 4000", "4000 -> 4001"): (
        "moves an average over four thousand middles by less than its own error"
    ),
    ("stats/planning.py", "low = max(start - 1, high // 2)", "1 -> 2"): WIDER,
    ("stats/planning.py", "low = max(start - 1, high // 2)", "2 -> 3"): WIDER,
    ("stats/paired.py", "if len(parts) == 1 or floor >= 1 - 1e-9:", "Or -> And"): (
        "a shortcut: the search that it saves ends at the same p"
    ),
    ("stats/paired.py", "if len(parts) == 1 or floor >= 1 - 1e-9:", "GtE -> Gt"): ROOT_AT_END,
    ("stats/paired.py", "if len(parts) == 1 or floor >= 1 - 1e-9:", "Sub -> Add"): ROOT_AT_END,
    ("stats/paired.py", "if len(parts) == 1 or floor >= 1 - 1e-9:", "1 -> 2 at 31"): ROOT_AT_END,
    ("stats/paired.py", "return min(1.0, floor)", "1.0 -> 2.0"): "twice the smaller tail is never above 1",
    ("stats/paired.py", "return floor if excess(floor) <= 0 else float(brentq(excess, floor, 1.0))", "LtE -> Lt"): (
        ROOT_AT_END
    ),
    (
        "stats/planning.py",
        "worse = (1 - gap / discordance) / 2",
        "Sub -> Add",
    ): "both sides are summed, in either order",
    ("stats/paired.py", EXCESS, "LtE -> Lt"): "differs at the very border that is drawn for rounding",
    ("stats/paired.py", "block = max(1, 4_000_000 // units)", "1 -> 2"): "matters above two million items, to memory",
    ("stats/paired.py", "block = max(1, 4_000_000 // units)", "4000000 -> 4000001"): "a bound on memory",
    (
        "data/spam.py",
        "self.rows = torch.tensor([(row + [pad] * (length - len(row)))[:length] for row in rows])",
        "Sub -> Add",
    ): ("more padding than is needed is cut off"),
    (
        "judging/scores.py",
        'record.write_text("scores.json", json.dumps(content, indent=1, ensure_ascii=False) + "\\n")',
        "1 -> 2",
    ): "white space in a JSON file",
    ("judging/scores.py", "wait=wait_exponential(multiplier=config.wait, max=60),", "60 -> 61"): "how long to wait",
    ("evidence/compare.py", 'if "baseline" in line["notes"][:1]:', "1 -> 2"): "no other note is that word alone",
    ("evidence/compare.py", "if max(differences) - min(differences) <= 1e-12 * scale:", "LtE -> Lt"): (
        "differs at the very border that is drawn for rounding, and for zeros, which it makes zeros"
    ),
    ("evidence/compare.py", 'return prefix + ("higher" if delta["value"] > 0 else "lower")', "Gt -> GtE"): (
        "no difference of 0 has a small p"
    ),
    (
        "evidence/compare.py",
        'return prefix + ("higher" if delta["value"] > 0 else "lower") + ", but not after Holm\'s correction"',
        "Gt -> GtE",
    ): "no difference of 0 has a small p",
    (
        "evidence/verdicts/versus.py",
        "if len(differences) > 1 and max(differences) - min(differences) <= 1e-12:",
        "Gt -> GtE",
    ): "one difference equals itself",
    (
        "evidence/verdicts/versus.py",
        "if len(differences) > 1 and max(differences) - min(differences) <= 1e-12:",
        "LtE -> Lt",
    ): "differs at the very border that is drawn for rounding",
    ("evidence/verdicts/versus.py", "narrow = interval.half_width <= TIME_CAP * interval.value", "LtE -> Lt"): (
        "no half-width is a tenth of a mean to the last bit"
    ),
    ("runs/identity.py", "@lru_cache(maxsize=4096)", "4096 -> 4097"): "how many answers are remembered",
    ("judging/parser.py", "PARSER = 3", "3 -> 4"): "a version number",
    ("evidence/verdicts/single.py", "if p >= CHANCE:", "GtE -> Gt"): "no count has a p of 0.05 to the last bit",
    (
        "evidence/verdicts/single.py",
        "if equal and (metric(claim.metric).seedless or (len(values) > 1 and _fine(values[0], claim))):",
        "0 -> 1",
    ): "all of them are equal",
    ("evidence/verdicts/comparable.py", 'if len(formats) > 1 and "float32" in formats:', "Gt -> GtE"): (
        "of runs in float32 alone, none is sorted out"
    ),
    ("evidence/confounds.py", 'if len(set.union(*devices)) < 2 and "" not in devices[0]:', "0 -> 1"): (
        "where there is one device, both arms have it"
    ),
    ("evidence/predictions.py", "@lru_cache(maxsize=4096)", "4096 -> 4097"): "a bound on memory",
    (
        "evidence/verify.py",
        'found = gather(root / "records", bundled, **options, published=settings, keep_index=False)',
        "False -> True",
    ): "an index in a folder that is deleted at once",
}
"""Changes that nothing can notice, by module, line and change, with the column where two are alike: the reason."""

COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATE: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    module: str
    line: int
    column: int
    what: str
    indent: int
    text: str
    """The line as it stands, without its indentation."""
    lines: frozenset[int]
    """Where its statement begins; for what runs at import, where what it defines is used."""
    source: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}:{self.column}: {self.what}"

    @property
    def why_equal(self) -> str:
        """Why nothing can notice it; empty if something might."""
        if marshal.dumps(compiled(self.source)) == marshal.dumps(compiled(as_it_is(self.module))):
            return "the same bytecode"
        place = f"{self.what} at {self.column - self.indent}"  # where a line holds two alike
        return EQUAL.get((self.module, self.text, self.what)) or EQUAL.get((self.module, self.text, place), "")

    @property
    def at_import(self) -> bool:
        """Whether code that runs when the module is imported differs, and not only a function's body."""
        return when_imported(compiled(self.source)) != when_imported(compiled(as_it_is(self.module)))


@cache
def as_it_is(module: str) -> str:
    return ast.unparse(ast.parse((ROOT / "src" / "scratchlab" / module).read_text(encoding="utf-8")))


@cache
def compiled(source: str, file: str = "mutant") -> CodeType:
    return compile(source, file, "exec", dont_inherit=True)


def when_imported(code: CodeType) -> list[object]:
    """What of a module's code runs at import: all of it but the bodies of functions."""
    mine: list[object] = [code.co_code, code.co_names]
    for constant in code.co_consts:
        if not isinstance(constant, CodeType):
            mine.append((type(constant), repr(constant)))
        elif not constant.co_flags & 1 or constant.co_name in ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"):
            mine.append(when_imported(constant))  # the body of a class is not "optimized", which is the first flag
    return mine


def sites(tree: ast.AST, statement: ast.stmt | None = None) -> Iterator[tuple[ast.AST, ast.stmt | None]]:
    """The nodes that can be changed, each with its statement.

    Left alone: messages, annotations and the imports for them, and the checks by `strict` and `frozen`.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.AnnAssign):
            continue
        # of `zip` and of a dataclass: checks of what nobody does
        if isinstance(node, ast.keyword) and node.arg in ("strict", "frozen"):
            continue
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        inner = node if isinstance(node, ast.stmt) else statement
        yield node, inner
        yield from sites(node, inner)


def changes(node: ast.AST) -> Iterator[str]:
    """Change a node in place in every way that there is, giving words for it; the caller puts it back."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARE:
        before = node.ops[0]
        node.ops[0] = COMPARE[type(before)]()
        yield f"{type(before).__name__} -> {type(node.ops[0]).__name__}"
        node.ops[0] = before
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATE:
        operator = node.op
        node.op = OPERATE[type(operator)]()
        yield f"{type(operator).__name__} -> {type(node.op).__name__}"
        node.op = operator
    elif isinstance(node, ast.BoolOp):
        both = node.op
        node.op = ast.Or() if isinstance(both, ast.And) else ast.And()
        yield f"{type(both).__name__} -> {type(node.op).__name__}"
        node.op = both
    elif isinstance(node, ast.If | ast.IfExp):
        test = node.test
        node.test = ast.UnaryOp(ast.Not(), test)
        yield "condition negated"
        node.test = test
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
        value = node.value
        node.value = not value if isinstance(value, bool) else value + 1
        yield f"{value} -> {node.value}"
        node.value = value


def uses(tree: ast.Module, statement: ast.stmt | None) -> frozenset[int]:
    """The statements that show that what a statement defines was used: those that name it, and those of its body."""
    if statement is None:
        return frozenset()
    stored = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    named = {at.lineno for n, at in sites(tree) if at and getattr(n, "id", getattr(n, "attr", None)) in stored}
    return frozenset(named | set(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)))


def mutants(module: str) -> list[Mutant]:
    text = (ROOT / "src" / "scratchlab" / module).read_text(encoding="utf-8")
    tree, rows, found = ast.parse(text), text.splitlines(), []
    for node, statement in sites(tree):
        for what in changes(node):
            source = ast.unparse(ast.fix_missing_locations(tree))
            line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
            there = frozenset({statement.lineno} if statement else ())
            row = rows[line - 1]
            indent = len(row) - len(row.lstrip())
            mutant = Mutant(module, line, column, what, indent, row.strip(), there, source)
            if mutant.at_import:
                mutant = replace(mutant, lines=uses(tree, statement))
            found.append(mutant)
    return found


@dataclass
class Test:
    """What was learnt of a test."""

    file: str
    seconds: float = 0
    failed: bool = False
    lines: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """By file below the package, with what the fixtures that it shares with others reach."""

    def reaches(self, mutant: Mutant) -> bool:
        return bool(self.lines.get(mutant.module, set()) & mutant.lines)


@dataclass
class Learnt:
    tests: dict[str, Test]
    at_import: dict[str, set[int]]
    """Lines that are reached while the tests are collected."""

    def meeting(self, mutant: Mutant) -> list[str]:
        """The tests that a mutant meets, quickest first, the slower ones file by file for what they share."""
        mine = {
            name: test for name, test in self.tests.items() if test.file in TESTS[mutant.module] and not test.failed
        }
        there = {name: test for name, test in mine.items() if test.reaches(mutant)}
        rest = [name for name in mine if name not in there] if mutant.at_import else []
        return self.ordered(there) + self.ordered(rest)

    def ordered(self, names: Iterable[str]) -> list[str]:
        quick, slow = [], defaultdict(list)
        for name in sorted(names, key=lambda name: self.tests[name].seconds):
            (quick if self.tests[name].seconds < QUICK else slow[self.tests[name].file]).append(name)
        return quick + sum(sorted(slow.values(), key=self.seconds), [])

    def seconds(self, names: list[str]) -> float:
        return sum(self.tests[name].seconds for name in names)


class Learn:
    """A pytest plugin: runs every test as it is and keeps what it reaches."""

    def __init__(self, out: Path) -> None:
        self.out, self.read = out, 0
        self.shared: dict[object, Test] = {}
        self.stack: list[Test] = []

    def turn(self) -> None:
        """Give what was reached since the last turn to what is running."""
        found, self.read = take(self.read)
        for name, numbers in found.items() if self.stack else ():
            self.stack[-1].lines[name] |= numbers

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef, request: pytest.FixtureRequest) -> Iterator[None]:
        if fixturedef.scope == "function":
            return (yield)
        self.turn()
        mine = self.shared.setdefault(fixturedef, Test(""))
        self.stack.append(mine)
        start = processor_seconds()
        try:
            return (yield)
        finally:
            self.turn()
            self.stack.pop()
            mine.seconds = processor_seconds() - start
            if self.stack:
                self.stack[-1].seconds -= mine.seconds

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        tests: dict[str, Test] = {}
        at_import, self.read = take(self.read)
        for number, item in enumerate(session.items):
            forget(item)
            test = tests[item.nodeid] = Test(item.path.name)
            self.stack.append(test)
            start, failed = processor_seconds(), session.testsfailed
            following = session.items[number + 1] if number + 1 < len(session.items) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            self.turn()
            self.stack.pop()
            test.seconds += processor_seconds() - start
            test.failed = session.testsfailed > failed
            for given in item._fixtureinfo.name2fixturedefs.values():  # type: ignore[attr-defined]
                if fixture := self.shared.get(given[-1]):
                    test.seconds += fixture.seconds
                    for name, numbers in fixture.lines.items():
                        test.lines[name] |= numbers
        self.out.write_bytes(pickle.dumps(Learnt(tests, at_import)))
        return True


def processor_seconds() -> float:
    """Of this process and the children that have ended."""
    return sum(os.times()[:4])


def forget(item: pytest.Item) -> None:
    """Empty what a test's module and the modules under change have cached, so that a test reaches what it needs."""
    ours = {"scratchlab." + name.removesuffix(".py").replace("/", ".") for name in TESTS}
    for module in [item.module, *(sys.modules[name] for name in ours & sys.modules.keys())]:  # type: ignore[attr-defined]
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


class Bounded:
    """A pytest plugin: a test that takes much more of the processor than it did ends its process."""

    learnt: "Learnt"

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        end = time.process_time() + 10 + 10 * self.learnt.tests[item.nodeid].seconds
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(end), resource.RLIM_INFINITY))


class Change(Bounded):
    """A pytest plugin: has collected once, and forks for each mutant whose change lies in functions alone."""

    def __init__(self, field: "Field", chosen: list[Mutant], learnt: Learnt, say: Callable[[int, int], None]) -> None:
        self.field, self.chosen, self.learnt, self.say = field, chosen, learnt, say

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        functions = defaultdict(list)
        for thing in gc.get_objects():
            if type(thing) is FunctionType:  # some things of torch warn when they are asked for their class
                functions[thing.__code__.co_filename].append(thing)
        gc.freeze()
        tests = self.learnt.tests
        mixed = [name for name in items if not tests[name].failed and tests[name].seconds < QUICK]
        self.field.find_unsteady([items[name] for name in self.learnt.ordered(mixed)])
        self.say(-1, 0)
        self.field.leave_out_unsteady(self.learnt)
        for number, mutant in enumerate(self.chosen):
            names = [name for name in self.learnt.meeting(mutant) if name in items]
            file = str(self.field.file(mutant))
            table = pairs(compiled(Path(file).read_text(encoding="utf-8"), file), compiled(mutant.source, file))

            meet = partial(self.changed, functions[file], table, [items[name] for name in names])
            self.say(number, self.field.meet(mutant, meet))
        return True

    def changed(self, functions: list[FunctionType], table: dict[CodeType, CodeType], items: list[pytest.Item]) -> int:
        for function in functions:
            function.__code__ = table.get(function.__code__, function.__code__)
        return len(failing(items, stop=True))


def pairs(old: CodeType, new: CodeType) -> dict[CodeType, CodeType]:
    """What stands for each code object in a changed compilation of the same source."""
    found = {old: new}
    olds, news = ([c for c in code.co_consts if isinstance(c, CodeType)] for code in (old, new))
    for one, other in zip(olds, news, strict=True):
        found |= pairs(one, other)
    return found


def failing(items: list[pytest.Item], stop: bool) -> list[str]:
    """Run tests that are collected already; the names of those that fail, or of the first."""
    failed: list[str] = []
    for item, following in zip_longest(items, items[1:]):
        item.config._tmp_path_factory._basetemp = Path(tempfile.gettempdir())  # type: ignore[attr-defined]
        before = item.session.testsfailed
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if item.session.testsfailed > before:
            failed.append(item.nodeid)
            if stop:
                break
    return failed


class Chosen(Bounded):
    """A pytest plugin: of what was collected, the named tests in their order."""

    def __init__(self, names: list[str], learnt: Learnt) -> None:
        self.names, self.learnt = names, learnt

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        found = {item.nodeid: item for item in items}
        items[:] = [found[name] for name in self.names]


ALIVE, CAUGHT, LATE = 0, 1, 2
DAY = 24.0 * 60 * 60


class Field:
    """A copy of the package, in which one mutant after another is put."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder, self.seconds = folder, seconds
        shutil.copytree(ROOT / "src" / "scratchlab", folder / "scratchlab")
        for name in ("conf", "experiments"):  # where the wheel has them
            shutil.copytree(ROOT / name, folder / "scratchlab" / name)
        sys.path.insert(0, str(folder))
        sys.dont_write_bytecode = True  # two mutants of one second would share a file of bytecode
        os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

    def file(self, mutant: Mutant) -> Path:
        return self.folder / "scratchlab" / mutant.module

    def meet(self, mutant: Mutant, tests: Callable[[], int]) -> int:
        """Run tests with the mutant in the module's place, in a process of its own that ends with what they return."""
        whole = self.file(mutant).read_text(encoding="utf-8")
        self.file(mutant).write_text(mutant.source, encoding="utf-8")
        try:
            return self.apart(tests, self.seconds)
        finally:
            self.file(mutant).write_text(whole, encoding="utf-8")

    def apart(self, what: Callable[[], int], seconds: float) -> int:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
            child = os.fork()
            if child == 0:
                code = CAUGHT
                try:
                    os.setsid()
                    os.environ["TMPDIR"] = tempfile.tempdir = place
                    silence()
                    code = what()
                finally:
                    os._exit(CAUGHT if code else ALIVE)
            return wait(child, seconds)

    def learn(self, files: list[str]) -> Learnt:
        """Run the tests as they are."""
        out, modules = self.folder / "learnt", [self.folder / "scratchlab" / module for module in TESTS]
        shutil.copy(ROOT / "tests" / "reached.py", self.folder)
        whole = [path.read_text(encoding="utf-8") for path in modules]
        for module, path, source in zip(TESTS, modules, whole, strict=True):
            path.write_text(telling(module, source), encoding="utf-8")
        os.environ[LOG] = str(self.folder / "reached")
        self.apart(lambda: run_pytest(files, Learn(out)), DAY)
        for path, source in zip(modules, whole, strict=True):
            path.write_text(source, encoding="utf-8")
        learnt: Learnt = pickle.loads(out.read_bytes())
        return learnt

    def learnt(self, files: list[str]) -> Learnt:
        """What the tests of files reach, from the last time where neither the package nor they have changed."""
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        kept: dict[str, tuple[str, Learnt]] = pickle.loads(KEPT.read_bytes()) if KEPT.exists() else {}
        digests = {file: digest(file) for file in files}
        if new := [file for file in files if file not in kept or kept[file][0] != digests[file]]:
            now = self.learn(new)
            for file in new:
                tests = {name: test for name, test in now.tests.items() if test.file == file}
                kept[file] = digests[file], Learnt(tests, now.at_import)
            KEPT.write_bytes(pickle.dumps(kept))
        whole = Learnt({}, defaultdict(set))
        for _, learnt in (kept[file] for file in files):
            whole.tests |= learnt.tests
            for name, lines in learnt.at_import.items():
                whole.at_import[name] |= lines
        for name, test in whole.tests.items():
            if test.failed:
                print(f"left out, since it fails without any change: {name}", flush=True)
        return whole

    def find_unsteady(self, items: list[pytest.Item]) -> None:
        """Write down the tests that fail in another order."""
        out = self.folder / "unsteady"
        self.apart(lambda: out.write_text(json.dumps(failing(items, stop=False))), DAY)

    def leave_out_unsteady(self, learnt: Learnt) -> list[str]:
        names: list[str] = json.loads((self.folder / "unsteady").read_text())
        for name in names:
            learnt.tests[name].failed = True
        return names

    def fast(self, chosen: list[Mutant], learnt: Learnt) -> Iterator[tuple[Mutant, int]]:
        """Try mutants of functions' bodies, forked from a process that has imported and collected everything."""
        done: list[int] = []
        reading, writing = os.pipe()
        server = os.fork()
        if server == 0:
            os.close(reading)

            def say(number: int, result: int) -> None:
                os.write(writing, json.dumps([number, result]).encode() + b"\n")

            silence()
            try:
                for mutant in chosen:
                    __import__("scratchlab." + mutant.module.removesuffix(".py").replace("/", "."))
                run_pytest(files_of(chosen), Change(self, chosen, learnt, say))
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answers:
            for line in answers:
                number, result = json.loads(line)
                if number == -1:
                    for name in self.leave_out_unsteady(learnt):
                        print(f"left out, since it fails in another order: {name}", flush=True)
                else:
                    done.append(number)
                    yield chosen[number], result
        os.waitpid(server, 0)
        if done != list(range(len(chosen))):
            sys.exit(f"only {len(done)} of {len(chosen)} mutants came back")

    def slow(self, mutant: Mutant, learnt: Learnt) -> int:
        """Try a mutant that acts at import: the package is imported anew."""
        names = learnt.meeting(mutant)
        files = [file for file in TESTS[mutant.module] if any(learnt.tests[name].file == file for name in names)]
        return self.meet(mutant, lambda: run_pytest(files, Chosen(names, learnt)))


def digest(file: str) -> str:
    """Of the package, of what tests share, and of a file of tests."""
    found = hashlib.sha256()
    tests = (ROOT / "tests").rglob("*.py")
    shared = [path for path in tests if not path.name.startswith(("test_", "mutants", "reached"))]
    for path in sorted([*(ROOT / "src").rglob("*.py"), *shared, ROOT / "tests" / file]):
        found.update(path.read_bytes())
    return found.hexdigest()


def silence() -> None:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)


def files_of(chosen: list[Mutant]) -> list[str]:
    return list(dict.fromkeys(file for mutant in chosen for file in TESTS[mutant.module]))


def run_pytest(files: list[str], plugin: object) -> int:
    options = ["-q", "--tb=no", "-p", "no:cacheprovider", "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")]
    if isinstance(plugin, Chosen):
        options.append("-x")
    return int(pytest.main([*options, *(str(ROOT / "tests" / name) for name in files)], plugins=[plugin]))


def wait(child: int, seconds: float) -> int:
    """A child's exit code, or LATE; what it started ends with it."""
    end, code = time.monotonic() + seconds, None
    while code is None and time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
        else:
            time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if code is None:
        os.waitpid(child, 0)
    return LATE if code in (None, -signal.SIGXCPU) else code


def try_all(field: Field, chosen: list[Mutant], learnt: Learnt) -> Iterator[tuple[Mutant, int]]:
    """Each mutant with what became of it; one that no test meets is alive."""
    met = {mutant: bool(learnt.meeting(mutant)) for mutant in chosen}
    yield from ((mutant, ALIVE) for mutant in chosen if not met[mutant])
    chosen = [mutant for mutant in chosen if met[mutant]]
    later = [mutant for mutant in chosen if mutant.at_import]
    now = [mutant for mutant in chosen if not mutant.at_import]
    for mutant, result in field.fast(now, learnt) if now else ():
        if result == ALIVE and learnt.at_import.get(mutant.module, set()) & mutant.lines:
            later.append(mutant)  # a test may hold what this gave while it was collected
        else:
            yield mutant, result
    for mutant in later:
        yield mutant, field.slow(mutant, learnt)


def choose(options: argparse.Namespace) -> list[Mutant]:
    chosen = []
    earlier = re.findall(r"^survived: (\S+):(\d+):(\d+): ([^(\n]+)", options.of.read_text(), re.M) if options.of else []
    wanted = {(module, int(line), int(column), what.strip()) for module, line, column, what in earlier}
    for module in options.modules or TESTS:
        every = mutants(module)
        if options.of:
            every = [m for m in every if (m.module, m.line, m.column, m.what) in wanted]
        chosen += random.Random(options.seed).sample(every, min(options.sample or len(every), len(every)))
    return sorted(chosen, key=lambda mutant: (list(TESTS).index(mutant.module), mutant.line, mutant.column))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="below the package, such as model/tune.py; default: all")
    parser.add_argument("--sample", type=int, default=0, help="mutants of each module, drawn by seed; 0: all")
    parser.add_argument("--seed", type=int, default=123)
    parser.add_argument("--seconds", type=float, default=900, help="a mutant whose tests wait longer is caught")
    parser.add_argument("--of", type=Path, metavar="LOG", help="only the survivors named in an earlier output")
    options = parser.parse_args()
    if wrong := [module for module in options.modules if module not in TESTS]:
        parser.error(f"{', '.join(wrong)}: no such module here; possible: {', '.join(TESTS)}")
    start = time.monotonic()
    every = choose(options)
    equal = {mutant: why for mutant in every if (why := mutant.why_equal)}
    for mutant, why in equal.items():
        if why != "the same bytecode":
            print(f"equal: {mutant} ({why})")
    chosen = [mutant for mutant in every if mutant not in equal]
    rows: dict[str, Counter[int]] = {mutant.module: Counter() for mutant in every}
    with tempfile.TemporaryDirectory() as folder:
        field = Field(Path(folder), options.seconds)
        preload()
        learnt = field.learnt(files_of(chosen))
        print(f"{len(learnt.tests)} tests learnt after {time.monotonic() - start:.0f} s", flush=True)
        for mutant, result in try_all(field, chosen, learnt):
            rows[mutant.module][result] += 1
            if result == ALIVE:
                met = len(learnt.meeting(mutant))
                print(f"survived: {mutant} ({f'{met} tests' if met else 'no test reaches it'})", flush=True)
    for module, row in rows.items():
        same = sum(mutant.module == module for mutant in equal)
        print(
            f"{module}: {row.total() - row[ALIVE]} of {row.total()} caught, {row[LATE]} of them by time; {same} equal"
        )
    total, alive = sum(row.total() for row in rows.values()), sum(row[ALIVE] for row in rows.values())
    share = (total - alive) / max(total, 1)
    print(f"{total - alive} of {total} mutants caught ({share:.1%}), {len(equal)} more change nothing")
    print(f"{time.monotonic() - start:.0f} s")


def preload() -> None:
    """Load what is slow once, and nothing of ours."""
    import hydra
    import numpy
    import pandas
    import scipy.stats
    import torch
    import torch._dynamo  # by the first step of an optimizer

    torch.set_num_threads(1)
    assert all((hydra, numpy, pandas, scipy))


if __name__ == "__main__":
    main()
