"""A run's identity: what the fingerprint covers, said at the fields, and that it lasts."""

import copy
import json
from collections.abc import Iterator
from dataclasses import field, fields, is_dataclass, make_dataclass, replace
from enum import Enum
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

import pytest
import yaml
from hydra import compose as hydra_compose
from hydra import initialize
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf
from synthetic import write_run

from scratchlab.book import experiments
from scratchlab.data.config import MessagesConfig
from scratchlab.evidence.runs import arms, read_run, read_runs
from scratchlab.launch import compose
from scratchlab.model.config import Trainable, TuneConfig, WeightSource
from scratchlab.model.shapes import Family
from scratchlab.runs import identity, record, registry
from scratchlab.runs.claim import Claim
from scratchlab.runs.config import ComputeConfig, Run
from scratchlab.runs.identity import added, bookkeeping, fingerprint, matters
from scratchlab.runs.registry import TASKS
from scratchlab.tasks.attention import Variant
from scratchlab.tasks.tokenize import Tokenize
from scratchlab.training import trained as trained_runs
from scratchlab.training.config import Decay

PINNED = json.loads((Path(__file__).parent / "fingerprints.json").read_text())
"""The fingerprints of every shipped experiment, and of every task as it is (with what `LINES` must add).

A line may change when a task's `revision` is raised, because its numbers changed, or when the experiment itself is set
otherwise. A new experiment or task is a new line. Nothing else is a reason: a line that changes orphans the records of
everyone who has run it. A new field is `added`, and changes none.
"""
LINES = {"judge": ["responses=a"], "export": ["run=a"]}
"""What a task cannot be composed without; `files` lays it down."""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What keys may name: runs `a` and `b` with responses and a model, files `f` and `fx`."""
    for name in ("a", "b"):
        (tmp_path / name / "checkpoint").mkdir(parents=True)
        for file in (record.CONFIG, record.MODEL, "responses.json"):
            (tmp_path / name / file).touch()
    for name in ("f", "fx"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


@cache
def published(name: str) -> Run:
    return compose.compose([f"experiment={name}"])


ONE_OF_EACH = sorted({experiment.task: name for name, experiment in experiments.read_all().items()}.values())
"""An experiment of each task that has one; `test_experiments.py` holds the fingerprints of all of them."""


def test_the_fingerprint_of_every_task_is_as_it_was(files: None) -> None:
    found = {name: fingerprint(compose.compose([f"task={name}", *LINES.get(name, [])])) for name in TASKS}
    assert found == PINNED["tasks"]


# every field of every task


LLAMA = {
    "family": Family.llama,
    "vocab_size": 49152,
    "n_kv_heads": 2,
    "ff_dim": 128,
    "rope_theta": 1e5,
    "norm_eps": 1e-5,
    "qkv_bias": False,
    **dict.fromkeys(("drop_rate_emb", "drop_rate_shortcut", "drop_rate_attn"), 0.0),
}
OF_A_FILE = ("path", "text", "label", "split_column")
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "TuneConfig.lora_rank": ({"trainable": Trainable.lora, "lora_rank": 8, "lora_alpha": 8.0}, {"lora_rank": 4}),
    "TuneConfig.lora_alpha": ({"trainable": Trainable.lora, "lora_rank": 8, "lora_alpha": 8.0}, {"lora_alpha": 4.0}),
    "TuneConfig.lora_scaling": ({"trainable": Trainable.lora, "lora_rank": 8, "lora_alpha": 8.0}, {}),
    "TuneConfig.train_head": ({"trainable": Trainable.lora, "lora_rank": 8, "lora_alpha": 8.0}, {}),
    "ModelConfig.family": ({}, LLAMA),
    **{f"ModelConfig.{key}": (LLAMA, {}) for key in ("n_kv_heads", "ff_dim", "rope_theta", "norm_eps")},
    "WeightsConfig.source": ({}, {"source": WeightSource.checkpoint, "path": "f"}),
    "WeightsConfig.path": ({"source": WeightSource.checkpoint, "path": "f"}, {}),
    "CorpusConfig.path": ({"source": "file", "path": "f"}, {}),
    "CorpusConfig.source": ({}, {"source": "file", "path": "f"}),
    "MessagesConfig.size": ({"source": "messages", "size": 200}, {}),
    "MessagesConfig.source": ({}, {"source": "messages", "size": 200}),
    **{f"MessagesConfig.{key}": ({"source": "file", "path": "f"}, {}) for key in OF_A_FILE},
    "InstructionsConfig.source": ({}, {"source": "alpaca"}),
    "InstructionsConfig.path": ({"source": "file", "path": "f"}, {}),
    "PretrainTraining.initial_lr": ({"warmup": 5}, {}),
    "PretrainTraining.min_lr": ({"decay": Decay.cosine}, {}),
    "Pretrain.load_optimizer": ({"continue_run": "a"}, {}),
    "Attention.tokens": ({"d_in": 4}, {}),
    "Attention.transfer": ({"variant": Variant.parameters}, {}),
    "Chat.input": ({"text": "a"}, {}),
    "SampleCounts.word": ({}, {"word": "you"}),
    "Where.metric": ({}, {"metric": "val_accuracy"}),
}
"""Where a field alone cannot be changed: what to set beside it first, and the change, where no other value will do."""
ONE_VALUE = {f"model.{key}" for key in ("vocab_size", "family", "n_kv_heads", "ff_dim", "rope_theta", "norm_eps")}
"""Keys that have one legal value in some tasks; there they are changed unchecked."""


def leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Every field that holds a value: (dotted prefix, its dataclass, its name)."""
    for part in fields(config):
        if is_dataclass(inner := getattr(config, part.name)):
            yield from leaves(inner, f"{prefix}{part.name}.")
        else:
            yield prefix, config, part.name


def others(value: Any, hint: Any) -> Iterator[Any]:
    """Other values of a type, legal or not."""
    if isinstance(hint, UnionType) or hint is Any:
        for kind in get_args(hint) or (int, str):
            yield from others(value if isinstance(value, kind) else kind(), kind)
    elif get_origin(hint) is list:
        (kind,) = get_args(hint)
        for item in others(value[0] if value else None, kind):
            yield [item, *value[1:]]
    elif hint is Claim:
        yield Claim(metric="test_accuracy", value=1.0, source="made up")
    elif hint is bool:
        yield not value
    elif isinstance(hint, type) and issubclass(hint, Enum):
        yield from (member for member in hint if member is not value)
    elif hint is str:
        yield from (f"{value or ''}x", "b")
    elif hint is int:
        yield from (n for n in (1, 2, 3, 64, 200, 2 * (value or 0)) if n != value)
    elif hint is float:
        yield from (n for n in (0.5, 0.25, 1e-6, 200.0) if n != value)


def with_values(config: Any, values: dict[str, Any]) -> Any:
    """A copy with other values by dotted key, checked as a whole."""
    inner: dict[str, dict[str, Any]] = {}
    own = {key: value for key, value in values.items() if "." not in key}
    for key, value in values.items():
        head, dot, rest = key.partition(".")
        if dot:
            inner.setdefault(head, {})[rest] = value
    return replace(config, **own, **{head: with_values(getattr(config, head), rest) for head, rest in inner.items()})


def legal_pair(config: Run, prefix: str, owner: Any, name: str) -> tuple[Run, Run]:
    """Two configurations that differ in this field, and in no other where that can be."""
    key, hint = f"{prefix}{name}", get_type_hints(type(owner))[name]
    before, after = PAIRS.get(f"{type(owner).__name__}.{name}", ({}, {}))
    if key in ONE_VALUE and config.task in ("count", "dropout", "flops"):
        before, after = {}, {}  # about the book's GPT alone
    base = with_values(config, {f"{prefix}{key}": value for key, value in before.items()})
    if after:
        return base, with_values(base, {f"{prefix}{key}": value for key, value in after.items()})
    for value in others(before.get(name, getattr(owner, name)), hint):
        try:
            return base, with_values(base, {key: value})
        except (ValueError, FileNotFoundError):
            continue
    if key in ONE_VALUE:
        other = copy.deepcopy(base)
        setattr(other.model, name, next(others(getattr(owner, name), hint)))  # type: ignore[attr-defined]
        return base, other
    raise AssertionError(f"{config.task}: no legal other value of {key} is known; add it to PAIRS")


def free(task: str) -> Run:
    """The task as it is, with the options that leave most fields free to change."""
    options = experiments.task_options(task)
    chosen = {"weights": "random", "judge": "ollama"}
    return compose.compose(
        [f"task={task}", *LINES.get(task, []), *(f"{k}={v}" for k, v in chosen.items() if k in options)]
    )


@pytest.mark.parametrize("task", TASKS)
def test_every_field_changes_the_fingerprint_unless_it_is_marked_or_has_no_effect(task: str, files: None) -> None:
    config = free(task)
    for prefix, owner, name in leaves(config):
        key = f"{prefix}{name}"
        one, other = legal_pair(config, prefix, owner, name)
        assert identity.flatten(one)[key] != identity.flatten(other)[key], key
        if any(f"{key}.".startswith(f"{mark}.") for mark in LEFT_OUT):
            assert fingerprint(one) == fingerprint(other), f"{key} is bookkeeping, and changes the fingerprint"
            assert key not in matters(one)
        elif key in other.idle():
            assert fingerprint(one) == fingerprint(other), f"{key} has no effect, and changes the fingerprint"
        else:
            assert fingerprint(one) != fingerprint(other), f"{key} does not change the fingerprint"
            assert matters(one).get(key) != matters(other).get(key), key


LEFT_OUT = (
    *("plan", "retry", "fail_fast", "metrics"),
    *("name", "exercise", "out", "force", "optimize", "tracking", "claims", "compute.threads", "save"),
    *("checkpoint_minutes", "compute.checkpoint_activations", "compute.shard"),
    *("compute.reuse_frozen", "compute.frozen_gigabytes", "compute.only_needed"),
    *(f"judge.{key}" for key in ("timeout", "load_timeout", "retries", "wait", "concurrency")),
)
"""All that is marked in any task, written a second time, so that a mark too many is seen as well as one too few."""


@pytest.mark.parametrize("task", TASKS)
def test_what_is_marked_at_a_task_s_fields_is_what_is_known_to_change_no_number(task: str) -> None:
    schema = TASKS[task].schema()
    keys = {mark for mark in LEFT_OUT if _has(schema, mark)}
    assert set(identity.marks(schema).bookkeeping) == keys
    later = ("family", "n_kv_heads", "ff_dim", "rope_theta", "norm_eps") if "model" in get_type_hints(schema) else ()
    known = {"debug"} | {f"model.{key}" for key in later}
    known |= {f"data.{key}" for key in OF_A_FILE} if get_type_hints(schema).get("data") is MessagesConfig else set()
    known |= {"tune.train_head"} if "tune" in get_type_hints(schema) else set()
    known |= {"classes", *(f"tune.{part.name}" for part in fields(TuneConfig))} if task == "count" else set()
    assert set(identity.marks(schema).as_before) == known, "pin the fingerprints with the field as before, and without"


def _has(schema: Any, key: str) -> bool:
    head, _, rest = key.partition(".")
    hints = get_type_hints(schema)
    return head in {part.name for part in fields(schema)} and (not rest or _has(hints[head], rest))


# what comes later


def younger(schema: type[Run]) -> type[Any]:
    """The task as a later version may have it: with new fields at its root and deeper, and a whole new part."""
    part = make_dataclass("Part", [("size", int, 3), ("place", str, bookkeeping("here"))], kw_only=True)
    compute = make_dataclass("YoungerCompute", [("reuse", int, added(0))], bases=(ComputeConfig,), kw_only=True)
    return make_dataclass(
        f"Younger{schema.__name__}",
        [
            ("compute", compute, field(default_factory=compute)),
            ("later", bool, added(False)),
            ("kinds", list[str], added(default_factory=lambda: ["a"])),
            ("fast", bool, added(True, as_before=False)),
            ("part", part, added(default_factory=part)),
            ("note", str, bookkeeping("")),
        ],
        bases=(schema,),
        kw_only=True,
    )


def grown(config: Run, **values: Any) -> Any:
    """The same run in the later version."""
    schema = younger(type(config))
    compute = get_type_hints(schema)["compute"](**vars(config.compute))
    return schema(**(vars(config) | {"compute": compute, "fast": False} | values))


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_field_that_comes_later_leaves_the_fingerprint_of_what_was_there(name: str) -> None:
    config = published(name)
    later = grown(config)
    assert fingerprint(later) == PINNED["experiments"][name]
    assert fingerprint(replace(later, note="x", part=replace(later.part, place="there"))) == fingerprint(later)
    others = [
        replace(later, later=True),
        replace(later, kinds=["b"]),
        replace(later, fast=True),  # the default of the later version, which is not what runs did before
        replace(later, part=replace(later.part, size=4)),
        replace(later, compute=replace(later.compute, reuse=1)),
    ]
    assert len({fingerprint(other) for other in [later, *others]}) == 6


def test_a_later_field_without_effect_counts_as_little_as_one_that_is_not_there() -> None:
    class Idle(younger(Tokenize)):  # type: ignore[misc]
        def idle(self) -> dict[str, str]:
            return {"kinds": "nothing reads them"}

    config = Idle(name="x", fast=False, kinds=["b", "c"])
    assert fingerprint(config) == fingerprint(Tokenize(name="x"))


def test_marks_survive_composition_by_hydra() -> None:
    schema = younger(Tokenize)
    ConfigStore.instance().store(name="younger", node=schema)
    with initialize(version_base="1.3", config_path=None):
        as_then, now = (
            OmegaConf.to_object(hydra_compose("younger", ["name=x", "note=y", "compute.threads=3", f"fast={fast}"]))
            for fast in ("false", "true")
        )
    assert isinstance(as_then, schema) and isinstance(now, schema)
    assert fingerprint(as_then) == fingerprint(Tokenize(name="other")) != fingerprint(now)
    assert set(identity.marks(type(now)).bookkeeping) > {"note", "part.place", "compute.threads"}


def test_a_record_from_before_a_field_was_there_is_of_one_arm_with_one_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = younger(TASKS["classify"].schema())
    monkeypatch.setattr(registry, "schema_of", lambda task: schema)
    before = {"position": "last", "compute": {"threads": 1}}
    after = before | {"fast": False, "later": False, "part": {"size": 3, "place": "there"}, "note": "x"}
    for seed, config in ((123, before), (124, after), (125, after | {"fast": True})):
        write_run(tmp_path, "one", seed, 0.9, config=config)
    assert sorted(arm.seeds for arm in arms(read_runs(tmp_path))) == [[123, 124], [125]]


def test_a_trained_run_from_before_a_field_was_there_is_read_as_it_was(tmp_path: Path) -> None:
    config = published("ch06_row10_random")
    (tmp_path / record.CONFIG).write_text(yaml.safe_dump(identity.plain(config)))
    read: Any = trained_runs.read_config(tmp_path, younger(TASKS["classify"].schema()))
    assert (read.fast, read.later, read.part.size, read.position) == (False, False, 3, config.position)  # type: ignore[attr-defined]
    assert fingerprint(read) == PINNED["experiments"]["ch06_row10_random"]


# the rest of the fingerprint


def test_a_raised_revision_is_another_run_and_only_for_that_task() -> None:
    class Revised(Tokenize):
        revision: ClassVar[int] = 2

    assert fingerprint(Revised(name="x")) != fingerprint(Tokenize(name="x"))


def test_the_version_of_the_package_is_no_part_of_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scratchlab.__version__", "99.0")
    assert fingerprint(published("ch02_1_unknown_words")) == PINNED["experiments"]["ch02_1_unknown_words"]


@pytest.mark.parametrize("key", ["train.weight_decay", "train.epochs", "model.drop_rate_emb"])
def test_numbers_that_are_equal_are_one_in_python_too(key: str) -> None:
    base = with_values(published("ch06_row10_random"), {"train.weight_decay": 0.0})
    number = identity.flatten(base)[key]
    assert fingerprint(with_values(base, {key: int(number)})) == fingerprint(with_values(base, {key: float(number)}))


def test_true_is_not_the_number_one() -> None:
    base = published("ch02_1_unknown_words")
    one, true = (with_values(base, {"text": value}) for value in (1, True))
    assert fingerprint(one) != fingerprint(true)


def test_a_record_of_an_unknown_task_is_read_by_what_all_runs_have(tmp_path: Path) -> None:
    config = {"out": "x", "tracking": {"mode": "none"}, "compute": {"threads": 2, "device": "cpu"}, "save": True}
    run = read_run(write_run(tmp_path, "one", 123, task="of_another_version", config=config))
    assert run.acting == {"compute.device": "cpu", "save": True}
    assert registry.schema_of("of_another_version") is Run
