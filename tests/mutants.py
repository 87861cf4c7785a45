"""Change one thing at a time in the modules that decide numbers, and see whether their tests notice.

    python tests/mutants.py [MODULE ...] [--sample N] [--seed S] [--seconds LIMIT]

A mutant is one small change: a comparison turned or loosened, an operation exchanged, a number moved by one, a
condition negated, `and` for `or`. Each runs the tests of its module in a process of its own, forked from one that has
the slow libraries loaded, over a copy of the package; the checkout is not touched. Prints every survivor, and how many
were caught.
"""

import argparse
import ast
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = {
    "data/collection.py": ["test_spam.py"],
    "data/instructions.py": ["test_instructions.py", "test_prompts.py"],
    "data/spam.py": ["test_spam.py"],
    "data/corpus.py": ["test_chapters.py", "test_pretrain.py"],
    "model/tune.py": ["test_gpt.py", "test_decoder.py"],
    "model/classifier.py": ["test_gpt.py", "test_classify.py"],
    "training/steps.py": ["test_train.py", "test_resume.py"],
    "training/fit.py": ["test_resume.py", "test_same_numbers.py"],
    "training/evaluate.py": ["test_classify.py", "test_same_numbers.py"],
    "training/frozen.py": ["test_frozen.py"],
    "training/kept.py": ["test_frozen.py"],
    "training/kept_split.py": ["test_frozen.py"],
    "training/schedule.py": ["test_pretrain.py"],
    "training/resume.py": ["test_resume.py", "test_instruct.py"],
    "generation/sampling.py": ["test_sampling.py"],
    "generation/responses.py": ["test_instruct.py"],
    "runs/identity.py": ["test_identity.py"],
    "runs/record.py": ["test_record.py"],
    "evidence/verdicts/single.py": ["test_verdicts.py"],
    "evidence/verdicts/versus.py": ["test_verdicts.py"],
    "evidence/verdicts/comparable.py": ["test_verdicts.py", "test_gate.py"],
    "evidence/verdicts/speaking.py": ["test_gate.py", "test_told.py", "test_spoilt.py"],
    "evidence/configuration.py": ["test_gate.py", "test_told.py"],
    "evidence/items.py": ["test_gate.py", "test_told.py", "test_spoilt.py"],
    "evidence/predictions.py": ["test_gate.py", "test_told.py", "test_spoilt.py"],
    "evidence/remarks.py": ["test_told.py", "test_spoilt.py"],
    "evidence/verify.py": ["test_bundle.py", "test_gate.py"],
    "evidence/compare.py": ["test_compare.py"],
    "evidence/confounds.py": ["test_compare.py"],
    "evidence/bundle.py": ["test_bundle.py", "test_gate.py"],
    "stats/intervals.py": ["test_stats.py"],
    "stats/paired.py": ["test_stats.py"],
    "stats/checks.py": ["test_stats.py"],
    "stats/planning.py": ["test_stats.py"],
    "judging/parser.py": ["test_judge_parser.py"],
    "judging/scores.py": ["test_judge.py"],
}
"""The tests that must notice a change, by module below the package."""

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
    what: str
    source: str


def sites(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that can be changed; no messages, no annotations, no log."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.AnnAssign):
            continue
        yield node
        yield from sites(node)


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


def mutants(module: str) -> list[Mutant]:
    tree = ast.parse((ROOT / "src" / "scratchlab" / module).read_text(encoding="utf-8"))
    return [
        Mutant(module, getattr(node, "lineno", 0), what, ast.unparse(ast.fix_missing_locations(tree)))
        for node in sites(tree)
        for what in changes(node)
    ]


def caught(mutant: Mutant, package: Path, seconds: float) -> bool:
    """Whether the tests of its module fail, or take longer than `seconds`, with the mutant in the module's place."""
    file = package / "scratchlab" / mutant.module
    whole = file.read_text(encoding="utf-8")
    file.write_text(mutant.source, encoding="utf-8")
    try:
        child = os.fork()
        if child == 0:
            run_tests(TESTS[mutant.module])
        return wait(child, seconds) != 0
    finally:
        file.write_text(whole, encoding="utf-8")


def run_tests(files: list[str]) -> None:
    """In a child: run the files quietly up to the first failure, and end with pytest's exit code."""
    import pytest

    os.setsid()
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    options = ["-x", "-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")]
    os._exit(int(pytest.main([*options, *(str(ROOT / "tests" / name) for name in files)])))


def wait(child: int, seconds: float) -> int:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="below the package, such as model/tune.py; default: all")
    parser.add_argument("--sample", type=int, default=0, help="mutants of each module, drawn by seed; 0: all")
    parser.add_argument("--seed", type=int, default=123)
    parser.add_argument("--seconds", type=float, default=300, help="a mutant whose tests run longer counts as caught")
    options = parser.parse_args()
    if wrong := [module for module in options.modules if module not in TESTS]:
        parser.error(f"{', '.join(wrong)}: no such module here; possible: {', '.join(TESTS)}")
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder)
        shutil.copytree(ROOT / "src" / "scratchlab", package / "scratchlab")
        for name in ("conf", "experiments"):  # where the wheel has them
            shutil.copytree(ROOT / name, package / "scratchlab" / name)
        sys.path.insert(0, str(package))
        sys.dont_write_bytecode = True  # two mutants of one second would share a file of bytecode
        os.environ["PYTHONPATH"] = str(package)
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        preload()
        table = []
        for module in options.modules or TESTS:
            every = mutants(module)
            as_it_is = Mutant(module, 0, "", ast.unparse(ast.parse((package / "scratchlab" / module).read_text())))
            if caught(as_it_is, package, options.seconds):
                sys.exit(
                    f"{module}: {', '.join(TESTS[module])} fail without any change, so they would catch everything"
                )
            chosen = random.Random(options.seed).sample(every, min(options.sample or len(every), len(every)))
            alive = [mutant for mutant in chosen if not caught(mutant, package, options.seconds)]
            for mutant in sorted(alive, key=lambda mutant: mutant.line):
                print(f"survived: {mutant.module}:{mutant.line}: {mutant.what}", flush=True)
            table.append((module, len(every), len(chosen), len(chosen) - len(alive)))
            print(f"{module}: {len(chosen) - len(alive)} of {len(chosen)} caught", flush=True)
        total, hits = sum(row[2] for row in table), sum(row[3] for row in table)
        print(f"{hits} of {total} mutants caught ({hits / max(total, 1):.1%})")


def preload() -> None:
    """Load what is slow once, and nothing of ours."""
    import hydra
    import numpy
    import pandas
    import pytest
    import scipy.stats
    import torch

    torch.set_num_threads(1)
    assert all((hydra, numpy, pandas, pytest, scipy))


if __name__ == "__main__":
    main()
