"""Every metric is declared once, and what is declared decides how it is printed, compared and judged."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import GENERATED, TINY, real
from synthetic import write_run

import scratchlab
from scratchlab.__main__ import run
from scratchlab.assets import catalogue
from scratchlab.book import claims, experiments
from scratchlab.evidence import compare, confounds, goldens
from scratchlab.evidence.baseline import choose_baseline, choose_metric
from scratchlab.evidence.runs import arms, by_name, read_run, read_runs
from scratchlab.evidence.verdicts import Decision, Verdict, decide
from scratchlab.judging import scores
from scratchlab.launch import compose
from scratchlab.report import tables
from scratchlab.runs import metrics
from scratchlab.runs.metrics import METRICS, Act, Better, Metric, Unit, metric
from scratchlab.runs.registry import TASKS

SEEDS = (123, 124, 125)
H100, CPU = "cuda NVIDIA H100", "cpu AVX2 2 threads"
SHAPE = ["weights=random", "model.emb_dim=16", "model.n_heads=2", "model.n_layers=1", "model.context_length=32"]
TRAINED = [*TINY, "model.emb_dim=16", "model.n_layers=1", "train.eval_batches=1"]
ENTRIES = ["data=entries", "data.path=mine.json"]

TASK_RUNS: dict[str, list[str]] = {
    "tokenize": ["task=tokenize"],
    "bpe": ["task=bpe", "data=text", "data.path=mine.txt", "vocab_size=300", "text=It was cold"],
    "attention_ways": ["task=attention_ways", "batch_size=2", "tokens=8", "emb_dim=16", "num_heads=2", "repeats=1"],
    "flops": ["task=flops", "tokens_per_second=[100]"],
    "kv_cache": ["task=kv_cache", "latent_dim=64", "window=1024"],
    "experts": ["task=experts"],
    "cached_text": ["task=cached_text", *SHAPE[1:], "max_new_tokens=4"],
    "grid": ["task=grid", "data=text", "data.path=mine.txt", "max_length=16"],
    "judges": ["task=judges"],
    "windows": ["task=windows", "data=text", "data.path=mine.txt"],
    "attention": ["experiment=ch03_1_weight_transfer"],
    "count": ["task=count", *SHAPE[1:]],
    "dropout": ["task=dropout", "sequences=8", "model.vocab_size=97", *SHAPE[1:]],
    "sample_counts": ["experiment=ch05_1_pizza"],
    "sampling_grid": [
        *("experiment=ch05_2_sampling_grid", *SHAPE, "temperatures=[0.1,1.4]", "top_ks=[5,20]", "texts=2"),
        "max_new_tokens=4",
    ],
    "deterministic": ["experiment=ch05_3_deterministic", *SHAPE, "sampling.max_new_tokens=4"],
    "generate": ["task=generate", *SHAPE, "model.qkv_bias=false", "sampling.max_new_tokens=4"],
    "matmul": ["task=matmul", "compute.device=cpu", "repeats=4", "loops=1", "warmup=0"],
    "network": ["task=network"],
    "score": ["task=score", "data=text", "data.path=mine.txt", *SHAPE, "model.qkv_bias=false", "max_length=16"],
    "pretrain": [
        *("task=pretrain", "data=text", "data.path=mine.txt", *TRAINED, "model.context_length=16", "train.epochs=1"),
        "sampling.max_new_tokens=4",
    ],
    "classify": ["task=classify", *GENERATED, *TRAINED, "save=true", "name=messages"],
    "instruct": [
        *("experiment=ch07_1_phi3", "name=answers", *ENTRIES, *TRAINED, "train.epochs=1", "train.batch_size=4"),
        "sampling.max_new_tokens=4",
    ],
    "preview": ["task=preview", *ENTRIES, "entries=1"],
    "chat": ["task=chat", "run=messages", "text=hello"],
    "export": ["task=export", "run=messages"],
    "judge": ["task=judge"],
    "calibrate": ["task=calibrate"],
    "compare": ["task=compare", "select=made_*", "texts=false"],
    "report": ["task=report", "select=made_*"],
    "reproduce": ["task=reproduce", "select=made_*"],
    "golden": ["task=golden", "select=made_*", "reason=first"],
    "bundle": ["task=bundle", "select=made_*"],
    "verify": ["task=verify"],
    "coverage": ["task=coverage"],
    "lint": ["task=lint"],
    "sync": ["task=sync", "tracking.mode=offline", "select=messages", "verify=true"],
    "where": ["task=where", "of=ch06_*", "value=0.95"],
    "list": ["task=list"],
    "cache": ["task=cache"],
}
"""One small run of every task."""
BEFORE = {
    "chat": ("classify", ""),
    "sync": ("classify", ""),
    "export": ("classify", ""),
    "judge": ("instruct", "responses=outputs/answers/*/responses.json"),
    "verify": ("bundle", "bundle=outputs/bundle/*/bundle.zip"),
}
"""The task whose run comes before, and how what it left is given."""
NOT_RUN_HERE: dict[str, list[str]] = {"ablate": ["arms", "runs", "failed", "metric"], "doctor": []}
"""Tasks that start processes of their own or ask the network, and what they return."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("metrics")
    words = "It was a cold day and nobody had thought of bringing a coat, so they all went home again.".split()
    (folder / "mine.txt").write_text(" ".join(words[number * number % len(words)] for number in range(400)))
    entries = [
        {"instruction": f"Say {words[i % 19]}.", "input": "", "output": " ".join(words[: 1 + i % 9])} for i in range(40)
    ]
    (folder / "mine.json").write_text(json.dumps(entries))
    for name, accuracy in (("made_baseline", 0.95), ("made_variant", 0.9)):
        for seed in SEEDS:
            claim = {"metric": "test_accuracy", "kind": "score", "value": 0.95, "n": 300, "source": "made up"}
            write_run(folder / "outputs", name, seed, accuracy, claims=[claim])
    return folder


def judged(*_: Any, **__: Any) -> scores.Scores:
    """What a judge would give who finds every one of the 100 published responses worth a 50, but for one."""
    return scores.Scores({"model": "made up"}, ["50"] * 100, [50] * 99 + [40])


@pytest.mark.vocabulary
@pytest.mark.parametrize("task", TASK_RUNS)
def test_whatever_a_task_returns_is_declared(task: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    words = list(TASK_RUNS[task])
    if task in BEFORE:
        first, given = BEFORE[task]
        run(compose.compose(TASK_RUNS[first]))
        key, _, files = given.partition("=")
        words += [f"{key}={path}" for path in list(Path().glob(files))[:1]] if given else []
    if task in ("calibrate", "judges"):
        for asset in catalogue.JUDGED.values():
            real(asset)
    if task in ("judge", "calibrate"):
        monkeypatch.setattr(scores, "check", lambda config: None)
        monkeypatch.setattr(scores, "score", judged)
    made = run(compose.compose(words))
    assert made["metrics"] and not [name for name in made["metrics"] if name not in METRICS]
    if TASKS[task].schema().recorded:
        assert not read_run(Path(made["folder"])).problems


def test_every_task_is_run_here_or_named_with_what_it_returns() -> None:
    assert {*TASK_RUNS, *NOT_RUN_HERE} == set(TASKS)
    assert all(name in METRICS for names in NOT_RUN_HERE.values() for name in names)


def test_every_claim_is_about_a_declared_metric() -> None:
    stated = claims.of(experiments.read_all().values())
    assert len(stated) > 100
    assert {s.claim.metric for s in stated} <= set(METRICS)


def test_what_a_verdict_or_a_finding_counts_is_declared() -> None:
    assert {verdict.name for verdict in Verdict} <= set(METRICS)


def test_declarations_name_only_declared_metrics_and_no_place_twice() -> None:
    assert {name for one in METRICS.values() for name in one.lost_with} <= set(METRICS)
    for places in ([m.preferred for m in METRICS.values()], [m.column for m in METRICS.values()]):
        taken = [place for place in places if place]
        assert len(set(taken)) == len(taken) > 0
    assert all(one.split for one in METRICS.values() if one.items or one.from_predictions)


TELLING = {"endswith", "startswith", "removesuffix", "removeprefix", "split", "rsplit", "partition", "rpartition"}


def guesses(path: Path) -> list[str]:
    """Lines in which something is told from parts of a metric's name."""

    def is_a_metric(node: ast.expr) -> bool:
        return isinstance(node, ast.Name | ast.Attribute) and (
            (node.id if isinstance(node, ast.Name) else node.attr) in ("metric", "metric_name")
        )

    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in TELLING
        if called and is_a_metric(node.func.value):  # type: ignore[attr-defined]
            found.append(f"{path.name}:{node.lineno}")
        held = isinstance(node, ast.Compare) and isinstance(node.left, ast.Constant)
        if held and any(isinstance(op, ast.In) for op in node.ops) and any(map(is_a_metric, node.comparators)):
            found.append(f"{path.name}:{node.lineno}")
    return found


def test_nothing_is_told_from_a_metrics_name(tmp_path: Path) -> None:
    source = Path(scratchlab.__file__).parent
    assert [line for path in sorted(source.rglob("*.py")) for line in guesses(path)] == []
    (tmp_path / "bad.py").write_text('a = metric.endswith("loss")\nb = "accuracy" in claim.metric\nc = metric == "x"\n')
    assert guesses(tmp_path / "bad.py") == ["bad.py:1", "bad.py:2"]


def verdict(out: Path, **claim: Any) -> Decision:
    stated = claims.Stated("variant", claims.parse({"source": "made up"} | claim, "test"))
    return decide(stated, by_name(read_runs(out)), experiments.read_all())


def rows(out: Path, name: str) -> dict[str, dict[str, Any]]:
    found = arms(read_runs(out))
    return {row["name"]: row for row in compare.rows(found, choose_baseline(found, "baseline"), name)}


def pair(out: Path, name: str, ours: float, theirs: float, variant: dict[str, Any], baseline: dict[str, Any]) -> None:
    """Two arms with three seeds each; `variant` and `baseline` say what else their records hold."""
    for arm, value, more in (("variant", ours, variant), ("baseline", theirs, baseline)):
        for place, seed in enumerate(SEEDS):
            held = {name: value + place * value / 1000} | more.get("metrics", {})
            write_run(out, arm, seed, **{**more, "metrics": held})


LOWER = {"kind": "relation", "versus": "baseline", "direction": "lower"}


def test_a_time_on_another_device_says_nothing_about_a_setting(tmp_path: Path) -> None:
    pair(tmp_path, "train_seconds", 10.0, 100.0, {"device": H100}, {"device": CPU})
    found = verdict(tmp_path, metric="train_seconds", **LOWER)
    assert found.verdict is Verdict.NOT_COMPARABLE and "H100" in found.reason and CPU in found.reason
    row = rows(tmp_path, "train_seconds")["variant"]
    assert row["delta"] is None and row["finding"] == "not comparable" and "H100" in row["not_comparable"]


def test_times_on_one_device_are_compared_and_on_unnamed_ones_not(tmp_path: Path) -> None:
    pair(tmp_path / "one", "train_seconds", 10.0, 100.0, {"device": CPU}, {"device": CPU})
    assert verdict(tmp_path / "one", metric="train_seconds", **LOWER).verdict is Verdict.REPRODUCED
    assert rows(tmp_path / "one", "train_seconds")["variant"]["finding"] == "lower"
    pair(tmp_path / "none", "train_seconds", 10.0, 100.0, {"device": ""}, {"device": ""})
    assert verdict(tmp_path / "none", metric="train_seconds", **LOWER).verdict is Verdict.NOT_COMPARABLE


def test_a_published_time_is_held_only_against_its_own_device(tmp_path: Path) -> None:
    pair(tmp_path, "train_seconds", 10.0, 10.0, {"device": H100}, {"device": H100})
    said = {"metric": "train_seconds", "kind": "score", "value": 10.0, "max_halfwidth": 1.0}
    assert verdict(tmp_path, **said).verdict is Verdict.NOT_COMPARABLE
    assert verdict(tmp_path, **said, device="V100").verdict is Verdict.NOT_COMPARABLE
    assert verdict(tmp_path, **said, device="H100").verdict is Verdict.REPRODUCED


@pytest.mark.parametrize("name", ["token_saving", "entry_tokens_mean", "low_entropy_bits", "response_words", "answers"])
def test_another_judge_is_nothing_to_what_no_judge_scores(tmp_path: Path, name: str) -> None:
    judges = [{"metrics": {"judge": {"model": model}}} for model in ("llama3", "gpt-4")]
    pair(tmp_path, name, 0.3, 0.4, *judges)
    assert verdict(tmp_path, metric=name, **LOWER).verdict is Verdict.REPRODUCED
    assert rows(tmp_path, name)["variant"]["confounds"] == []
    alone = {"metric": name, "kind": "close", "value": 0.3}
    assert verdict(tmp_path, **alone, judge="model=gpt-4").verdict is Verdict.REPRODUCED


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"config": {"mask_instruction": True}}, {"config": {"mask_instruction": False}}),
        ({"config": {"prompt": {"question": "<|user|>"}}}, {"config": {"prompt": {"question": "### Instruction"}}}),
        ({"metrics": {"targets": 900}}, {"metrics": {"targets": 1000}}),
    ],
)
def test_losses_over_other_targets_are_not_compared(
    tmp_path: Path, ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    pair(tmp_path, "val_loss", 0.5, 0.9, ours, theirs)
    found = verdict(tmp_path, metric="val_loss", **LOWER)
    assert found.verdict is Verdict.NOT_COMPARABLE and "other targets" in found.reason
    row = rows(tmp_path, "val_loss")["variant"]
    assert row["finding"] == "not comparable" and row["delta"] is None
    assert "other targets" in tables.notes(row)


def test_where_losses_cannot_be_compared_what_can_be_is_taken(tmp_path: Path) -> None:
    for name, masked in (("baseline", False), ("variant", True)):
        for seed in SEEDS:
            held = {"test_loss": 0.5, "val_loss": 0.5, "rouge_l": 0.4, "chrf": 0.3}
            write_run(tmp_path, name, seed, metrics=held, config={"mask_instruction": masked})
    found = arms(read_runs(tmp_path))
    assert choose_metric(found, found[0], "") == "chrf"
    assert choose_metric(found[:1], found[0], "") == "test_loss"
    assert choose_metric(found, found[0], "val_loss") == "val_loss"


def test_what_nobody_declared_is_shown_and_never_judged_or_preferred(tmp_path: Path) -> None:
    pair(tmp_path, "elegance", 0.5, 0.9, {}, {})
    for kind in ({"kind": "close", "value": 0.5}, {"kind": "score", "value": 0.5}, LOWER):
        found = verdict(tmp_path, metric="elegance", **kind)
        assert found.verdict is Verdict.NOT_COMPARABLE and "not declared in runs/metrics.py" in found.reason
        assert found.measured == pytest.approx(0.5, rel=0.01)
    assert metric("elegance").shown(0.5) == "0.5"
    both = arms(read_runs(tmp_path))
    with pytest.raises(ValueError, match="not declared in runs/metrics.py: metric=elegance"):
        choose_metric(both, both[0], "")
    assert choose_metric(both, both[0], "elegance") == "elegance"
    row = rows(tmp_path, "elegance")["variant"]
    assert row["metrics"]["elegance"]["mean"] == pytest.approx(0.5, rel=0.01)
    assert any("elegance is not declared" in note for note in row["notes"])


def test_a_new_metric_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    f1 = Metric("test_f1", Unit.fraction, Better.higher, split="test", cap=0.03, preferred=99, column=99)
    monkeypatch.setitem(METRICS, "test_f1", f1)
    pair(tmp_path, "test_f1", 0.5, 0.9, {}, {})
    found = arms(read_runs(tmp_path))
    assert choose_metric(found, found[0], "") == "test_f1"
    columns, cells = tables.cells(list(rows(tmp_path, "test_f1").values()), "test_f1")
    line = dict(zip(columns, cells[1], strict=True))
    assert line["test f1"] == "50.05 ± 0.05" and line["difference"] == "-40.04"
    beside, _ = tables.cells(list(rows(tmp_path, "elegance").values()), "elegance")
    assert "test f1" in beside
    assert verdict(tmp_path, metric="test_f1", **LOWER).reason.startswith("-40.04 points against baseline")
    near = verdict(tmp_path, metric="test_f1", kind="score", value=0.5, n=300)
    assert near.verdict is Verdict.REPRODUCED and "3.00 points to each side" in near.test


def test_numbers_are_printed_in_their_unit() -> None:
    accuracy, loss, seconds = metric("test_accuracy"), metric("val_loss"), metric("train_seconds")
    assert (accuracy.shown(0.95), accuracy.difference(-0.01), accuracy.width(0.03)) == (
        *("95.00%", "-1.00 points", "3.00 points"),
    )
    assert (accuracy.cell(0.95), accuracy.difference_cell(0.01)) == ("95.00", "+1.00")
    assert (loss.shown(0.5), loss.difference(-0.01), loss.cell(0.5)) == ("0.5", "-0.01", "0.500")
    assert (seconds.shown(12.5), seconds.cell(12.34)) == ("12.5", "12.3")
    assert metric("token_saving").shown(0.31) == "31.00%" and metric("chrf").cell(0.5) == "50.00"
    assert metric("parameters").shown(163009536) == "163,009,536"
    assert metric("cpu_seconds_median").cell(0.0000638) == "0.0000638"
    assert metric("ways_equal").shown(True) == "True" and metric("judge_score").shown(None) == "-"


def test_the_run_behind_a_metric_diverged_where_its_declared_companions_say_so(tmp_path: Path) -> None:
    pair(tmp_path, "token_saving", 0.3, 0.4, {"metrics": {"train_loss": "nan"}}, {})
    assert verdict(tmp_path, metric="token_saving", **LOWER).verdict is Verdict.REPRODUCED
    broken = {"metrics": {"test_loss": "nan"}}
    pair(tmp_path / "b", "test_accuracy", 0.3, 0.4, broken, {})
    assert verdict(tmp_path / "b", metric="test_accuracy", **LOWER).verdict is Verdict.NOT_REPRODUCED


def test_goldens_hold_nothing_that_a_clock_or_the_process_gave(tmp_path: Path) -> None:
    steady = {"test_accuracy": 0.95, "parameters": 7}
    moving = {"cpu_seconds_median": 0.1, "gpu_speedup": 4.0, "tokens_per_second": 1.0, "peak_memory_bytes": 5}
    write_run(tmp_path / "out", "a", 123, metrics=steady | moving)
    goldens.record(tmp_path / "store", read_runs(tmp_path / "out"), reason="first", date="2026-01-01")
    (path,) = (tmp_path / "store").iterdir()
    assert json.loads(path.read_text())[0]["metrics"] == steady


def test_the_order_of_preference_and_of_columns_is_that_of_before() -> None:
    assert metrics.preferred()[:6] == ["test_accuracy", "judge_score", "val_accuracy", "test_loss", "val_loss"] + [
        "train_loss"
    ]
    assert metrics.columns() == [
        *("train_accuracy", "val_accuracy", "test_accuracy", "train_loss", "val_loss", "train_seconds"),
        "test_accuracy_without_copies",
    ]


def test_who_acts_on_what_is_declared() -> None:
    def acting(act: Act) -> set[str]:
        return {name for name, one in METRICS.items() if act in one.acts}

    assert {"train_seconds", "tokens_per_second", "gpu_speedup", "cpu_seconds_median"} <= acting(Act.clock)
    assert {"judge_score", "judge_scored", "model_1_gpt4_bias", "model_2_score"} <= acting(Act.judge)
    assert not acting(Act.judge) & {"judge", "chrf", "model_1_gpt4_published", "token_saving"}
    assert {"train_loss", "first_val_loss", "val_perplexity"} <= acting(Act.targets)
    assert acting(Act.device) == {"peak_memory_bytes"}
    assert set(confounds.TARGETS) == {"mask_instruction", "prompt."}
