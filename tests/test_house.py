"""The building's own rules: one direction of flow, no cycles, small rooms, one training loop."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import scratchlab

SOURCE = Path(scratchlab.__file__).parent
LAYERS = [
    {"processes"},
    {"files", "progress", "matching"},
    {"stats", "assets"},
    {"runs"},
    {"book"},
    {"text"},
    {"data", "model"},
    {"evidence"},
    {"report"},
    {"judging"},
    {"generation"},
    {"training"},
    {"launch"},
    {"tasks"},
    {"cli"},
    {"api"},
    {"__main__"},
]
"""Folders, and the modules beside them, from the ground up: each imports only from the layers below its own."""
ONLY_IN = {
    "hydra": {"launch", "cli", "__main__"},
    "wandb": {"runs"},
    "tensorflow": {"model"},
}
MOST_LINES, LONGEST_FUNCTION, MOST_FLAT, LONGEST_TRAINING_TASK = 300, 60, 6, 150


def module(path: Path) -> str:
    """Dotted name below scratchlab; empty for the package itself."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path): path for path in sorted(SOURCE.rglob("*.py"))}
NAMES = [name for name in MODULES if name]


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def imported(name: str) -> Iterator[str]:
    """Everything a module imports by full dotted name: inside functions, for types only, and relative too."""
    package = f"scratchlab.{name}".rstrip(".").split(".")
    if MODULES[name].name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                yield ".".join([*base, alias.name])


@cache
def ours(name: str) -> frozenset[str]:
    """The modules of the package that a module imports."""
    found = set()
    for full in imported(name):
        if full == "scratchlab" or full.startswith("scratchlab."):
            inside = full.removeprefix("scratchlab").lstrip(".")
            while inside and inside not in MODULES:  # the last part may be a name in the module
                inside = inside.rpartition(".")[0]
            found.add(inside)
    return frozenset(found - {name, ""})


def room(name: str) -> str:
    return name.split(".")[0]


def level(name: str) -> int:
    return next(index for index, layer in enumerate(LAYERS) if room(name) in layer)


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other (strongly connected, more than one)."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for following in graph.get(waiting.pop(), set()) - seen:
                seen.add(following)
                waiting.append(following)
        reach[start] = seen
    groups = {frozenset(b for b in reach[a] if a in reach.get(b, set())) for a in graph if a in reach[a]}
    return sorted(sorted(group) for group in groups)


@pytest.mark.parametrize("name", NAMES)
def test_a_module_imports_only_its_own_folder_and_the_layers_below(name: str) -> None:
    for other in ours(name):
        assert room(other) == room(name) or level(other) < level(name), f"{name} imports {other}, which lies above it"
    for full in imported(name):
        library = full.split(".")[0]
        assert room(name) in ONLY_IN.get(library, {room(name)}), (
            f"{name} imports {library}; only {ONLY_IN[library]} may"
        )


def test_no_modules_and_no_folders_import_each_other_in_a_circle() -> None:
    assert cycles({name: set(ours(name)) for name in NAMES}) == []
    folders: dict[str, set[str]] = {}
    for name in NAMES:
        folders.setdefault(room(name), set()).update(room(other) for other in ours(name) if room(other) != room(name))
    assert cycles(folders) == []


def test_the_rules_see_relative_imports_imports_for_types_and_circles() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert cycles({"a": {"b"}, "b": set()}) == []
    for_types = [name for name in NAMES if "TYPE_CHECKING" in MODULES[name].read_text(encoding="utf-8")]
    assert any("evidence.runs" in ours(name) for name in for_types)


def test_a_relative_import_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODULES, "training.made_up", SOURCE / "training" / "made_up.py")
    monkeypatch.setitem(globals(), "tree", lambda name: ast.parse("from ..tasks import classify\nfrom . import fit\n"))
    assert set(imported("training.made_up")) == {"scratchlab.tasks.classify", "scratchlab.training.fit"}


def test_few_modules_lie_beside_the_folders() -> None:
    flat = [name for name in NAMES if "." not in name and MODULES[name].name not in ("__init__.py", "__main__.py")]
    assert len(flat) <= MOST_FLAT, flat


@pytest.mark.parametrize("name", MODULES)
def test_files_and_functions_are_short(name: str) -> None:
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


def test_there_is_one_training_loop_beside_the_small_network_s() -> None:
    loops = [name for name in NAMES for node in ast.walk(tree(name)) if _calls(node, "Steps")]
    assert loops == ["tasks.network", "training.fit"]
    stepping = {name for name in NAMES for node in ast.walk(tree(name)) if _calls(node, "backward")}
    assert stepping == {"training.steps"}


def _calls(node: ast.AST, name: str) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    return name == (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", ""))


@pytest.mark.parametrize("name", ["classify", "instruct", "pretrain"])
def test_a_training_task_is_short(name: str) -> None:
    assert len(MODULES[f"tasks.{name}"].read_text(encoding="utf-8").splitlines()) < LONGEST_TRAINING_TASK


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("tasks.")])
def test_no_task_imports_another(name: str) -> None:
    assert not [other for other in ours(name) if other.startswith("tasks.")]
