"""Where a class is read and what may train, on models small enough to follow by hand."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scratchlab.model import tune
from scratchlab.model.classifier import class_logits, logits_from, needed, place
from scratchlab.model.config import GPTConfig, LoRAScaling, Position, Trainable, TuneConfig
from scratchlab.model.gpt import GPT

PAD = 0


class Block:
    """Adds ten, and says how many tokens it was given, or at which places it was asked."""

    def __init__(self, said: list[Any]) -> None:
        self.said = said

    def __call__(self, x: Tensor, positions: Tensor) -> Tensor:
        assert positions.tolist() == list(range(x.shape[1]))
        self.said.append(x.shape[1])
        return x + 10

    def forward_at(self, x: Tensor, positions: Tensor, at: Tensor) -> Tensor:
        assert positions.tolist() == list(range(x.shape[1]))
        self.said.append((x.shape[1], at.tolist()))
        return (x + 10)[torch.arange(len(x)), at]


def model(blocks: int = 2, causal: bool = True) -> Any:
    """Ids as numbers, plus ten a block, plus a thousand by the head."""
    said: list[Any] = []

    def embed(ids: Tensor, positions: Tensor) -> Tensor:
        assert positions.tolist() == list(range(ids.shape[1]))
        return ids[..., None].float()

    return SimpleNamespace(
        config=SimpleNamespace(causal=causal),
        tokenizer=SimpleNamespace(pad=PAD),
        embed=embed,
        blocks=[Block(said) for _ in range(blocks)],
        head=lambda x: x + 1000,
        said=said,
    )


IDS = torch.tensor([[1, 2, 3, PAD, PAD], [4, PAD, PAD, PAD, PAD]])
READ: dict[Position, tuple[list[float], list[Any]]] = {
    # the numbers that are read, and how much each block sees of what is needed
    Position.first: ([1, 4], [1, (1, [0, 0])]),
    Position.last: ([0, 0], [5, (5, [4, 4])]),
    Position.last_real: ([3, 4], [3, (3, [2, 0])]),
    Position.mean: ([6 / 5, 4 / 5], [5, 5]),
}


@pytest.mark.parametrize("position", Position)
def test_a_class_is_read_after_all_blocks_at_its_place(position: Position) -> None:
    numbers, seen = READ[position]
    whole, short = model(), model()
    expected = pytest.approx([number + 1020 for number in numbers])
    assert class_logits(whole, IDS, position).flatten().tolist() == expected and whole.said == [5, 5]
    assert class_logits(short, IDS, position, only_needed=True).flatten().tolist() == expected and short.said == seen


@pytest.mark.parametrize("position", Position)
def test_where_tokens_see_later_ones_all_are_needed(position: Position) -> None:
    numbers, seen = READ[position]
    open_ = model(causal=False)
    assert needed(open_, IDS, position) == 5 and needed(model(), IDS, position) == seen[0]
    found = class_logits(open_, IDS, position, only_needed=True).flatten().tolist()
    assert found == pytest.approx([number + 1020 for number in numbers]) and open_.said[0] == 5


@pytest.mark.parametrize("only_needed", [False, True])
@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_blocks_that_are_done_are_not_done_again(done: int, only_needed: bool) -> None:
    found = model(blocks=3)
    x = IDS[..., None].float() + 10 * done
    logits = logits_from(found, x, IDS, Position.last_real, done=done, only_needed=only_needed)
    assert logits.flatten().tolist() == [1033, 1034]
    tokens: list[Any] = [3 if only_needed else 5] * (3 - done)
    assert found.said == (tokens if not only_needed or done == 3 else [*tokens[:-1], (3, [2, 0])])
    by_default = model(blocks=3)
    logits_from(by_default, x, IDS, Position.last_real, done=done)
    assert by_default.said == [5] * (3 - done)


def test_a_row_of_nothing_but_padding_is_read_at_its_end() -> None:
    ids = torch.tensor([[PAD] * 3, [7] * 3, [7, 7, PAD]])
    assert place(model(), ids, Position.last_real).tolist() == [2, 2, 1]
    assert place(model(), ids, Position.last).tolist() == [2, 2, 2]
    assert place(model(), ids, Position.first).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="no one place is read"):
        place(model(), ids, Position.mean)


# what may train


def test_lora_adds_its_product_times_the_scale_and_can_be_merged() -> None:
    linear = nn.Linear(2, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        linear.bias.copy_(torch.tensor([10.0, 20.0]))
    layer = tune.LinearWithLoRA(linear, rank=1, scale=0.5)
    x = torch.tensor([[1.0, 1.0]])
    assert layer(x).tolist() == [[13.0, 27.0]] and layer.lora.B.tolist() == [[0.0, 0.0]]
    with torch.no_grad():
        layer.lora.A.copy_(torch.tensor([[2.0], [4.0]]))
        layer.lora.B.copy_(torch.tensor([[1.0, 3.0]]))
    assert layer(x).tolist() == [[16.0, 36.0]]  # 0.5 * 6 * (1, 3) more
    assert layer.merged().weight.tolist() == [[2.0, 4.0], [6.0, 10.0]]


def test_the_matrices_of_lora_are_drawn_as_appendix_e_draws_them() -> None:
    # kaiming_uniform_ with a = sqrt(5): bound sqrt(6 / ((1 + a^2) fan)), where the fan is the rank
    torch.manual_seed(3)
    found = tune.LoRALayer(nn.Linear(6, 5), rank=4, scale=1.0).A
    torch.manual_seed(3)
    nn.Linear(6, 5)
    expected = torch.empty(6, 4).uniform_(-1 / math.sqrt(4), 1 / math.sqrt(4))
    assert torch.equal(found, expected)


def gpt(n_layers: int = 2) -> GPT:
    return GPT(GPTConfig(vocab_size=11, context_length=8, emb_dim=4, n_heads=2, n_layers=n_layers))


def tuned(trainable: Trainable, *, n_layers: int = 2, new_head: bool = True, **more: Any) -> list[str]:
    """The parts that train, by the first two words of their names."""
    lora = {"lora_rank": 2, "lora_alpha": 3.0} if trainable is Trainable.lora else {}
    made = gpt(n_layers)
    tune.choose_trainable(made, TuneConfig(trainable=trainable, **(lora | more)), new_head=new_head)
    names = [name.split(".") for name, parameter in made.named_parameters() if parameter.requires_grad]
    return sorted({".".join(words[:2] if words[0] == "trf_blocks" else words[:1]) for words in names})


def test_what_trains_under_each_choice() -> None:
    blocks = ["trf_blocks.0", "trf_blocks.1"]
    every = ["final_norm", "out_head", "pos_emb", "tok_emb", *blocks]
    assert tuned(Trainable.all) == every == tuned(Trainable.all, new_head=False)
    assert tuned(Trainable.last_layer) == ["out_head"] and tuned(Trainable.last_layer, new_head=False) == []
    assert tuned(Trainable.last_block) == ["final_norm", "out_head", "trf_blocks.1"]
    assert tuned(Trainable.last_block, new_head=False) == ["final_norm", "trf_blocks.1"]
    assert tuned(Trainable.last_two_blocks) == ["final_norm", "out_head", *blocks]
    assert tuned(Trainable.last_two_blocks, n_layers=3) == ["final_norm", "out_head", "trf_blocks.1", "trf_blocks.2"]
    with pytest.raises(ValueError, match="tune=last_two_blocks needs 2 blocks, the model has 1"):
        tuned(Trainable.last_two_blocks, n_layers=1)


def test_under_lora_its_matrices_train_and_a_new_head_s_weights_unless_they_are_not_to() -> None:
    def names(*, new_head: bool, **more: Any) -> set[str]:
        made = gpt()
        config = TuneConfig(trainable=Trainable.lora, lora_rank=2, lora_alpha=3.0, **more)
        tune.choose_trainable(made, config, new_head=new_head)
        linear = [module for module in made.modules() if isinstance(module, tune.LinearWithLoRA)]
        assert len(linear) == 13 and {layer.lora.scale for layer in linear} == {3.0}
        assert all(layer.lora.A.requires_grad and layer.lora.B.requires_grad for layer in linear)
        return {name for name, p in made.named_parameters() if p.requires_grad and ".lora." not in name}

    assert names(new_head=True) == {"out_head.linear.weight"}
    assert names(new_head=False) == set() == names(new_head=True, train_head=False)


def test_the_literature_s_scaling_divides_by_the_rank_and_a_merged_model_is_plain() -> None:
    made = gpt()
    with torch.no_grad():
        ids = torch.arange(8)[None]
        config = TuneConfig(
            trainable=Trainable.lora, lora_rank=2, lora_alpha=3.0, lora_scaling=LoRAScaling.alpha_over_rank
        )
        tune.add_lora(made, config)
        layers = [module for module in made.modules() if isinstance(module, tune.LinearWithLoRA)]
        assert {layer.lora.scale for layer in layers} == {1.5}
        for layer in layers:
            layer.lora.B.fill_(0.1)
        before = made(ids)
        tune.merge_lora(made)
        torch.testing.assert_close(made(ids), before, atol=1e-5, rtol=1e-5)
    assert not any(isinstance(module, tune.LinearWithLoRA | tune.LoRALayer) for module in made.modules())


def test_a_head_that_is_the_embedding_cannot_train_alone() -> None:
    made = gpt()
    made.out_head = None  # type: ignore[assignment]
    with pytest.raises(ValueError, match="tune=last_layer: the model's head is its token embedding"):
        tune.choose_trainable(made, TuneConfig(trainable=Trainable.last_layer), new_head=True)
    tune.choose_trainable(made, TuneConfig(trainable=Trainable.last_block), new_head=False)
