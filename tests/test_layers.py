"""One direction of flow: who may import whom."""

import ast
from pathlib import Path

import pytest

import scratchlab

SOURCE = Path(scratchlab.__file__).parent
LAYERS = [
    {"__init__", "run", "runs", "environment", "experiments", "files", "progress", "claims", "exercises", "ablation"},
    {"text", "train_config", "sampling_config", "judge_config", "prompts", "overlap", "data", "model"}
    | {"tracking", "record", "stats", "measured", "confounds"},
    {"train", "sampling", "evaluate", "judge", "judge_servers", "judging", "responses", "resume", "report", "verdicts"}
    | {"training", "evidence", "lint", "plan", "bundle", "goldens"},
    {"tasks"},
    {"compose", "launch"},
    {"cli"},
    {"__main__"},
]
PLANS = {("tasks", "compose")}
"""A task that makes runs composes them first, inside its function, so that a mistake is found before the first one."""
ONLY_IN = {
    "hydra": {"compose", "cli", "__main__"},
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
            allowed = level(words[1]) <= level(own) or (own, words[1]) in PLANS
            assert allowed, f"{own} imports {name}, which lies above it"
        if words[0] in ONLY_IN:
            assert own in ONLY_IN[words[0]], f"{own} imports {name}; only {ONLY_IN[words[0]]} may"


def test_data_never_imports_model_and_model_never_imports_data_sets() -> None:
    for path in MODULES:
        names = imports(path)
        if part(path) == "data":
            assert not any(name.startswith("scratchlab.model") for name in names), path
        if part(path) == "model":
            others = {
                n for n in names if n.startswith("scratchlab.data.") and not n.startswith("scratchlab.data.assets")
            }
            assert not others, path
