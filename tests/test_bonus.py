"""Counts of operations and memory, tokenizers trained here, and ways that come to the same: the bonus material."""

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import real
from torch.utils.flop_counter import FlopCounterMode

from scratchlab.__main__ import run
from scratchlab.assets import catalogue
from scratchlab.book import exercises, experiments
from scratchlab.book.claims import of
from scratchlab.evidence.runs import by_name, read_runs
from scratchlab.evidence.verdicts import Verdict, decide
from scratchlab.launch import compose
from scratchlab.model import families
from scratchlab.report.verdicts import beyond, coverage
from scratchlab.text import bpe
from scratchlab.training.schedule import warmup_and_cosine

SLOW = ("ch03_bonus_attention_ways", "ch04_bonus_cached_text", "ch02_bonus_bpe_across_words")
"""They take seconds; the first two hold times as an order."""
QUICK = [
    name for name in experiments.paths() if name.startswith("chE_") or "_bonus_" in name or name.startswith("ch03_main")
]


def metrics(line: str, tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = run(compose.compose([*line.split(), f"out={tmp_path}"]))["metrics"]
    return found


@pytest.mark.vocabulary
def test_what_was_printed_and_needs_no_weights_reproduces(tmp_path: Path) -> None:
    for asset in (catalogue.VERDICT, *catalogue.JUDGED.values()):
        real(asset)
    every = {name: experiments.read(experiments.paths()[name]) for name in QUICK if name not in SLOW}
    chosen = {name: experiment for name, experiment in every.items() if not experiment.weights}
    for name in chosen:
        run(compose.compose([f"experiment={name}", f"out={tmp_path}", "compute.threads=1"]))
    runs = by_name(read_runs(tmp_path))
    found = {stated.label: decide(stated, runs, chosen) for stated in of(chosen.values())}
    assert len(found) >= 70
    assert {label: one.reason for label, one in found.items() if one.verdict is not Verdict.REPRODUCED} == {}


def test_bonus_material_is_no_part_of_the_appendix_s_coverage() -> None:
    everything = experiments.read_all()
    rows = [{"experiment": "ch04_bonus_gqa", "verdict": "REPRODUCED"}]
    assert not any("bonus" in line[2] or "chD" in line[2] for line in coverage(rows, everything))
    parts = {line[0]: line[1:] for line in beyond(rows, everything)}
    assert {"appendix D", "appendix E", "chapter 4, bonus material"} <= set(parts)
    assert parts["chapter 4, bonus material"][1] == "1 REPRODUCED" and parts["appendix D"] == ["chD_main", "no claims"]
    assert exercises.part("ch06_row03_last_layer") == "chapter 6, the table of variants"
    assert exercises.part("quickstart") == exercises.part("chA_3_parameters") == ""


# tokens


def test_the_most_frequent_pair_is_merged_first_and_of_several_the_one_that_comes_first() -> None:
    trained = bpe.train("the cat in the hat", 261, across_words=True)
    assert trained.pieces[258:] == ["th", "the", "theĠ"]
    by_word = bpe.train("the cat in the hat", 262)
    assert by_word.pieces[258:] == ["th", "the", "at", "Ġc"]  # never the space after a word


def test_tokens_hold_a_space_at_their_start_only_unless_the_text_is_one_word() -> None:
    text = "to be or not to be, that is what to be or not to be is about\n" * 3
    by_word, whole = bpe.train(text, 300), bpe.train(text, 300, across_words=True)
    assert not any("Ġ" in piece[1:] for piece in by_word.pieces)
    assert any("Ġ" in piece[1:] for piece in whole.pieces)
    for trained in (by_word, whole):
        assert trained.decode(trained.encode(text)) == text
    assert len(by_word.encode(text)) < len(text) / 2


def test_a_tokenizer_says_what_it_cannot_encode_and_how_small_it_can_be() -> None:
    with pytest.raises(ValueError, match="'€' is in no piece"):
        bpe.train("a text", 300).encode("10 €")
    with pytest.raises(ValueError, match="vocab_size=100: single letters take 258"):
        bpe.train("a text", 100)
    assert len(bpe.train("ab", 300).pieces) == 259  # one word of two letters has one pair


# operations and memory


def test_operations_are_those_that_torch_counts(tmp_path: Path) -> None:
    shape = "model.emb_dim=32 model.n_layers=3 model.n_heads=4 model.context_length=16 model.vocab_size=97"
    found = metrics(f"task=flops {shape} tokens=16 batch_sizes=[2,4]", tmp_path)
    config: Any = compose.compose(["task=flops", "tokens=16", *shape.split()])
    model = families.make(config.model).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(2, 16, dtype=torch.long))
    assert counter.get_total_flops() in (found["flops"], found["flops_with_attention"])
    attention = 2 * 2 * 3 * 2 * 16 * 16 * 32
    assert found["flops_with_attention"] - found["flops"] == attention
    assert found["flops_by_batch"] == [found["flops"], 2 * found["flops"]]


def test_a_utilization_is_three_passes_against_the_peak(tmp_path: Path) -> None:
    found = metrics("task=flops batch_sizes=[1] tokens=1 tokens_per_second=[1000,2000] peak=1e14", tmp_path)
    assert found["utilization"] == [round(n * 3 * found["flops"] / 1e14, 4) for n in (1000, 2000)]


def test_a_window_beyond_the_text_saves_nothing_and_one_layer_in_six_keeps_all(tmp_path: Path) -> None:
    whole = metrics("task=kv_cache window=1000000", tmp_path)
    assert whole["mha_window_gigabytes"] == whole["mha_gigabytes"]
    short = metrics("task=kv_cache window=1 n_layers=12 tokens=1000000", tmp_path)
    assert (short["window_layers"], short["full_layers"]) == (10, 2)
    assert short["mha_window_gigabytes"] == pytest.approx(short["mha_gigabytes"] / 6, rel=1e-3)


def test_experts_together_have_the_dense_part_s_parameters_and_a_router(tmp_path: Path) -> None:
    found = metrics("task=experts emb_dim=8 hidden_dim=24 experts=6 active=6 gated=false", tmp_path)
    assert found["mixture_parameters"] == found["active_parameters"] == found["dense_parameters"] + 6 * 8
    assert found["dense_parameters"] == 2 * 8 * 24


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("task=kv_cache heads_per_group=5", "does not divide n_heads=32; possible: 1, 2, 4, 8, 16, 32"),
        ("task=experts active=9", "active=9: possible: 1 to experts=8"),
        ("task=experts experts=9", "must divide hidden_dim=14336"),
        ("task=flops tokens=2000", "possible: 1 to model.context_length=1024"),
        ("task=grid warmups=[]", "needs at least one value"),
        ("task=attention_ways num_heads=7", "does not divide emb_dim=768"),
        ("task=count classes=-1", "classes=-1"),
        ("task=count tune=last_block model.n_layers=0", "n_layers"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(line: str, said: str) -> None:
    with pytest.raises(Exception, match=said.replace("[", r"\[")):
        compose.compose(line.split())


def test_the_script_s_way_leaves_a_new_head_trainable_under_every_choice_but_lora(tmp_path: Path) -> None:
    line = "task=count model.qkv_bias=true classes=2"
    counts = {
        "tune=last_layer": 1_538,
        "tune=last_block": 7_090_946,
        "tune=last_two_blocks": 14_178_818,
        "tune=lora tune.lora_rank=16": 2_666_528,
    }
    for tune, count in counts.items():
        assert metrics(f"{line} {tune}", tmp_path)["trainable_parameters"] == count
    assert "trainable_parameters" not in metrics("task=count", tmp_path)


# the grid


def test_copies_in_a_grid_are_points_whose_every_rate_and_clipping_is_another_s(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("one two three four five six seven eight nine ten " * 40)
    axes = {"warmups": [2, 3, 4, 9], "peak_rates": [0.1, 0.2], "initial_rates": [0.1, 0.05], "min_rates": [0.01, 0.1]}
    axes |= {"epochs": [1, 2, 3], "batch_sizes": [8], "drop_rates": [0.0], "weight_decays": [0.0]}
    words = [f"{key}={str(value).replace(' ', '')}" for key, value in axes.items()]
    found = metrics(f"task=grid data=text data.path={tmp_path}/t.txt max_length=16 {' '.join(words)}", tmp_path)
    each, seen, late = found["windows"] // 8, set(), 0
    for warmup, peak, initial, lowest, epochs in itertools.product(*list(axes.values())[:5]):
        total = each * epochs
        late += total <= warmup
        rates = []
        for step in range(1, total + 1):
            if step == total == warmup:
                rates.append(peak)  # 0 / 0 in the script
                continue
            rate = warmup_and_cosine(
                step, total=total, peak=peak, initial=initial, minimum=lowest, warmup=warmup, cosine=True
            )
            rates.append(rate)
        seen.add((epochs, tuple(round(rate, 12) for rate in rates), total - warmup if total >= warmup else math.inf))
    assert found["points"] == 96 and 0 < found["copies"]
    assert (found["distinct_points"], found["without_decay"]) == (len(seen), late)


# the same by other ways


def test_every_way_to_compute_attention_comes_to_the_same(tmp_path: Path) -> None:
    found = metrics("task=attention_ways batch_size=2 tokens=12 emb_dim=24 num_heads=3 repeats=1", tmp_path)
    assert found["ways_equal"] and 0 < found["largest_difference"] < 1e-5
    assert set(found["way_seconds"]) == {"by_hand", "einsum", "fused", "own_module"}


@pytest.mark.vocabulary
def test_a_text_with_a_cache_is_the_text_without_even_beyond_the_context(tmp_path: Path) -> None:
    shape = "model.emb_dim=16 model.n_heads=2 model.n_layers=2 model.context_length=12"
    found = metrics(f"task=cached_text {shape} max_new_tokens=20", tmp_path)
    assert found["texts_equal"] and len(found["new_ids"]) == 20
