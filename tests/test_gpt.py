"""The model: the author's, name by name, draw by draw and number by number."""

import pytest
import torch
from torch.nn import functional as F

from scratchlab.launch import compose
from scratchlab.model import tune
from scratchlab.model.classifier import class_logits
from scratchlab.model.config import GPTConfig, LoRAScaling, Position, Trainable, TuneConfig
from scratchlab.model.gpt import GPT
from scratchlab.model.parameters import count
from scratchlab.tasks.instruct import Instruct

SMALL = {"vocab_size": 97, "context_length": 24, "emb_dim": 32, "n_heads": 4, "n_layers": 3}


def config(**changes: object) -> GPTConfig:
    return GPTConfig(**(SMALL | changes))  # type: ignore[arg-type]


def seeded(**changes: object) -> GPT:
    torch.manual_seed(123)
    return GPT(config(**changes))


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.arange(2 * 24).reshape(2, 24) % 97


@pytest.mark.parametrize("rate", [0.0, 0.1])
@pytest.mark.parametrize("qkv_bias", [False, True])
def test_weights_dropout_draws_and_logits_are_those_of_the_author_s_model(
    rate: float, qkv_bias: bool, ids: torch.Tensor
) -> None:
    ch04 = pytest.importorskip("llms_from_scratch.ch04", reason="the author's package is not installed")
    torch.manual_seed(123)
    theirs = ch04.GPTModel({**SMALL, "drop_rate": rate, "qkv_bias": qkv_bias})
    ours = seeded(qkv_bias=qkv_bias, drop_rate_emb=rate, drop_rate_shortcut=rate, drop_rate_attn=rate)
    their_parameters, our_parameters = dict(theirs.named_parameters()), dict(ours.named_parameters())
    assert list(their_parameters) == list(our_parameters)
    for name, parameter in our_parameters.items():
        assert torch.equal(parameter, their_parameters[name]), name
    torch.manual_seed(7)
    expected = theirs(ids)
    torch.manual_seed(7)
    # float32 attention sums in another order: 2e-6 is ten times the largest difference seen
    torch.testing.assert_close(ours(ids), expected, atol=2e-6, rtol=0)


def test_logits_of_some_places_are_those_of_all_places_there(ids: torch.Tensor) -> None:
    model, where = seeded().eval(), torch.zeros_like(ids, dtype=torch.bool)
    where[0, 3] = where[1, 0] = where[1, 23] = True
    with torch.no_grad():
        torch.testing.assert_close(model(ids, where), model(ids)[where])
        assert model(ids, torch.zeros_like(where)).shape == (0, 97)


def test_lora_starts_as_the_identity_draws_like_the_author_s_and_merges_exactly(ids: torch.Tensor) -> None:
    appendix_e = pytest.importorskip("llms_from_scratch.appendix_e", reason="the author's package is not installed")
    ch04 = pytest.importorskip("llms_from_scratch.ch04")
    torch.manual_seed(123)
    theirs = ch04.GPTModel({**SMALL, "drop_rate": 0.0, "qkv_bias": True})
    appendix_e.replace_linear_with_lora(theirs, rank=4, alpha=8)
    ours = seeded(qkv_bias=True)
    plain = ours(ids)
    tune.choose_trainable(ours, TuneConfig(trainable=Trainable.lora, lora_rank=4, lora_alpha=8.0), new_head=False)
    torch.testing.assert_close(ours(ids), plain)
    theirs_named = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert torch.equal(parameter, theirs_named[name]), name
        if name.endswith("lora.B"):
            torch.manual_seed(1)
            torch.nn.init.normal_(parameter.data, std=0.1)
            theirs_named[name].data.copy_(parameter.data)
    # in double precision, because updates this large make logits whose float32 rounding would hide a mistake
    ours.double()
    # 1e-5: the author's GELU keeps its constant in float32 (largest difference seen: 1e-6)
    torch.testing.assert_close(ours(ids), theirs.double()(ids), atol=1e-5, rtol=0)
    before = ours(ids)
    tune.merge_lora(ours)
    assert not any("lora" in name for name, _ in ours.named_parameters())
    torch.testing.assert_close(ours(ids), before)


def test_the_two_scalings_differ_by_the_rank() -> None:
    scales = []
    for scaling in LoRAScaling:
        model = seeded()
        tune.add_lora(model, TuneConfig(trainable=Trainable.lora, lora_rank=4, lora_alpha=8.0, lora_scaling=scaling))
        scales.append(model.blocks[0].att.W_query.lora.scale)  # type: ignore[union-attr]
    assert scales == [8.0, 2.0]


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        # derived from the shapes of GPT-2 124M with a head of two classes; the script of the table's variants agrees
        (Trainable.last_layer, 1_538),
        (Trainable.last_block, 7_090_946),
        (Trainable.last_two_blocks, 14_178_818),
        (Trainable.all, 124_441_346),
        (Trainable.lora, 2_668_066),
    ],
)
def test_trainable_counts_of_the_124m_classifier(trainable: Trainable, expected: int) -> None:
    with torch.device("meta"):
        model = GPT(GPTConfig(qkv_bias=True))
        tune.add_class_head(model, 2)
        lora = {"lora_rank": 16, "lora_alpha": 16.0} if trainable is Trainable.lora else {}
        tune.choose_trainable(model, TuneConfig(trainable=trainable, **lora), new_head=True)  # type: ignore[arg-type]
    assert count(model.parameters(), trainable_only=True) == expected


def test_appendix_e_freezes_the_new_head_too_and_only_lora_can() -> None:
    with torch.device("meta"):
        model = GPT(GPTConfig(qkv_bias=True))
        tune.add_class_head(model, 2)
    lora = TuneConfig(trainable=Trainable.lora, lora_rank=16, lora_alpha=16.0, train_head=False)
    tune.choose_trainable(model, lora, new_head=True)
    assert count(model.parameters(), trainable_only=True) == 2_666_528
    with pytest.raises(ValueError, match="train_head=False: only tune=lora uses it"):
        TuneConfig(trainable=Trainable.last_block, train_head=False)


def test_a_later_token_changes_nothing_before_it_unless_the_mask_is_off(ids: torch.Tensor) -> None:
    changed = ids.clone()
    changed[:, 10] += 1
    causal, open_ = seeded().eval(), seeded(causal=False).eval()
    torch.testing.assert_close(causal(ids)[:, :10], causal(changed)[:, :10], atol=1e-6, rtol=0)
    assert (open_(ids)[:, 0] - open_(changed)[:, 0]).abs().max() > 1e-4


@pytest.mark.parametrize("site", ["emb", "shortcut", "attn"])
def test_each_dropout_rate_acts_at_its_own_site(site: str, ids: torch.Tensor) -> None:
    model = seeded(**{f"drop_rate_{site}": 0.5})
    zeros: dict[str, int] = {}
    model.drop_emb.register_forward_hook(lambda m, i, o: zeros.__setitem__("emb", int((o == 0).sum())))
    model.blocks[0].drop_shortcut.register_forward_hook(
        lambda m, i, o: zeros.__setitem__("shortcut", zeros.get("shortcut", 0) + int((o == 0).sum()))
    )
    torch.manual_seed(0)
    first = model(ids)
    torch.manual_seed(1)
    second = model(ids)
    assert not torch.equal(first, second)
    assert {name for name, n in zeros.items() if n > 100} == ({site} if site != "attn" else set())
    assert torch.equal(model.eval()(ids), seeded().eval()(ids))


def test_the_steps_called_one_by_one_are_the_forward_pass(ids: torch.Tensor) -> None:
    model = seeded().eval()
    positions = torch.arange(24)
    x = model.embed(ids, positions)
    for block in model.blocks:
        x = block(x, positions)
    torch.testing.assert_close(model.head(x), model(ids))


def test_more_tokens_than_the_context_are_refused() -> None:
    with pytest.raises(ValueError, match="25 tokens, but the model's context_length is 24"):
        seeded()(torch.zeros(1, 25, dtype=torch.long))


def test_every_position_reads_the_logits_it_names() -> None:
    model = GPT(config(vocab_size=50257))
    tune.add_class_head(model.eval(), 2)
    ids = torch.tensor([[5, 6, 7, 50256, 50256], [1, 2, 3, 4, 9]])
    logits = model(ids)
    for position, expected in {
        Position.first: logits[:, 0],
        Position.last: logits[:, -1],
        Position.last_real: torch.stack([logits[0, 2], logits[1, 4]]),
        Position.mean: logits.mean(dim=1),
    }.items():
        torch.testing.assert_close(class_logits(model, ids, position), expected)


def test_padding_changes_nothing_for_the_last_real_token() -> None:
    model = GPT(config(vocab_size=50257))
    tune.add_class_head(model.eval(), 2)
    row = torch.tensor([[5, 6, 7]])
    padded = F.pad(row, (0, 9), value=50256)
    torch.testing.assert_close(
        class_logits(model, padded, Position.last_real), class_logits(model, row, Position.last), atol=1e-6, rtol=1e-5
    )


def test_the_untrained_124m_model_continues_as_published() -> None:
    # chapter 4: seed 123, "Hello, I am", ten greedy tokens
    model = seeded(vocab_size=50257, context_length=1024, emb_dim=768, n_heads=12, n_layers=12).eval()
    ids = torch.tensor([[15496, 11, 314, 716]])
    with torch.no_grad():
        for _ in range(10):
            ids = torch.cat([ids, model(ids)[:, -1].argmax(dim=-1, keepdim=True)], dim=1)
    assert ids[0, 4:].tolist() == [27018, 24086, 47843, 30961, 42348, 7267, 49706, 43231, 47062, 34657]


@pytest.mark.parametrize(
    ("size", "whole", "lora"),
    [
        # 7.4 prints those of 355M; the others follow from the shapes: 16 times inputs and outputs of each layer
        ("gpt2_small", 163_037_184, 3_470_608),
        ("gpt2_medium", 406_286_336, 7_898_384),
        ("gpt2_large", 838_359_040, 14_095_632),
        ("gpt2_xl", 1_638_022_400, 22_948_112),
    ],
)
def test_lora_of_exercise_7_4_trains_the_published_number_of_parameters(size: str, whole: int, lora: int) -> None:
    run = compose.compose(["experiment=ch07_4_lora", f"model={size}", "weights=random"])
    assert isinstance(run, Instruct)
    with torch.device("meta"):
        model = GPT(run.model)
        assert count(model.parameters()) == whole
        tune.choose_trainable(model, run.tune, new_head=False)
    assert count(model.parameters(), trainable_only=True) == lora


def test_checkpointed_activations_give_the_same_bits_from_less_memory() -> None:
    torch.manual_seed(2)
    drop = dict(drop_rate_emb=0.1, drop_rate_shortcut=0.2, drop_rate_attn=0.3)
    model = GPT(GPTConfig(emb_dim=32, n_heads=4, n_layers=3, vocab_size=61, context_length=24, **drop))  # type: ignore[arg-type]
    ids = torch.randint(61, (2, 20))
    found = {}
    for checkpoints in (False, True):
        model.checkpoints, kept = checkpoints, []
        model.zero_grad()
        torch.manual_seed(7)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):  # noqa: B023
            loss = model(ids).logsumexp(-1).mean()
        loss.backward()
        found[checkpoints] = [loss, torch.rand(3), *(parameter.grad for parameter in model.parameters())], sum(kept)
    (plain, held), (again, held_less) = found[False], found[True]
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    assert held_less < held / 3
