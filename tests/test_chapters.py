"""Chapters 2 to 5 and appendix A: published numbers, held against what the tasks compute.

Numbers without another source are from the chapters' notebooks, or worked out from them where it says "derived".
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import real

from scratchlab.__main__ import run
from scratchlab.assets import catalogue
from scratchlab.book import experiments
from scratchlab.launch import compose
from scratchlab.model.config import GPTConfig
from scratchlab.runs.registry import TASKS
from scratchlab.tasks.attention import Attention, Variant, attention
from scratchlab.tasks.sampling_grid import distinct, repetition

CHAPTERS = sorted(  # the rest belongs to no exercise, and has its own tests
    name for name, file in experiments.select("ch02_*,ch03_*,ch04_*,ch05_*,chA_*").items() if file.exercise
)
NEED_VERDICT = ["ch02_2_stride_2", "ch02_2_stride_8"]
NEED_VOCABULARY = ["ch02_1_unknown_words", "ch05_2_sampling_grid", "ch05_3_deterministic"]
NEED_NOTHING = [
    name
    for name in CHAPTERS
    if name.startswith(("ch03", "ch04", "ch05_1", "chA")) and name != "chA_4_matmul"  # timing: see below
]
NEED_WEIGHTS = ["ch05_5_losses", "ch05_5_losses_xl", "ch05_6_xl"]


@pytest.fixture
def verdict() -> Path:
    return real(catalogue.VERDICT)


def recorded(tmp_path: Path, *overrides: str) -> dict[str, Any]:
    """What a run's record says of it."""
    result = run(compose.compose([*overrides, f"out={tmp_path}", "tracking=none"]))
    return json.loads((Path(result["folder"]) / "result.json").read_text())


def measured(tmp_path: Path, *overrides: str) -> dict[str, Any]:
    return recorded(tmp_path, *overrides)["metrics"]


def assert_exact_claims_hold(result: dict[str, Any]) -> None:
    claims = [claim for claim in result["claims"] if claim["kind"] == "exact"]
    assert claims
    for claim in claims:
        assert result["metrics"][claim["metric"]] == claim["value"], claim["metric"]


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_experiment_composes_and_states_sources(name: str) -> None:
    config = compose.compose([f"experiment={name}"])
    assert config.task in TASKS
    assert config.exercise
    assert config.claims and all(claim.source for claim in config.claims)


@pytest.mark.parametrize("name", NEED_NOTHING)
def test_the_published_numbers_come_out_without_any_file(name: str, tmp_path: Path) -> None:
    assert_exact_claims_hold(recorded(tmp_path, f"experiment={name}"))


@pytest.mark.vocabulary
def test_the_made_up_words_are_the_published_tokens(tmp_path: Path) -> None:
    result = recorded(tmp_path, "experiment=ch02_1_unknown_words")
    assert_exact_claims_hold(result)
    assert result["metrics"]["pieces"] == ["Ak", "w", "ir", "w", " ", "ier"]


@pytest.mark.vocabulary
def test_half_a_character_is_a_piece_that_still_comes_back(tmp_path: Path) -> None:
    metrics = measured(tmp_path, "task=tokenize", "text='naïve 漢<|endoftext|>'")
    assert metrics["round_trip"]
    assert metrics["ids"][-1] == 50256
    assert "\N{REPLACEMENT CHARACTER}" in metrics["pieces"]
    assert [i for ids in metrics["ids_of_pieces"] for i in ids] == metrics["ids"]


@pytest.mark.vocabulary
@pytest.mark.parametrize("name", NEED_VERDICT)
def test_the_first_batches_of_the_verdict_are_the_published_ones(verdict: Path, name: str, tmp_path: Path) -> None:
    result = recorded(tmp_path, f"experiment={name}")
    assert_exact_claims_hold(result)
    metrics = result["metrics"]
    assert (metrics["tokens"], metrics["train_tokens"], metrics["val_tokens"]) == (5145, 4612, 534)
    assert metrics["batches"] == 643  # derived


@pytest.mark.vocabulary
def test_leaving_the_last_batch_out_leaves_642(verdict: Path, tmp_path: Path) -> None:
    metrics = measured(tmp_path, "experiment=ch02_2_stride_8", "drop_last=true", "batches_shown=2")
    assert metrics["batches"] == 642  # derived
    assert metrics["inputs"][1][0] == metrics["targets"][0][3][1:] + metrics["inputs"][1][0][-1:]


def test_shuffled_windows_of_numbers_end_as_in_the_bonus_notebook() -> None:
    # source: ch02/04_bonus_dataloader-intuition: the numbers 0 to 1000, seed 123, the last batch of the first pass
    from scratchlab.data import corpus

    torch.manual_seed(123)
    loader = corpus.loader(corpus.Windows(list(range(1001)), 4, 4), 2, shuffle=True, drop_last=True)
    inputs, targets = list(loader)[-1]
    assert inputs.tolist() == [[880, 881, 882, 883], [112, 113, 114, 115]]
    assert torch.equal(targets, inputs + 1)


CAUSAL = [[-0.4519, 0.2216], [-0.5874, 0.0058], [-0.6300, -0.0632], [-0.5675, -0.0843], [-0.5526, -0.0981],
          [-0.5299, -0.1081]]  # fmt: skip
SECOND_HEAD = [[0.4772, 0.1063], [0.5891, 0.3257], [0.6202, 0.3860], [0.5478, 0.3589], [0.5321, 0.3428],
               [0.5077, 0.3493]]  # fmt: skip
MULTI_HEAD = [[0.3190, 0.4858], [0.2943, 0.3897], [0.2856, 0.3593], [0.2693, 0.3873], [0.2639, 0.3928],
              [0.2575, 0.4028]]  # fmt: skip
LINEAR_789 = [[-0.0739, 0.0713], [-0.0748, 0.0703], [-0.0749, 0.0702], [-0.0760, 0.0685], [-0.0763, 0.0679],
              [-0.0754, 0.0693]]  # fmt: skip


class Notes:
    """Takes what a task tells its record."""

    device = ""


@pytest.mark.parametrize(
    ("variant", "num_heads", "seed", "expected"),
    [
        (Variant.linear, 1, 789, LINEAR_789),
        (Variant.causal, 1, 123, CAUSAL),
        (Variant.stacked_heads, 2, 123, [a + b for a, b in zip(CAUSAL, SECOND_HEAD, strict=True)]),
        (Variant.multi_head, 2, 123, MULTI_HEAD),
    ],
)
def test_every_attention_class_gives_chapter_3s_tensor(
    variant: Variant, num_heads: int, seed: int, expected: list[list[float]]
) -> None:
    config = Attention(name="chapter 3", variant=variant, num_heads=num_heads, seed=seed)
    found = attention(config, Notes())["output"]  # type: ignore[arg-type]
    assert torch.allclose(torch.tensor(found), torch.tensor(expected), atol=6e-5, rtol=0)


def test_no_weights_give_the_tensor_that_the_notebook_prints_for_two_heads() -> None:
    from scratchlab.tasks.attention import SENTENCE

    bound = max(sum(map(abs, row)) for row in SENTENCE) / 3**0.5  # of every entry: weights start within 1 / root 3
    assert bound == pytest.approx(1.2009, abs=5e-5)  # derived; the printed tensor has -1.4744


def test_moved_weights_are_the_same_memory_and_give_the_same_numbers(tmp_path: Path) -> None:
    metrics = measured(tmp_path, "experiment=ch03_1_weight_transfer")
    assert metrics["shares_memory"]
    assert metrics["largest_difference"] < 1e-6 < metrics["largest_difference_before"]


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (["variant=multi_head", "d_out=4", "num_heads=3"], "num_heads=3: does not divide d_out=4"),
        (["variant=causal", "num_heads=2"], "variant=causal has one head"),
        (["variant=causal", "transfer=true"], "only variant=parameters takes weights over"),
        (["tokens=7"], "the sentence, which d_in=3 means, has 6"),
    ],
)
def test_attention_that_cannot_be_is_refused(mistake: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compose.compose(["task=attention", *mistake])


def test_counting_xl_takes_no_memory_for_it(tmp_path: Path) -> None:
    metrics = measured(tmp_path, "experiment=ch04_2_xl")
    assert metrics["megabytes_with_qkv_bias"] == 6248.56  # derived
    assert metrics["peak_memory_bytes"] < 2e9


def test_dropout_that_is_off_is_measured_as_off(tmp_path: Path) -> None:
    metrics = measured(tmp_path, "task=dropout", "dropout=shortcut_only", "sequences=512", "model.vocab_size=97")
    assert metrics["emb_dropped"] == metrics["attn_dropped"] == 0
    assert metrics["shortcut_dropped"] == pytest.approx(0.1, abs=0.01)
    assert metrics["acting"][0] == "drop_rate_emb acts on nothing"


def test_counts_stand_beside_their_exact_probability_and_interval(tmp_path: Path) -> None:
    metrics = measured(tmp_path, "experiment=ch05_1_pizza")
    assert metrics["word_probability"] == pytest.approx(0.0430, abs=5e-5)
    assert metrics["word_share_low"] < metrics["word_share"] == 0.032 < metrics["word_share_high"]
    assert metrics["word_p"] > 0.05, "32 of 1000 are consistent with 4.3 %"


def test_temperature_zero_leaves_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        compose.compose(["experiment=ch05_1_pizza", "temperatures=[0,0.1]"])


def test_an_untrained_gpt_gives_chapter_5s_tokens_and_loss() -> None:
    from scratchlab.model.gpt import GPT

    inputs = torch.tensor([[16833, 3626, 6100], [40, 1107, 588]])  # "every effort moves", "I really like"
    targets = torch.tensor([[3626, 6100, 345], [1107, 588, 11311]])
    torch.manual_seed(123)
    model = GPT(GPTConfig(context_length=256)).eval()
    with torch.no_grad():
        logits = model(inputs)
    assert logits.argmax(dim=-1).tolist() == [[16657, 339, 42826], [49906, 29669, 41751]]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    assert loss.item() == pytest.approx(10.7940, abs=5e-5)
    assert loss.exp().item() == pytest.approx(48725.8203, rel=1e-5)


@pytest.mark.vocabulary
@pytest.mark.slow
def test_an_untrained_gpt_loses_on_the_verdict_what_chapter_5_prints(verdict: Path, tmp_path: Path) -> None:
    metrics = measured(tmp_path, "task=score", "weights=random", "model.qkv_bias=false", "model.context_length=256")
    assert metrics["train_loss"] == pytest.approx(10.98758, abs=1e-5)
    assert metrics["val_loss"] == pytest.approx(10.98111, abs=1e-5)
    assert (metrics["train_batches"], metrics["val_batches"]) == (9, 1)


SMALL = ("model.emb_dim=16", "model.n_heads=2", "model.n_layers=1", "model.context_length=32")


@pytest.mark.vocabulary
def test_the_grid_is_measured_and_drawn(tmp_path: Path) -> None:
    size = ("temperatures=[0.1,1.4]", "top_ks=[5,20,0]", "texts=2", "max_new_tokens=6")
    metrics = measured(tmp_path, "experiment=ch05_2_sampling_grid", *SMALL, *size)
    entropy = torch.tensor(metrics["entropy_bits"])
    assert entropy.shape == (2, 3)
    assert (entropy[:, 0] <= torch.log2(torch.tensor(5.0))).all(), "five tokens carry at most log2(5) bits"
    assert metrics["low_is_less_random"]
    assert list(tmp_path.glob("*/*/grid.png"))
    assert len(next(tmp_path.glob("*/*/samples.txt")).read_text().splitlines()) == 6


def test_variety_and_repetition_are_those_worked_by_hand() -> None:
    texts = [[1, 2, 1, 2], [1, 2, 3, 4]]
    assert distinct(texts, 1) == 4 / 8
    assert distinct(texts, 2) == 4 / 6  # 12 21 12, 12 23 34
    assert repetition(texts, 16) == 2 / 6
    assert repetition(texts, 1) == 0


@pytest.mark.vocabulary
def test_both_ways_to_determinism_give_one_text_and_sampling_several(tmp_path: Path) -> None:
    metrics = measured(tmp_path, "experiment=ch05_3_deterministic", *SMALL, "sampling.max_new_tokens=8")
    assert metrics["ways_equal"] is True
    assert metrics["distinct_texts_temperature_0"] == metrics["distinct_texts_top_k_1"] == 1
    assert metrics["distinct_texts_sampling"] > 1


@pytest.mark.vocabulary
def test_one_prompt_is_shown_as_it_is_written_and_several_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = (*SMALL, "weights=random", "model.qkv_bias=false", "sampling.max_new_tokens=5")
    one = measured(tmp_path, "task=generate", *shape)
    assert capsys.readouterr().out == one["texts"][0] + "\n"
    both = measured(tmp_path, "task=generate", *shape, "prompts=[Every effort moves you,Hello]")
    assert both["texts"][0] == one["texts"][0], "greedy text is the same alone and in a batch"
    assert both["new_tokens"] == 10


@pytest.mark.vocabulary
@pytest.mark.parametrize("name", NEED_WEIGHTS)
def test_missing_weights_are_listed_with_every_source_before_anything_slow(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("SCRATCHLAB_CACHE", "SCRATCHLAB_MIRROR"):
        monkeypatch.setenv(key, str(tmp_path / "empty"))
    for key in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(key, "http://127.0.0.1:9")  # nobody listens there
    text = tmp_path / "text.txt"
    text.write_text("One boat came home by sea. " * 1000)
    data = ["data=text", f"data.path={text}"] if "losses" in name else []
    with pytest.raises(FileNotFoundError) as failed:
        measured(tmp_path / "out", f"experiment={name}", *data)
    said = str(failed.value)
    for word in ("cache", "mirror", "openaipublic.blob.core.windows.net", "f001.backblazeb2.com", "by hand"):
        assert word in said
    result = json.loads(next((tmp_path / "out").glob("*/*/result.json")).read_text())
    assert result["status"] == "failed"
    assert result["seconds"] < 60


def test_a_product_is_timed_with_median_and_spread(tmp_path: Path) -> None:
    metrics = measured(tmp_path, "experiment=chA_4_matmul", "compute.device=cpu", "repeats=8", "loops=3", "warmup=3")
    assert 0 < metrics["cpu_seconds_least"] <= metrics["cpu_seconds_median"]
    assert metrics["cpu_seconds_spread"] >= 0
    assert metrics["operations"] == 12_000_000  # derived: 2 * 100 * 200 * 300


def test_the_head_is_counted_once_when_tied() -> None:
    from scratchlab.model.families import make_empty
    from scratchlab.tasks.count import whole

    found = whole(make_empty(replace(GPTConfig(), emb_dim=8, n_heads=2, n_layers=1, vocab_size=11, context_length=4)))
    # by hand: embeddings 88 + 32, head 88, norms 3 * 16, attention 4 * 64 + 8, feed-forward 8 * 32 * 2 + 32 + 8
    assert found["parameters"] == 88 + 32 + 88 + 48 + 264 + 552
    assert found["parameters"] - found["tied_parameters"] == 88
