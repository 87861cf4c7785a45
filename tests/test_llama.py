"""A second family behind the seam: SmolLM2, real where its file lies at hand, else tiny and random in the same form."""

import hashlib
import json
import math
import random
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import real

from scratchlab.__main__ import run
from scratchlab.assets import catalogue
from scratchlab.assets.fetch import Asset
from scratchlab.data import instructions
from scratchlab.generation import responses, sampling
from scratchlab.generation.config import SamplingConfig
from scratchlab.launch import compose
from scratchlab.model import families, weights
from scratchlab.model.config import ModelConfig, WeightsConfig, WeightSource
from scratchlab.model.huggingface import save_huggingface
from scratchlab.model.llama import Llama
from scratchlab.model.shapes import Family
from scratchlab.text.prompts import parts, templates
from scratchlab.text.smollm2 import END, MARKERS, VOCABULARY, smollm2
from scratchlab.text.tokenizer import Tokenizer, byte_letters

TINY = {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "ff_dim": 48, "context_length": 128}
SMALL = ["weights=random", "model=smollm2_135m", "compute.threads=1", *(f"model.{k}={v}" for k, v in TINY.items())]
ABSENT = {*range(0xF1, 0x100), 0xC0, 0xC1, *range(1, 5)}
"""Bytes that the made-up vocabulary lacks, as many as SmolLM2's."""


def tiny(**changes: Any) -> ModelConfig:
    values: dict[str, Any] = {"rope_theta": 1e5, "norm_eps": 1e-5, "vocab_size": VOCABULARY, **TINY, **changes}
    return ModelConfig(family=Family.llama, **values)


def random_model() -> Llama:
    torch.manual_seed(3)
    model = families.make(tiny())
    assert isinstance(model, Llama)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF file in the form of SmolLM2's: as many tokens, and a tiny random model."""
    import gguf

    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    letters = byte_letters()
    special = [*MARKERS, *(f"<|special_{i}|>" for i in range(14))]
    single = [letters[byte] for byte in range(256) if byte not in ABSENT]
    merges = list(islice(product(single, single), VOCABULARY - len(special) - len(single)))
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_token_list([*special, *single, *("".join(pair) for pair in merges)])
    writer.add_token_types([3] * len(special) + [1] * (VOCABULARY - len(special)))
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_eos_token_id(END)
    writer.add_pad_token_id(END)
    writer.add_chat_template("{{ messages }}")
    for name, tensor in stored(random_model()).items():
        writer.add_tensor(name, tensor.detach().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def stored(model: Llama) -> dict[str, torch.Tensor]:
    """The model's tensors as llama.cpp's converter keeps them: rows of queries and keys interleaved."""
    names = {"norm1": "attn_norm", "norm2": "ffn_norm", "ff.gate": "ffn_gate", "ff.up": "ffn_up", "ff.down": "ffn_down"}
    names |= {"att.W_query": "attn_q", "att.W_key": "attn_k", "att.W_value": "attn_v", "att.out_proj": "attn_output"}
    found = {"token_embd.weight": model.tok_emb.weight, "output_norm.weight": model.final_norm.weight}
    for number, block in enumerate(model.blocks):
        for ours, theirs in names.items():
            tensor = block.get_submodule(ours).weight
            if theirs in ("attn_q", "attn_k"):
                heads = block.att.n_heads if theirs == "attn_q" else block.att.n_kv_heads
                tensor = tensor.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2).contiguous()
            found[f"blk.{number}.{theirs}.weight"] = tensor
    return found  # type: ignore[return-value]


@pytest.fixture
def tokenizer(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tokenizer]:
    """SmolLM2's tokenizer, as it is read from the made-up file."""
    asset = Asset("tiny.gguf", "none", (), hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.setattr(catalogue, "SMOLLM2", asset)
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "tiny.gguf").symlink_to(file)
    monkeypatch.setenv("SCRATCHLAB_CACHE", str(cache))
    smollm2.cache_clear()
    yield smollm2()
    smollm2.cache_clear()


# without the real file


def test_a_gguf_file_gives_back_the_model_that_was_written_into_it(tokenizer: Tokenizer) -> None:
    with torch.device("meta"):
        model = families.make(tiny())
    found = weights.load(model, WeightsConfig(source=WeightSource.smollm2))
    assert found == catalogue.SMOLLM2.sha256
    ids = torch.randint(VOCABULARY, (2, 20))
    assert torch.equal(model.eval()(ids), random_model()(ids))


def test_the_model_is_transformers_llama(tmp_path: Path, tokenizer: Tokenizer) -> None:
    transformers = pytest.importorskip("transformers")
    model = random_model()
    save_huggingface(model, tmp_path / "hf")
    for name, content in model.tokenizer.files(128).items():
        (tmp_path / "hf" / name).write_text(content, encoding="utf-8")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf").eval()
    ids = torch.randint(VOCABULARY, (2, 30))
    with torch.no_grad():
        torch.testing.assert_close(model(ids), theirs(ids).logits, atol=1e-4, rtol=1e-4)
    reader = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    for text in ("Hi there 12345  it's\n\n 7", "naïve 漢字", "<|im_start|>user\nhi<|im_end|>"):
        assert reader.encode(text) == tokenizer.encode_parts([(text, True)])
    assert reader.eos_token_id == reader.pad_token_id == tokenizer.end


def test_bytes_that_the_vocabulary_lacks_are_left_out(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode_plain("a\x01b\U000c0000c")) == tokenizer.decode(
        tokenizer.encode_plain("ab") + tokenizer.encode_plain("\U000c0000") + tokenizer.encode_plain("c")
    )
    assert tokenizer.encode_plain("\x01\x02") == tokenizer.encode("\x03") == []
    assert max(tokenizer.encode_plain("".join(map(chr, range(2000))))) < VOCABULARY


def test_markers_are_tokens_in_a_template_and_text_in_an_entry(tokenizer: Tokenizer) -> None:
    entry = {"instruction": "Say <|im_end|>", "input": "", "output": "<|im_start|>"}
    item = instructions.encode(tokenizer, templates()["smollm2"], entry)
    assert [i for i in item.ids if i in MARKERS.values()] == [1, 2, 1, 2, 1]
    assert tokenizer.decode(item.ids).endswith("Say <|im_end|><|im_end|>\n<|im_start|>assistant\n<|im_start|>")
    assert tokenizer.decode(item.ids[item.question :]) == "<|im_start|>"


@pytest.mark.parametrize(
    "words",
    [
        ["task=classify", "data=messages", "data.size=200", "train.epochs=1", "tune=lora", "position=last_real"],
        ["task=instruct", "data=entries", "data.path=entries.json", "prompt=smollm2", "train.epochs=1"],
        pytest.param(
            ["task=pretrain", "dropout=none", "model.context_length=32", "data=text", "data.path=text.txt"],
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda words: words[0],
)
def test_a_llama_goes_through_every_training_task(
    words: list[str], tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    entries = [{"instruction": f"Say {i}", "input": "", "output": str(i)} for i in range(60)]
    (tmp_path / "entries.json").write_text(json.dumps(entries))
    (tmp_path / "text.txt").write_text("It rains in the hills, and then it does not. " * 60)
    line = [*words[:1], *SMALL, *words[1:], "tracking=none"]
    if words[0] == "task=instruct":
        line += ["train.max_length=100", "sampling.max_new_tokens=4"]
    if words[0] == "task=pretrain":
        line += ["train.epochs=1", "sampling.max_new_tokens=4"]
    result = run(compose.compose(line))
    assert result["status"] == "done"
    losses = [value for key, value in result["metrics"].items() if key.endswith("loss")]
    assert losses and all(math.isfinite(loss) for loss in losses)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("weights=openai model=smollm2_135m", "no published GPT-2 is of this family; possible: weights=smollm2"),
        ("weights=huggingface model=smollm2_135m", "no published GPT-2 is of this family"),
        ("weights=smollm2", "does not have model.family=gpt; possible: model=smollm2_135m"),
        ("weights=smollm2 model=smollm2_135m model.n_layers=29", "does not have model.n_layers=29; possible"),
        ("weights=smollm2 model=smollm2_135m model.context_length=9000", "does not have model.context_length=9000"),
        ("weights=random model=smollm2_135m dropout=uniform", "family=llama has no such thing; .*dropout=none"),
        ("weights=random model=smollm2_135m model.qkv_bias=true", "model.qkv_bias=true: model.family=llama has no"),
        ("weights=random model=smollm2_135m model.ff_dim=0", "model.ff_dim=0: model.family=llama needs it above 0"),
        ("weights=random model=smollm2_135m model.n_kv_heads=2", "does not divide model.n_heads=9; possible: 1, 3, 9"),
        ("weights=random model.ff_dim=100", "model.ff_dim=100: model.family=gpt has no such thing"),
        ("weights=random model=smollm2_135m model.emb_dim=81", "a head is 9 wide, and rotary positions turn pairs"),
    ],
)
def test_what_makes_no_sense_is_refused_at_the_door(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compose.compose(["task=classify", *line.split()])


def test_chat_says_who_could_answer() -> None:
    with pytest.raises(ValueError, match="nobody is there to answer; possible: run=NAME, or weights=SOURCE"):
        run(compose.compose(["task=chat"]))
    with pytest.raises(ValueError, match="run=mine weights=openai: only one can answer"):
        compose.compose(["task=chat", "run=mine", "weights=openai"])
    with pytest.raises(ValueError, match="does not have model.family=gpt; possible: model=smollm2_135m"):
        compose.compose(["task=chat", "weights=smollm2"])
    compose.compose(["task=chat", "weights=openai"])


@pytest.mark.parametrize("task", ["count", "dropout"])
def test_a_task_about_the_book_s_gpt_takes_no_other(task: str) -> None:
    line = [f"task={task}", "model=smollm2_135m", *(["dropout=none"] if task == "dropout" else [])]
    with pytest.raises(ValueError, match="possible: model.family=gpt"):
        compose.compose(line)


# with the real file


@pytest.fixture(scope="module")
def smol() -> Llama:
    real(catalogue.SMOLLM2)
    config: Any = compose.compose(["task=generate", "model=smollm2_135m", "weights=smollm2"])
    model, _ = weights.build(config.model, config.weights)
    assert isinstance(model, Llama)
    return model.eval()


def test_the_verdict_has_the_perplexity_that_was_measured_before(smol: Llama) -> None:
    """49.9; with queries and keys as the file has them it would be 389."""
    ids = torch.tensor(smol.tokenizer.encode(real(catalogue.VERDICT).read_text(encoding="utf-8"))[:512])
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(smol(ids[None])[0, :-1], ids[1:])
    assert loss.exp().item() == pytest.approx(49.9, abs=0.1)


def question(model: Llama, text: str) -> list[int]:
    entry = {"instruction": text, "input": "", "output": ""}
    return model.tokenizer.encode_parts(parts(templates()["smollm2"], entry)[0])


def test_the_capital_of_france_is_paris(smol: Llama) -> None:
    ids = question(smol, "What is the capital of France?")
    [new] = sampling.generate(smol, [ids], SamplingConfig(max_new_tokens=40), end_token=smol.tokenizer.end)
    entry = {"instruction": "", "input": "", "output": ""}
    [answer] = responses.with_responses(smol.tokenizer, templates()["smollm2"], [entry], [new])
    assert answer["model_response"] == "The capital of France is Paris."


def test_chat_with_the_model_as_it_comes_needs_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    real(catalogue.SMOLLM2)
    model = ["model=smollm2_135m", "weights=smollm2", "prompt=smollm2"]
    run(compose.compose(["task=chat", *model, "text='What is the capital of France?'"]))
    assert capsys.readouterr().out == "The capital of France is Paris.\n"


@pytest.mark.slow
def test_logits_texts_and_ids_are_those_of_transformers_own_reader_of_the_file(smol: Llama) -> None:
    """Largest difference measured: 4.7e-5, of logits up to 33."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    path = real(catalogue.SMOLLM2)
    where = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    theirs = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32).eval()
    ids = torch.randint(17, VOCABULARY, (2, 40), generator=torch.Generator().manual_seed(0))
    prompt = question(smol, "Name three colours of the sky.")
    with torch.no_grad():
        torch.testing.assert_close(smol(ids), theirs(ids).logits, atol=1e-4, rtol=0)
        written = theirs.generate(torch.tensor([prompt]), max_new_tokens=60, do_sample=False, pad_token_id=END)
    [new] = sampling.generate(smol, [prompt], SamplingConfig(max_new_tokens=60), end_token=END)
    assert new == [token for token in written[0, len(prompt) :].tolist() if token != END]
    reader = transformers.AutoTokenizer.from_pretrained(**where)
    # it does not split whitespace before digits, as the tokenizer that the file names does
    for text in ("Hi there 12345  it's\n\n x", "naïve 漢字", real(catalogue.VERDICT).read_text(encoding="utf-8")):
        assert reader.encode(text) == smol.tokenizer.encode_plain(text)


@pytest.mark.slow
def test_the_exported_folder_gives_transformers_the_same_logits_and_ids(smol: Llama, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    save_huggingface(smol, tmp_path)
    for name, content in smol.tokenizer.files(8192).items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    reader = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ids = torch.tensor([question(smol, "What is the capital of France?")])
    with torch.no_grad():
        torch.testing.assert_close(smol(ids), theirs(ids).logits, atol=1e-4, rtol=0)
    draw = random.Random(1)
    for _ in range(1000):  # no byte among them that the vocabulary lacks: theirs merges across those
        text = "".join(draw.choices("ab 1  \n\n\t7'st.!,é漢-", k=12))
        assert reader.encode(text) == smol.tokenizer.encode_plain(text), repr(text)
    line = [{"role": "user", "content": "What is the capital of France?"}]
    told = reader.apply_chat_template(line, add_generation_prompt=True, tokenize=False)
    assert reader.encode(told) == ids[0].tolist()


def test_generation_with_a_cache_is_the_plain_loop_token_for_token() -> None:
    model = random_model()
    prompts = [torch.randint(VOCABULARY, (length,)).tolist() for length in (3, 17, 9, 120)]  # one slides its window
    expected = []
    for prompt in prompts:
        written = list(prompt)
        with torch.no_grad():
            for _ in range(20):
                written.append(int(model(torch.tensor([written[-128:]]))[0, -1].argmax()))
        expected.append(written[len(prompt) :])
    assert sampling.generate(model, prompts, SamplingConfig(max_new_tokens=20)) == expected
