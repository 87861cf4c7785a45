"""The loss over the vocabulary in chunks gives what the whole matrix of logits gives, which then never exists."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from scratchlab.model import compute, tune, vocabulary_loss
from scratchlab.model.config import GPTConfig, ModelConfig, Position, Trainable, TuneConfig
from scratchlab.model.decoder import Decoder
from scratchlab.model.gpt import GPT
from scratchlab.model.llama import Llama
from scratchlab.model.rounded import RoundedFrozen
from scratchlab.model.shapes import Family
from scratchlab.runs.config import ComputeConfig, Device, Precision
from scratchlab.training import evaluate

V, ROWS = 301, 24
BFLOAT16 = ComputeConfig(device=Device.cpu, precision=Precision.bfloat16)


@pytest.fixture(autouse=True, scope="module")
def small_chunks() -> Iterator[None]:
    """One thread, and chunks so small that a few targets make several."""
    threads, rows = torch.get_num_threads(), vocabulary_loss.ROWS
    torch.set_num_threads(1)
    vocabulary_loss.ROWS = ROWS
    yield
    vocabulary_loss.ROWS = rows
    torch.set_num_threads(threads)


def gpt(tuning: Trainable) -> Decoder:
    torch.manual_seed(3)
    model = GPT(GPTConfig(emb_dim=16, n_heads=2, n_layers=1, vocab_size=V, context_length=64))
    lora = {"lora_rank": 4, "lora_alpha": 8.0} if tuning is Trainable.lora else {}
    config = TuneConfig(trainable=tuning, **lora)  # type: ignore[arg-type]
    tune.choose_trainable(model, config, new_head=tuning is Trainable.last_layer)
    for name, parameter in model.named_parameters():
        if name.endswith("lora.B"):  # as it starts, A would learn nothing
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def llama() -> Decoder:
    torch.manual_seed(3)
    shape = dict(emb_dim=16, n_heads=2, n_kv_heads=1, n_layers=1, ff_dim=32, vocab_size=V, context_length=64)
    rest = dict(family=Family.llama, rope_theta=1e4, norm_eps=1e-5)
    return Llama(ModelConfig(**shape, **rest))  # type: ignore[arg-type]


MODELS = {
    "all": lambda: gpt(Trainable.all),
    "lora": lambda: gpt(Trainable.lora),
    "last_layer": lambda: gpt(Trainable.last_layer),
    "tied": llama,
}


def losses_and_gradients(model: Decoder, count: int, *, plain: bool, factor: float, autocast: bool) -> list[Tensor]:
    """The loss, the states' gradient and every parameter's, of the chunks or of the whole matrix."""
    torch.manual_seed(count)
    x = (3 * torch.randn(count, model.config.emb_dim)).requires_grad_()
    targets = torch.randint(V, (count,))
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16) if autocast else nullcontext():
        if plain:
            loss = F.cross_entropy(model.head(x).float(), targets)
        else:
            loss = vocabulary_loss.vocabulary_loss(model, x, targets)
    (loss * factor).backward()
    return [loss.detach(), x.grad, *(p.grad for p in model.parameters() if p.grad is not None)]  # type: ignore[list-item]


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=12, deadline=None)
@given(count=st.integers(1, 4 * ROWS), factor=st.sampled_from([1.0, 0.125]))
def test_chunks_give_the_loss_and_the_gradients_of_the_whole_matrix(name: str, count: int, factor: float) -> None:
    model = MODELS[name]()
    chunks, whole = (
        losses_and_gradients(model, count, plain=plain, factor=factor, autocast=False) for plain in (False, True)
    )
    assert len(chunks) == len(whole) >= 3
    assert chunks[0].item() == pytest.approx(whole[0].item(), abs=2e-6)
    for ours, theirs in zip(chunks[1:], whole[1:], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", MODELS)
def test_a_single_chunk_is_the_plain_computation_to_the_bit(name: str) -> None:
    model = MODELS[name]()
    one, whole = (losses_and_gradients(model, ROWS, plain=p, factor=0.5, autocast=False) for p in (False, True))
    assert all(torch.equal(a, b) for a, b in zip(one, whole, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_under_bfloat16_autocast_chunks_stay_as_near_as_its_rounding_allows(name: str) -> None:
    model = MODELS[name]()
    chunks, whole = (losses_and_gradients(model, 80, plain=p, factor=1.0, autocast=True) for p in (False, True))
    assert chunks[0].item() == pytest.approx(whole[0].item(), abs=2e-3)
    for ours, theirs in zip(chunks[1:], whole[1:], strict=True):
        assert (ours - theirs).norm() <= 0.02 * theirs.norm()
        assert ours.dtype == theirs.dtype == torch.float32


def test_without_gradients_chunks_give_the_loss_alone() -> None:
    model = gpt(Trainable.all)
    expected = losses_and_gradients(model, 90, plain=True, factor=1.0, autocast=False)[0]
    with torch.no_grad(), Largest() as seen:
        torch.manual_seed(90)
        x, targets = 3 * torch.randn(90, 16), torch.randint(V, (90,))
        loss = vocabulary_loss.vocabulary_loss(model, x, targets)
    assert loss.item() == pytest.approx(expected.item(), abs=2e-6)
    assert not loss.requires_grad
    assert seen.numbers <= ROWS * V


class Largest(TorchDispatchMode):
    """The most numbers that any tensor held which was computed under it."""

    numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return result


@pytest.mark.parametrize("plain", [False, True])
def test_the_whole_matrix_of_logits_never_exists(plain: bool) -> None:
    count = 10 * ROWS
    with Largest() as seen:
        losses_and_gradients(gpt(Trainable.all), count, plain=plain, factor=1.0, autocast=False)
    assert (seen.numbers >= count * V) is plain
    assert plain or seen.numbers <= ROWS * V


def test_a_head_that_is_no_plain_matrix_is_refused() -> None:
    model = gpt(Trainable.all)
    tune.add_class_head(model, 2)
    with pytest.raises(TypeError, match="the head is a Linear; possible: a linear layer without bias"):
        vocabulary_loss.vocabulary_loss(model, torch.randn(ROWS + 1, 16), torch.zeros(ROWS + 1, dtype=torch.long))


@pytest.mark.parametrize("classes", [False, True])
def test_frozen_weights_rounded_once_train_as_autocast_does_to_the_bit(classes: bool) -> None:
    model = gpt(Trainable.lora)
    machine = compute.prepare(BFLOAT16)
    batch = torch.randint(V, (3, 20)), torch.randint(V, (3,) if classes else (3, 20))
    found = []
    for checkpoints in (True, False):  # with checkpoints, nothing is rounded before
        model.checkpoints = checkpoints
        loss_of = evaluate.target_loss(model, machine)
        if classes:
            loss_of = evaluate.class_loss(evaluate.class_logits_of(model, machine, Position.last), machine, -100)
        model.zero_grad()
        for _ in range(2):
            loss = loss_of(batch)
            loss.backward()
        found.append([loss.detach(), *(p.grad for p in model.parameters() if p.requires_grad)])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    frozen = RoundedFrozen(model)
    with torch.autocast("cpu", dtype=torch.bfloat16), frozen():
        assert sum(parameter.dtype == torch.bfloat16 for parameter in model.parameters()) > 6
        assert all(parameter.dtype == torch.float32 for parameter in model.parameters() if parameter.requires_grad)
