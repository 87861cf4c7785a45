"""One direction of flow: who may import whom."""

import ast
from pathlib import Path

import pytest

import scratchlab

SOURCE = Path(scratchlab.__file__).parent
LAYERS = [
    {"__init__", "book", "runs", "environment", "experiments", "files", "progress", "exercises"}
    | {"assets", "matching"},
    {"text", "train_config", "sampling_config", "judge_config", "prompts", "overlap", "data", "model"}
    | {"tracking", "record", "stats", "measured", "confounds"},
    {"train", "sampling", "evaluate", "judge", "judge_servers", "judging", "responses", "resume", "report", "verdicts"}
    | {"training", "evidence", "lint", "missing", "bundle", "goldens"},
    {"compose", "launch"},
    {"tasks"},
    {"cli"},
    {"__main__"},
]
ONLY_IN = {
    "hydra": {"compose", "launch", "cli", "__main__"},
    "wandb": {"tracking"},
    "tensorflow": {"model"},
}
MODULES = sorted(SOURCE.rglob("*.py"))


def part(path: Path) -> str:
    """The layer's name for a module: its file, or its package directly below scratchlab."""
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imports(path: Path) -> set[str]:
    """Every module a file imports, inside functions too; type-checking blocks aside."""
    found: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def level(name: str) -> int:
    return next(index for index, layer in enumerate(LAYERS) if name in layer)


@pytest.mark.parametrize("path", MODULES, ids=[str(p.relative_to(SOURCE)) for p in MODULES])
def test_a_module_imports_only_its_own_layer_and_those_below(path: Path) -> None:
    own = part(path)
    for name in imports(path):
        words = name.split(".")
        if (
            words[0] == "scratchlab"
            and len(words) > 1
            and (SOURCE / words[1]).with_suffix(".py").exists() | (SOURCE / words[1]).is_dir()
        ):
            allowed = level(words[1]) <= level(own)
            assert allowed, f"{own} imports {name}, which lies above it"
        if words[0] in ONLY_IN:
            assert own in ONLY_IN[words[0]], f"{own} imports {name}; only {ONLY_IN[words[0]]} may"


def test_data_and_model_never_import_each_other() -> None:
    for path in MODULES:
        if part(path) in ("data", "model"):
            other = "model" if part(path) == "data" else "data"
            assert not any(name.startswith(f"scratchlab.{other}") for name in imports(path)), path
