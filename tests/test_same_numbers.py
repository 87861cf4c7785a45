"""Tiny runs over every task that trains or samples give the numbers that were recorded, bit for bit.

It guards changes of structure, so it knows nothing of the package but `run`, and reads what a run leaves in its folder.
Bits hang on processor and versions: the recorded values of each class of environment stand in `same_numbers/`. Where
there are none for this one, losses and counts are held against another's within a tolerance, and a warning says so.

New cases, or another environment: `pytest tests/test_same_numbers.py --record-numbers REASON` adds what is not recorded
yet, and nothing else. `--replace-numbers` replaces what is, and is for changes of numbers that are meant.
"""

import contextlib
import hashlib
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from recorded import Store, hold
from torch.optim.optimizer import register_optimizer_step_pre_hook

pytestmark = pytest.mark.vocabulary


def run(overrides: list[str]) -> None:
    """Make a run as the command line would: all that is known of the package here."""
    from scratchlab.launch import compose
    from scratchlab.runs import record
    from scratchlab.runs.registry import TASKS
    from scratchlab.runs.tracking import Tracker

    config = compose.compose(overrides)
    record.keep(config, TASKS[config.task].run, changes={}, tracker=Tracker(config.tracking))


# with these, matrices have other shapes, and last bits may differ: see test_shortcuts.py
WITHOUT = ["compute.reuse_frozen=false", "compute.only_needed=false"]
COMPUTE = ["tracking.mode=none", "compute.device=cpu", "compute.threads=1", *WITHOUT]
TINY = ["model=gpt2_tiny", "model.emb_dim=16", "model.n_layers=2"]
CLASSIFY = [
    *("task=classify", "data=messages", "data.size=200", "weights=random", *TINY, "model.context_length=64"),
    *("train.epochs=2", "train.lr=1e-3", "train.eval_every=5", "train.eval_batches=2"),
]
INSTRUCT = [
    *(
        "task=instruct",
        "data=entries",
        "data.path=mine.json",
        "weights=random",
        *TINY,
        "model.context_length=256",
        "train.max_length=256",
    ),
    *("train.batch_size=4", "train.lr=1e-3", "train.eval_every=4", "train.eval_batches=2", "sampling.max_new_tokens=8"),
]
PRETRAIN = [
    *("task=pretrain", "data=text", "data.path=mine.txt", *TINY, "model.context_length=16", "train.epochs=2"),
    *("train.lr=1e-3", "train.eval_every=4", "train.eval_batches=2", "sampling.max_new_tokens=8"),
]
GIVEN = [*TINY, "weights=random", "model.context_length=64"]

CASES: dict[str, list[str]] = {
    "classify": [*CLASSIFY, "save=true"],
    "classify_all": [*CLASSIFY, "tune=all", "dropout=uniform", "position=mean", "data.split=notebook"],
    "classify_last_layer": [*CLASSIFY, "tune=last_layer", "position=first", "data.pad_to=context", "seed=7"],
    "classify_last_two_blocks": [
        *(*CLASSIFY, "tune=last_two_blocks", "model.n_layers=3", "position=last_real", "data.pad_to=20"),
        *("dropout=embedding_only", "train.accumulate=3", "train.weight_decay=0.3"),
    ],
    "classify_unpadded": [
        *(*CLASSIFY, "model.n_layers=3", "dropout=uniform", "data.pad_to=none", "position=last_real"),
        *("train.batch_size=1", "train.accumulate=8"),
    ],
    "classify_lora": [
        *(*CLASSIFY, "tune=lora", "dropout=shortcut_only", "data.pad_to=none", "train.batch_size=1"),
        *("train.accumulate=4", "save=true"),
    ],
    "classify_lora_over_rank": [
        *(*CLASSIFY, "tune=lora", "tune.lora_scaling=alpha_over_rank", "tune.lora_rank=4", "tune.lora_alpha=12"),
        *("position=mean", "data.pad_to=context"),
    ],
    "classify_not_causal": [
        *(*CLASSIFY, "tune=all", "model.causal=false", "model.qkv_bias=false", "dropout=attention_only"),
        *("position=first", "data.shuffle_labels=true", "train.ignore_index=7", "train.accumulate=5"),
    ],
    "classify_bfloat16": [*CLASSIFY, "tune=all", "position=mean", "dropout=uniform", "compute.precision=bfloat16"],
    "instruct": [*INSTRUCT, "tune=all"],
    "instruct_phi3_masked": [
        *(*INSTRUCT, "prompt=phi3", "mask_instruction=true", "dropout=uniform", "train.accumulate=4"),
        *("sampling.temperature=1.2",),
    ],
    "instruct_phi3_chat_lora": [
        *(*INSTRUCT, "prompt=phi3_chat", "tune=lora", "tune.lora_rank=4", "tune.lora_alpha=4"),
        *("sampling.temperature=0.8", "sampling.top_k=20"),
    ],
    "instruct_lora_over_rank_masked": [
        *(
            *INSTRUCT,
            "tune=lora",
            "tune.lora_scaling=alpha_over_rank",
            "mask_instruction=true",
            "dropout=attention_only",
        ),
    ],
    "instruct_last_layer": [*INSTRUCT, "tune=last_layer", "dropout=embedding_only", "seed=7"],
    "instruct_last_block_cut": [
        *(*INSTRUCT, "tune=last_block", "train.max_length=44", "mask_instruction=true", "train.batch_size=2"),
    ],
    "instruct_last_two_blocks": [*INSTRUCT, "tune=last_two_blocks", "model.n_layers=3", "model.qkv_bias=false"],
    "instruct_bfloat16": [*INSTRUCT, "prompt=phi3", "dropout=shortcut_only", "compute.precision=bfloat16"],
    "pretrain": [*PRETRAIN, "dropout=none"],
    "pretrain_schedule": [
        *(
            *PRETRAIN,
            "dropout=uniform",
            "train.stride=8",
            "train.warmup=5",
            "train.initial_lr=1e-4",
            "train.min_lr=1e-5",
        ),
        *("train.decay=cosine", "train.clip_norm=1", "train.batch_size=4"),
    ],
    "pretrain_accumulate": [
        *(*PRETRAIN, "dropout=attention_only", "train.accumulate=4", "train.max_length=12", "sampling=varied"),
        *("data.train_fraction=0.8", "model.qkv_bias=true"),
    ],
    "pretrain_checkpoint": [*PRETRAIN, "dropout=uniform", "save_checkpoint=true", "train.epochs=1"],
    "pretrain_continued": [
        *(*PRETRAIN, "dropout=uniform", "continue_run=pretrain_checkpoint", "load_optimizer=true", "train.epochs=1"),
        *("sampling.temperature=1", "sampling.top_k=5", "save_checkpoint=true"),
    ],
    "pretrain_bfloat16": [*PRETRAIN, "dropout=shortcut_only", "train.clip_norm=0.5", "compute.precision=bfloat16"],
    "score": ["task=score", "data=text", "data.path=mine.txt", *GIVEN, "max_length=16"],
    "score_bfloat16": [
        *("task=score", "data=text", "data.path=mine.txt", *GIVEN, "max_length=32", "batch_size=3"),
        *("dropout=uniform", "compute.precision=bfloat16"),
    ],
    "generate": ["task=generate", *GIVEN, "sampling.max_new_tokens=70"],
    "generate_drawn": ["task=generate", *GIVEN, "sampling.temperature=0.9", "sampling.top_k=30", "seed=7"],
    "generate_several": [
        *("task=generate", *GIVEN, "prompts=[It was, Every effort moves you, One]", "sampling.max_new_tokens=20"),
        *("sampling.temperature=1.5", "stop_at_end_of_text=true"),
    ],
    "generate_several_greedy": ["task=generate", *GIVEN, "prompts=[It was a cold day, One]", "seed=7"],
    "sampling_grid": [
        *("task=sampling_grid", *GIVEN, "temperatures=[0.5,1.4]", "top_ks=[2,20,0]", "texts=3", "max_new_tokens=8"),
    ],
    "deterministic": [
        *("task=deterministic", *GIVEN, "sampling=varied", "sampling.max_new_tokens=10", "repeats=2"),
    ],
    "sample_counts": ["task=sample_counts", "draws=200"],
    "dropout": ["task=dropout", *TINY, "dropout=uniform", "sequences=64"],
    "network": ["task=network", "epochs=2"],
    "chat_classify": ["task=chat", "run=classify", "text=Call now to win a free prize"],
    "chat_instruct": [
        *("task=chat", "run=instruct", "text=Say coat.", "sampling.temperature=1", "sampling.max_new_tokens=12"),
    ],
}
AFTER = {"pretrain_continued": "pretrain_checkpoint", "chat_classify": "classify", "chat_instruct": "instruct"}
"""Cases that need another's folder."""
STOPPED = {
    "classify_all": (2, 11, 30),
    "classify_lora": (1, 40),
    "instruct": (9,),
    "instruct_phi3_masked": (2,),
    "instruct_phi3_chat_lora": (5,),
    "pretrain_schedule": (3, 14),
    "pretrain_accumulate": (4,),
    "pretrain_continued": (6,),
}
"""Updates after which a training is stopped, once or several times, before it is let come to its end."""
STOPPED_QUICK = ("classify_lora", "instruct", "pretrain_schedule")
"""Those in every test run; the others on demand."""

MEASURED_BY_CLOCK_OR_MACHINE = (
    *("train_seconds", "answer_seconds", "generate_seconds", "tokens_per_second", "peak_memory_bytes"),
)
FILES = ("predictions.csv", "responses.json", "samples.txt", "texts.json", "counts.csv")
WEIGHTS = "checkpoint/model.safetensors"


class Killed(BaseException):
    """Stands for whatever ends a process."""


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with the files that runs read, and one thread."""
    monkeypatch.chdir(tmp_path)
    words = "It was a cold day and nobody had thought of bringing a coat, so they all went home again.".split()
    Path("mine.txt").write_text(" ".join(words[number * number % 59 % len(words)] for number in range(420)))
    entries = [
        {
            "instruction": f"Say {words[i % 19]} {'and nothing else ' * (i % 3)}please.",
            "input": " ".join(words[i % 5 : i % 7]),
            "output": " ".join(words[: 1 + i % 9]),
        }
        for i in range(34)
    ]
    Path("mine.json").write_text(json.dumps(entries))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@contextlib.contextmanager
def updates(limit: float = math.inf) -> Iterator[list[int]]:
    """Count the updates of any optimizer; before the one after `limit`, the process dies."""
    made = [0]

    def count(*_: Any) -> None:
        if made[0] >= limit:
            raise Killed
        made[0] += 1

    handle = register_optimizer_step_pre_hook(count)
    try:
        yield made
    finally:
        handle.remove()


def measure(case: str, *more: str) -> dict[str, Any]:
    """Make the run of a case, and read what it left: plain values to see what differs, hashes of what is long."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), updates() as made:
        run([*CASES[case], *COMPUTE, f"name={case}", "out=out", *more])
    [folder] = Path("out", case).iterdir()
    result = json.loads((folder / "result.json").read_text())
    history = folder / "history.jsonl"
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    losses = [line["batch_loss"] for line in lines if "batch_loss" in line]
    found: dict[str, Any] = {
        "history": digest("\n".join(json.dumps(line, sort_keys=True) for line in lines)),
        "lines": len(lines),
        "updates": made[0],
        "losses": [losses[0], losses[len(losses) // 2], losses[-1]] if losses else [],
        "metrics": {k: v for k, v in result["metrics"].items() if k not in MEASURED_BY_CLOCK_OR_MACHINE},
        "files": {name: digest((folder / name).read_text()) for name in FILES if (folder / name).exists()},
        "printed": printed.getvalue(),
    }
    if (folder / WEIGHTS).exists():
        found["weights"] = digest_of_weights(folder / WEIGHTS)
    return json.loads(json.dumps(found))  # a float is written so that it reads back to the same bits


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_weights(path: Path) -> str:
    tensors = safetensors.torch.load_file(path)
    whole = hashlib.sha256()
    for name in sorted(tensors):
        whole.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        whole.update(tensors[name].contiguous().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


@pytest.fixture(scope="module")
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    options = request.config.option
    store = Store(options.record_numbers, options.replace_numbers)
    yield store
    store.write()


@pytest.mark.parametrize("case", CASES)
def test_a_run_gives_the_recorded_numbers(case: str, store: Store) -> None:
    if case in AFTER:
        measure(AFTER[case])
    found = measure(case)
    if store.records(case):
        store.add(case, found)
    hold(store, case, found)


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case in STOPPED_QUICK else pytest.mark.slow) for case in STOPPED]
)
def test_a_stopped_run_gives_the_recorded_numbers_of_one_that_was_not(case: str, store: Store) -> None:
    if case in AFTER:
        measure(AFTER[case])
    line, before = [*CASES[case], *COMPUTE, f"name={case}", "out=out", "checkpoint_minutes=1e-9"], 0
    for stop in STOPPED[case]:
        with updates(stop - before) as made, pytest.raises(Killed):
            run(line)
        assert made == [stop - before]
        before = stop
    found = measure(case, "checkpoint_minutes=1e-9")
    found["updates"] += before  # the same in all only if none was made twice
    hold(store, case, found)
