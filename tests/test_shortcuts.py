"""Every shortcut of chapter 6 is held against the plain path, over all axes at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from scratchlab.data import spam
from scratchlab.model import compute, families, tune
from scratchlab.model.config import ModelConfig, Position, Trainable, TuneConfig
from scratchlab.model.decoder import Decoder
from scratchlab.model.shapes import Family
from scratchlab.runs.config import ComputeConfig, Device
from scratchlab.training import evaluate, frozen, steps

WORDS, ROWS, BATCH = 30, 14, 4
PLAIN: Mapping[str, Any] = {"reuse_frozen": False, "only_needed": False}
SHAPES: dict[Family, dict[str, Any]] = {
    Family.gpt: {"n_heads": 2},
    Family.llama: {"n_heads": 4, "n_kv_heads": 2, "ff_dim": 24, "rope_theta": 1e4, "norm_eps": 1e-5},
}
LENGTHS = {"longest": 9, "context": 16, "none": None}
CHOICES = st.fixed_dictionaries(
    {
        "family": st.sampled_from(Family),
        "trainable": st.sampled_from(Trainable),
        "position": st.sampled_from(Position),
        "padding": st.sampled_from(sorted(LENGTHS)),
        "causal": st.booleans(),
        "dropout": st.sampled_from(["", "", "emb", "shortcut", "attn"]),
        "seed": st.integers(0, 1000),
        "without": st.sampled_from(["", "", "reuse_frozen", "only_needed"]),
    }
)


def model_of(choice: Mapping[str, Any]) -> Decoder:
    """A model whose vocabulary is its tokenizer's: padding is a token of it."""
    shape = SHAPES[choice["family"]] | {"family": choice["family"], "causal": choice["causal"]}
    if choice["family"] is Family.gpt:
        shape["qkv_bias"] = choice["seed"] % 2 == 0
    if choice["dropout"] and choice["family"] is Family.gpt:
        shape[f"drop_rate_{choice['dropout']}"] = 0.2
    pad = ModelConfig(**shape).tokenizer.pad
    torch.manual_seed(choice["seed"])
    model = families.make(ModelConfig(vocab_size=pad + WORDS, context_length=16, emb_dim=16, n_layers=3, **shape))
    tune.add_class_head(model, 2)
    lora = {"lora_rank": 2, "lora_alpha": 2} if choice["trainable"] is Trainable.lora else {}
    tune.choose_trainable(model, TuneConfig(trainable=choice["trainable"], **lora), new_head=True)
    return model


def splits_of(choice: Mapping[str, Any], model: Decoder) -> dict[str, spam.EncodedMessages]:
    """Rows of two to nine tokens, no two alike, among which padding's id stands only as padding.

    A single token leaves attention no choice: the gradient of queries and keys is then nothing but rounding, and Adam
    divides it by itself.
    """
    draw = torch.Generator().manual_seed(choice["seed"])
    pad, length = model.tokenizer.pad, LENGTHS[choice["padding"]]

    def rows() -> list[list[int]]:
        sizes = torch.randint(2, 10, (ROWS,), generator=draw).tolist()
        first = pad + 1 if pad < WORDS else 0
        return [(first + torch.randperm(WORDS - 1, generator=draw)[:size]).tolist() for size in sizes]

    labels = [number % 2 for number in range(ROWS)]
    return {name: spam.EncodedMessages(rows(), labels, length, pad=pad) for name in ("train", "val")}


def trained(choice: Mapping[str, Any], **shortcuts: Any) -> tuple[list[float], list[float], list[int], torch.Tensor]:
    """Batch losses, evaluation losses and predictions, and where the generator stands at the end."""
    machine = compute.prepare(ComputeConfig(device=Device.cpu, **shortcuts))
    model = model_of(choice)
    shortened = frozen.shorten(model, machine, choice["position"], splits_of(choice, model))
    loaders = spam.loaders(shortened.splits, 1 if choice["padding"] == "none" else BATCH)
    loss_of = evaluate.class_loss(shortened.logits_of, machine, -100)
    torch.manual_seed(choice["seed"])
    optimizer = steps.adamw(model, lr=1e-3, weight_decay=0.1)
    batch_losses, losses = [], []
    for step in steps.Steps(model, loaders["train"], optimizer, loss_of, epochs=2):
        batch_losses.append(step.loss)
        if step.ends_epoch:
            with evaluate.evaluating(model):
                losses += [evaluate.mean_loss(loader, loss_of) for loader in loaders.values()]
    with evaluate.evaluating(model):
        found = [
            evaluate.predict(loader, shortened.logits_of, lengths=shortened.lengths) for loader in loaders.values()
        ]
    predicted = [row for one in found for row in torch.stack([one.indices, one.labels, one.predicted]).T.tolist()]
    return batch_losses, losses, predicted, torch.get_rng_state()


@pytest.mark.usefixtures("_own_folder")
@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(CHOICES)
def test_training_with_every_shortcut_is_training_without(choice: dict[str, Any]) -> None:
    ours, plain = trained(choice, **({choice["without"]: False} if choice["without"] else {})), trained(choice, **PLAIN)
    for found, expected in zip(ours[:2], plain[:2], strict=True):
        assert found[:20] == pytest.approx(expected[:20], abs=2e-6, rel=0)
    assert ours[2] == plain[2]
    assert torch.equal(ours[3], plain[3]), "the same was drawn"


@pytest.mark.parametrize(
    "position, causal, tokens, last",
    [
        (Position.first, True, [1], 1),
        (Position.first, False, [9], 1),
        (Position.last, True, [9], 1),
        (Position.last_real, True, [2, 5], 1),
        (Position.last_real, False, [9], 1),
        (Position.mean, True, [9], 9),
    ],
)
@pytest.mark.parametrize("family", Family)
def test_what_cannot_act_on_the_class_is_not_computed(
    family: Family, position: Position, causal: bool, tokens: list[int], last: int
) -> None:
    """`tokens`: of the batches, in order, that the first block is given; `last`: those that leave the last block."""
    choice = {"family": family, "causal": causal, "dropout": "", "seed": 1, "trainable": Trainable.all}
    model = model_of(choice)
    pad = model.tokenizer.pad
    data = spam.EncodedMessages([[pad + 1] * n for n in (5, 1, 2, 4)], [0, 1, 0, 1], 9, pad=pad)
    shortened = frozen.shorten(model, compute.prepare(ComputeConfig(device=Device.cpu)), position, {"train": data})
    given, left = [], []
    model.blocks[0].register_forward_pre_hook(lambda _, arguments: given.append(arguments[0].shape[1]))
    model.blocks[-1].ff.register_forward_hook(lambda _, arguments, out: left.append(out.shape[1]))
    with evaluate.evaluating(model):
        found = evaluate.predict(spam.loaders({"val": data}, 2)["val"], shortened.logits_of, lengths=shortened.lengths)
    assert found.indices.tolist() == [0, 1, 2, 3] and found.labels.tolist() == [0, 1, 0, 1]
    assert sorted(set(given)) == tokens and set(left) == {last}


def test_while_random_numbers_are_drawn_everything_is_computed() -> None:
    choice = {"family": Family.gpt, "causal": True, "dropout": "attn", "seed": 1, "trainable": Trainable.all}
    only_needed = evaluate.needed_only(model := model_of(choice), compute.prepare(ComputeConfig(device=Device.cpu)))
    assert not only_needed()
    model.eval()
    assert only_needed()


@pytest.fixture
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCHLAB_FEATURES", str(tmp_path))
