"""The seam between models and what uses them: a second family passes through it without a change to the package."""

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import pandas as pd
import pytest
import tiktoken
import torch
from test_prompts import template
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter
from torch.nn import functional as F

from scratchlab.data import instructions, spam
from scratchlab.data.config import MessagesConfig
from scratchlab.generation import responses, sampling
from scratchlab.generation.config import SamplingConfig
from scratchlab.launch import compose
from scratchlab.model import compute, families, tune
from scratchlab.model.cache import KeyValueCache
from scratchlab.model.classifier import class_logits
from scratchlab.model.config import GPTConfig, ModelConfig, Position, Trainable, TuneConfig, check_vocabulary
from scratchlab.model.decoder import SHORT, Block, Decoder, attend
from scratchlab.model.gpt import GPT
from scratchlab.model.huggingface import save_huggingface
from scratchlab.model.parameters import count
from scratchlab.model.shapes import Family
from scratchlab.model.state_files import load_checkpoint, save_state
from scratchlab.runs.config import ComputeConfig, Device, Precision
from scratchlab.text.tokenizer import Tokenizer
from scratchlab.training import evaluate, steps

PAD, END = 256, 257


@cache
def letters() -> Tokenizer:
    """A token for every byte; one to pad, and another one to end."""
    encoding = partial(
        tiktoken.Encoding,
        "letters",
        pat_str=r"(?s).",
        mergeable_ranks={bytes([byte]): byte for byte in range(256)},
        special_tokens={"<|pad|>": PAD, "<|end|>": END},
    )
    return Tokenizer("letters", 258, end=END, pad=PAD, load=encoding, files=lambda context_length: {})


@dataclass(kw_only=True)
class RotaryConfig:
    vocab_size: int = 258
    context_length: int = 40
    emb_dim: int = 32
    n_heads: int = 4
    n_kv_heads: int = 2
    n_layers: int = 3
    causal: bool = True

    @property
    def tokenizer(self) -> Tokenizer:
        return letters()


def rotated(x: Tensor, positions: Tensor) -> Tensor:
    """Turn (B, H, T, D) by angles that grow with the position."""
    half = x.shape[-1] // 2
    angles = positions[..., None] * 100.0 ** (-torch.arange(half, device=x.device) / half)
    cos, sin = angles.cos().unsqueeze(-3), angles.sin().unsqueeze(-3)  # (1 or B, 1, T, D / 2)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class RotaryBlock(Block):
    def __init__(self, config: RotaryConfig) -> None:
        super().__init__()
        C, self.D, self.causal = config.emb_dim, config.emb_dim // config.n_heads, config.causal
        self.groups = config.n_heads // config.n_kv_heads
        self.norm1, self.norm2 = nn.RMSNorm(C), nn.RMSNorm(C)
        self.query, self.out = nn.Linear(C, C, bias=False), nn.Linear(C, C, bias=False)
        self.key, self.value = (nn.Linear(C, C // self.groups, bias=False) for _ in range(2))
        self.gate, self.up = nn.Linear(C, 2 * C, bias=False), nn.Linear(C, 2 * C, bias=False)
        self.down = nn.Linear(2 * C, C, bias=False)

    def forward(
        self, x: Tensor, positions: Tensor, cache: KeyValueCache | None = None, mask: Tensor | None = None
    ) -> Tensor:
        seen = self.norm1(x)
        q, k, v = (
            layer(seen).unflatten(-1, (-1, self.D)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        q, k = rotated(q, positions), rotated(k, positions)
        if cache is not None:
            k, v = cache.extend(k, v)
        k, v = (part.repeat_interleave(self.groups, dim=1) for part in (k, v))
        several = x.shape[1] > 1 and self.causal and mask is None
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=several)
        x = x + self.out(out.transpose(1, 2).flatten(2))
        seen = self.norm2(x)
        return x + self.down(F.silu(self.gate(seen)) * self.up(seen))


class Rotary(Decoder):
    """RMS norm, rotary positions, two key and value heads for four of queries, and a head that is the embedding."""

    config: RotaryConfig

    def __init__(self, config: RotaryConfig) -> None:
        super().__init__()
        self.config = config
        self.tok_emb = nn.Embedding(config.vocab_size, config.emb_dim)
        self.layers = nn.ModuleList(RotaryBlock(config) for _ in range(config.n_layers))
        self.final_norm = nn.RMSNorm(config.emb_dim)
        self.out_head = None

    @property
    def blocks(self) -> list[RotaryBlock]:
        return list(self.layers)  # type: ignore[arg-type]

    def embed(self, ids: Tensor, positions: Tensor) -> Tensor:
        return self.tok_emb(ids)

    def head(self, x: Tensor) -> Tensor:
        x = self.final_norm(x)
        return F.linear(x, self.tok_emb.weight) if self.out_head is None else self.out_head(x)

    def new_cache(self, rows: int, slots: int, *, like: Tensor) -> list[KeyValueCache]:
        c = self.config
        return [KeyValueCache.empty(rows, c.n_kv_heads, slots, c.emb_dim // c.n_heads, like=like) for _ in self.layers]


def rotary(**changes: int) -> Decoder:
    torch.manual_seed(5)
    return spread(Rotary(RotaryConfig(**changes)).eval())


def spread(model: Decoder) -> Decoder:
    """The model with logits far enough apart that no two texts are alike."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=1 / math.sqrt(parameter.shape[-1]))
    return model


def gpt(**changes: int) -> Decoder:
    torch.manual_seed(5)
    sizes = {"vocab_size": 258, "context_length": 40, "emb_dim": 32, "n_heads": 4, "n_layers": 3} | changes
    return families.make(GPTConfig(**sizes)).eval()  # type: ignore[arg-type]


def llama(**changes: int) -> Decoder:
    torch.manual_seed(5)
    sizes = {"vocab_size": 258, "context_length": 40, "emb_dim": 32, "n_heads": 4, "n_layers": 3} | changes
    more = {"n_kv_heads": 2, "ff_dim": 64, "rope_theta": 100.0, "norm_eps": 1e-5}
    return spread(families.make(ModelConfig(family=Family.llama, **sizes, **more)).eval())  # type: ignore[arg-type]


FAMILIES = {"gpt": gpt, "rotary": rotary, "llama": llama}
TUNINGS = {
    Trainable.all: TuneConfig(),
    Trainable.last_layer: TuneConfig(trainable=Trainable.last_layer),
    Trainable.last_block: TuneConfig(trainable=Trainable.last_block),
    Trainable.last_two_blocks: TuneConfig(trainable=Trainable.last_two_blocks),
    Trainable.lora: TuneConfig(trainable=Trainable.lora, lora_rank=2, lora_alpha=4.0),
}
Make = Callable[..., Decoder]


@pytest.fixture(params=FAMILIES)
def make(request: pytest.FixtureRequest) -> Make:
    return FAMILIES[request.param]


def ids(rows: int = 3, tokens: int = 12) -> Tensor:
    return torch.randint(256, (rows, tokens), generator=torch.Generator().manual_seed(1))


def test_the_configuration_says_which_class_is_made_and_how_it_reads() -> None:
    model = gpt()
    assert isinstance(model, GPT) and isinstance(model, Decoder)
    assert model.tokenizer is model.config.tokenizer
    assert (model.tokenizer.vocab_size, model.tokenizer.end, model.tokenizer.pad) == (50257, 50256, 50256)


def test_a_decoder_that_lacks_a_part_cannot_be_made() -> None:
    class Half(Rotary):
        new_cache = Decoder.new_cache

    with pytest.raises(TypeError, match="new_cache"):
        Half(RotaryConfig())


@pytest.mark.parametrize("trainable", Trainable)
def test_the_first_trainable_part_is_the_first_that_training_moves(make: Make, trainable: Trainable) -> None:
    model = make()
    tune.add_class_head(model, 2)
    tune.choose_trainable(model, TUNINGS[trainable], new_head=True)
    expected = {Trainable.all: 0, Trainable.lora: 1, Trainable.last_two_blocks: 2, Trainable.last_block: 3}
    assert model.first_trainable() == expected.get(trainable, 4)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    F.cross_entropy(class_logits(model, ids(), Position.mean), torch.tensor([0, 1, 0])).backward()
    steps.adamw(model, lr=1e-2, weight_decay=0.1).step()
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    chosen = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    # LoRA's A has no gradient while B is zero, but weight decay moves it
    assert moved == chosen


def test_where_nothing_trains_the_first_trainable_part_lies_beyond_the_head(make: Make) -> None:
    model = make().requires_grad_(False)
    assert model.first_trainable() == 5
    model.final_norm.requires_grad_(True)
    assert model.first_trainable() == 4
    # a tied head cannot train without the embedding, a head of one's own can
    tied = model.out_head is None
    (model.tok_emb if tied else model.out_head).requires_grad_(True)  # type: ignore[union-attr]
    assert model.first_trainable() == (0 if tied else 4)


@pytest.mark.parametrize("make", [rotary, llama])
def test_a_tied_head_has_no_last_layer_to_train(make: Make) -> None:
    with pytest.raises(ValueError, match="tune=last_layer: the model's head is its token embedding.*tune=last_block"):
        tune.choose_trainable(make(), TUNINGS[Trainable.last_layer], new_head=True)


def test_lora_starts_as_the_identity_and_merges_in_any_family(make: Make) -> None:
    model = make()
    plain, parameters = model(ids()), count(model.parameters())
    tune.choose_trainable(model, TUNINGS[Trainable.lora], new_head=False)
    torch.testing.assert_close(model(ids()), plain)
    for layer in model.modules():
        if isinstance(layer, tune.LoRALayer):
            nn.init.normal_(layer.B, std=0.1)
    changed = model(ids())
    assert (changed - plain).abs().max() > 0.1
    tune.merge_lora(model)
    torch.testing.assert_close(model(ids()), changed, atol=1e-4, rtol=1e-4)
    assert count(model.parameters()) == parameters


def test_every_position_is_read_with_the_padding_of_the_model_s_own_tokenizer(make: Make) -> None:
    model = make(vocab_size=50257 if make is gpt else 258)
    pad = model.tokenizer.pad
    assert pad == {gpt: 50256, rotary: PAD, llama: 2}[make]
    tune.add_class_head(model, 2)
    padded = torch.tensor([[5, 6, 7, pad, pad], [5, 6, 7, 8, END]])
    logits = model(padded)
    assert logits.shape == (2, 5, 2)
    for position, expected in {
        Position.first: logits[:, 0],
        Position.last: logits[:, -1],
        Position.last_real: torch.stack([logits[0, 2], logits[1, 4]]),
        Position.mean: logits.mean(dim=1),
    }.items():
        torch.testing.assert_close(class_logits(model, padded, position), expected)


def without_cache(model: Decoder, prompt: list[int], new: int) -> list[int]:
    written = list(prompt)
    with torch.no_grad():
        for _ in range(new):
            window = torch.tensor([written[-model.config.context_length :]])
            written.append(int(model(window)[0, -1].argmax()))
    return written[len(prompt) :]


def test_generation_with_a_cache_is_the_plain_loop_token_for_token(make: Make) -> None:
    model = make()
    prompts = [ids(1, length)[0].tolist() for length in (3, 17, 9, 38, 17)]  # the longest soon slide their window
    expected = [without_cache(model, prompt, 20) for prompt in prompts]
    assert sampling.generate(model, prompts, SamplingConfig(max_new_tokens=20)) == expected
    assert make is gpt or len({tuple(text) for text in expected}) == 4  # two prompts are one


def test_a_cache_has_the_shape_that_the_family_gives_it() -> None:
    like = torch.zeros(1, 1, 32)
    for model, heads in ((gpt(), 4), (rotary(), 2), (llama(), 2)):
        found = model.new_cache(3, 7, like=like)
        assert [cache.keys.shape for cache in found] == [(3, heads, 7, 8)] * 3


def test_answers_end_at_the_end_token_of_the_model(tmp_path: Path) -> None:
    model = rotary()
    prompt, entries = template("phi3"), [{"instruction": f"Say {i}", "input": "", "output": ""} for i in range(3)]
    machine = compute.prepare(ComputeConfig(device=Device.cpu))

    def answers(path: Path) -> list[list[int]]:
        way = SamplingConfig(max_new_tokens=6)
        return responses.answer(model, prompt, entries, way, path, seed=1, autocast=machine.autocast())

    free = answers(tmp_path / "free.jsonl")
    assert all(len(tokens) == 6 for tokens in free)
    with torch.no_grad():  # the end token now says what the first answer's third token said, only louder
        model.tok_emb.weight[END] = 3 * model.tok_emb.weight[free[0][2]]
    ended = answers(tmp_path / "ended.jsonl")
    assert len(ended[0]) <= 2 and all(END not in tokens for tokens in ended)
    [first, *_] = responses.with_responses(model.tokenizer, prompt, entries, free)
    assert first["model_response"] in letters().decode(free[0])


def test_instructions_are_padded_and_ended_with_the_tokens_of_the_model() -> None:
    entries = [{"instruction": "Hi", "input": "", "output": text} for text in ("<|end|>", "no")]
    items = instructions.Instructions(entries, template("phi3"), letters())
    inputs, targets = instructions.collate(items.items, letters(), mask=True, max_length=1024)
    assert bytes(inputs[0].tolist()).decode().endswith("<|end|>")  # text that reads like it is text
    assert inputs[1, -5:].tolist() == [PAD] * 5
    assert targets[0, -1] == END
    real = len(items[1].ids)
    assert targets[1, real - 1] == END and targets[1, real:].tolist() == [instructions.IGNORE] * 5


def test_messages_are_padded_and_classified_with_the_tokens_of_the_model() -> None:
    frame = pd.DataFrame({"Label": [0, 1, 0], "Text": ["hi", "win <|end|>", "ok then"]})
    encoded = spam.encode(dict.fromkeys(spam.SPLITS, frame), MessagesConfig(), letters(), 40)
    assert encoded.length == len("win <|end|>")
    assert encoded.splits["test"].rows[0].tolist() == [*b"hi", *[PAD] * 9]
    model = rotary()
    tune.add_class_head(model, 2)
    machine = compute.prepare(ComputeConfig(device=Device.cpu))
    logits_of = evaluate.class_logits_of(model, machine, Position.last_real)
    with evaluate.evaluating(model):
        found = evaluate.predict(spam.loaders(encoded.splits, 3)["test"], logits_of)
        alone = logits_of((torch.tensor([list(b"hi")]),)).softmax(dim=-1)
    torch.testing.assert_close(found.probabilities[0], alone[0])


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
@pytest.mark.parametrize("classes", [0, 2])
def test_what_was_saved_is_loaded_into_a_model_without_memory(
    make: Make, ending: str, classes: int, tmp_path: Path
) -> None:
    model = make()
    if classes:
        tune.add_class_head(model, classes)
    save_state(model, tmp_path / f"model{ending}")
    with torch.device("meta"):
        again = type(model)(model.config)  # type: ignore[arg-type]
        if classes:
            tune.add_class_head(again, classes)
    load_checkpoint(again, tmp_path / f"model{ending}")
    assert torch.equal(again.eval()(ids()), model(ids()))


def test_a_family_without_a_hugging_face_form_is_not_written_as_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a Rotary has no Hugging Face form here; possible: .pth"):
        save_huggingface(rotary(), tmp_path)


def test_a_vocabulary_must_be_the_tokenizer_s_in_every_family() -> None:
    check_vocabulary(RotaryConfig())
    with pytest.raises(ValueError, match="model.vocab_size=259: text is encoded with letters's 258 tokens; possible"):
        check_vocabulary(RotaryConfig(vocab_size=259))


@pytest.mark.parametrize(
    "words",
    [
        ["task=classify", "weights=random"],
        ["task=instruct", "weights=random"],
        ["task=pretrain", "weights=random"],
        ["task=generate", "weights=random"],
        ["task=score", "weights=random", "data=verdict"],
        ["task=sampling_grid"],
        ["task=deterministic"],
        ["task=preview"],
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("size", [100, 50304])
def test_a_vocabulary_that_is_not_the_tokenizer_s_is_refused_at_the_door(words: list[str], size: int) -> None:
    message = f"model.vocab_size={size}: text is encoded with GPT-2's 50257 tokens; possible: model.vocab_size=50257"
    with pytest.raises(ValueError, match=message):
        compose.compose([*words, f"model.vocab_size={size}"])


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Iterator[CompileCounter]:
    """Counts what is compiled, and computes it as it stands."""
    torch._dynamo.reset()
    counting = CompileCounter()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counting))
    yield counting
    torch._dynamo.reset()


def test_compilation_acts_on_classification_generation_and_the_forward_pass(
    make: Make, counter: CompileCounter
) -> None:
    plain, model = make(n_layers=1), make(n_layers=1)
    compute.prepare(ComputeConfig(device=Device.cpu, compile=True)).prepare(model)
    uses: dict[str, Callable[[Decoder], object]] = {
        "training": lambda m: m(ids()).detach().tolist(),
        "generation": lambda m: sampling.generate(m, ids(2, 5).tolist(), SamplingConfig(max_new_tokens=4)),
        "classification": lambda m: class_logits(m.requires_grad_(False), ids(2), Position.last).tolist(),
    }
    for name, use in uses.items():
        before = counter.frame_count
        assert use(model) == use(plain), name
        assert counter.frame_count > before, f"{name} compiled nothing"


def test_without_being_asked_nothing_is_compiled(counter: CompileCounter) -> None:
    model = gpt(n_layers=1)
    compute.prepare(ComputeConfig(device=Device.cpu)).prepare(model)
    model(ids())
    assert counter.frame_count == 0


@pytest.mark.parametrize(
    ("described", "has"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 sse\n", True),
        ("Features\t: fp asimd bf16 sve\n", True),
        ("flags\t\t: fpu avx2 f16c\n", False),
        ("", None),
    ],
)
def test_whether_a_processor_multiplies_in_bfloat16_is_read_from_what_the_kernel_says(
    described: str, has: bool | None
) -> None:
    assert compute.has_bfloat16(described) is has


@pytest.mark.parametrize("has", [True, False, None])
def test_bfloat16_on_a_processor_without_it_is_told(
    has: bool | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compute, "has_bfloat16", lambda: has)
    for precision in Precision:
        compute.prepare(ComputeConfig(device=Device.cpu, precision=precision))
    assert ("slower than compute.precision=float32" in caplog.text) is (has is False)


@pytest.mark.parametrize("learns, tokens, exact", [(True, SHORT, True), (True, SHORT + 1, False), (False, 8, False)])
def test_what_is_learned_from_few_tokens_in_bfloat16_is_attended_to_in_float32(
    learns: bool, tokens: int, exact: bool
) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, tokens, 8).bfloat16().requires_grad_(learns) for _ in range(3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = attend(query.float(), key, value, is_causal=True)  # turned queries come in float32
    plain = F.scaled_dot_product_attention(query.float(), key.float(), value.float(), is_causal=True).bfloat16()
    assert found.dtype == torch.bfloat16 and torch.equal(found, plain) is exact
    torch.testing.assert_close(found, plain, atol=0.03, rtol=0)


def test_large_tensors_ask_for_large_pages_unless_the_user_says_otherwise() -> None:
    show = "import os, scratchlab; print(os.environ['THP_MEM_ALLOC_ENABLE'])"
    for said, found in ({}, "1"), ({"THP_MEM_ALLOC_ENABLE": "0"}, "0"):
        environment = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
        done = subprocess.run([sys.executable, "-c", show], env=environment | said, capture_output=True, text=True)
        assert done.stdout.split() == [found], done.stderr
