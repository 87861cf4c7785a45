"""Weights in every real file format, tiny and random, go in and compute what GPT-2 computes."""

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from safetensors.torch import save_file

from scratchlab.model import tune, weights
from scratchlab.model.config import GPTConfig, Trainable, TuneConfig, WeightsConfig, WeightSource
from scratchlab.model.gpt import GPT

SHAPE = GPTConfig(emb_dim=24, n_heads=3, n_layers=2, vocab_size=97, context_length=16, qkv_bias=True)
IDS = [3, 96, 0, 41, 41, 7, 12, 88, 5, 60, 1]
LORA = TuneConfig(trainable=Trainable.lora, lora_rank=2, lora_alpha=2.0)


@pytest.fixture(scope="module")
def parameters() -> reference.Parameters:
    return reference.random_parameters(layers=2, width=24, context=16, vocab=97)


@pytest.fixture(scope="module")
def tensorflow_checkpoint(parameters: reference.Parameters, tmp_path_factory: pytest.TempPathFactory) -> Path:
    prefix = tmp_path_factory.mktemp("tensorflow") / "model.ckpt"
    save_tensorflow(parameters, prefix)
    return prefix


def save_tensorflow(parameters: reference.Parameters, prefix: Path) -> None:
    """What `tf.train.Saver` wrote for OpenAI: variables below `model`, linear weights as convolutions of width one."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    tf = pytest.importorskip("tensorflow")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in parameters.items():
            stored = value[None] if name.endswith("/w") else value
            tf.compat.v1.get_variable(f"model/{name}", initializer=stored.astype(np.float32))
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(prefix))


@pytest.fixture(scope="module")
def transformers_model(parameters: reference.Parameters) -> torch.nn.Module:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=97, n_positions=16, n_embd=24, n_layer=2, n_head=3, bos_token_id=0, eos_token_id=0
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    missing = model.transformer.load_state_dict(hugging_face(parameters), strict=False).missing_keys
    assert not [name for name in missing if not name.endswith("attn.bias")]
    return model


def hugging_face(parameters: reference.Parameters) -> dict[str, torch.Tensor]:
    """The same parameters under Hugging Face's names: `h0/ln_1/g` is `h.0.ln_1.weight`."""
    ends = {"/w": ".weight", "/g": ".weight", "/b": ".bias"}
    state = {}
    for name, value in parameters.items():
        renamed = name[:-2] + ends[name[-2:]] if "/" in name else f"{name}.weight"
        state[re.sub(r"^h(\d)", r"h.\1", renamed).replace("/", ".")] = torch.from_numpy(value).float()
    return state


def logits(model: GPT) -> np.ndarray:
    with torch.no_grad():
        return model.eval()(torch.tensor([IDS]))[0].numpy()


def test_a_tensorflow_checkpoint_gives_the_logits_of_numpy(
    tensorflow_checkpoint: Path, parameters: reference.Parameters
) -> None:
    model = GPT(SHAPE)
    weights.load_openai(model, tensorflow_checkpoint)
    np.testing.assert_allclose(logits(model), reference.gpt2(parameters, IDS, heads=3), atol=1e-5)


def test_a_hugging_face_folder_gives_the_logits_of_numpy_and_of_transformers(
    transformers_model: torch.nn.Module, parameters: reference.Parameters, tmp_path: Path
) -> None:
    transformers_model.save_pretrained(tmp_path)
    model = GPT(SHAPE)
    weights.load_huggingface(model, tmp_path / "model.safetensors")
    with torch.no_grad():
        theirs = transformers_model(torch.tensor([IDS])).logits[0].numpy()
    np.testing.assert_allclose(logits(model), theirs, atol=1e-5)
    np.testing.assert_allclose(logits(model), reference.gpt2(parameters, IDS, heads=3), atol=1e-5)


def test_names_without_prefix_and_with_mask_buffers_load_as_in_the_published_files(
    transformers_model: torch.nn.Module, parameters: reference.Parameters, tmp_path: Path
) -> None:
    state = {name: value.clone() for name, value in transformers_model.transformer.state_dict().items()}
    state |= {"h.0.attn.bias": torch.ones(1, 1, 16, 16), "h.1.attn.masked_bias": torch.tensor(-1e4)}
    save_file(state, tmp_path / "model.safetensors")
    model = GPT(SHAPE)
    weights.load_huggingface(model, tmp_path / "model.safetensors")
    np.testing.assert_allclose(logits(model), reference.gpt2(parameters, IDS, heads=3), atol=1e-5)


def test_tensorflow_and_hugging_face_files_give_the_very_same_parameters(
    tensorflow_checkpoint: Path, transformers_model: torch.nn.Module, tmp_path: Path
) -> None:
    transformers_model.save_pretrained(tmp_path)
    one, other = GPT(SHAPE), GPT(SHAPE)
    weights.load_openai(one, tensorflow_checkpoint)
    weights.load_huggingface(other, tmp_path / "model.safetensors")
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_the_head_starts_as_a_copy_of_the_token_embedding_and_not_as_the_same_tensor(
    tensorflow_checkpoint: Path,
) -> None:
    model = GPT(SHAPE)
    weights.load_openai(model, tensorflow_checkpoint)
    assert torch.equal(model.out_head.weight, model.tok_emb.weight)
    assert model.out_head.weight.data_ptr() != model.tok_emb.weight.data_ptr()


def test_the_authors_state_dict_loads_with_its_mask_buffers_and_gives_his_logits(tmp_path: Path) -> None:
    ch04 = pytest.importorskip("llms_from_scratch.ch04")
    torch.manual_seed(1)
    his = ch04.GPTModel(
        dict(vocab_size=97, context_length=16, emb_dim=24, n_heads=3, n_layers=2, drop_rate=0.1, qkv_bias=True)
    ).eval()
    assert "trf_blocks.0.att.mask" in his.state_dict()
    torch.save(his.state_dict(), tmp_path / "gpt2.pth")
    ours = GPT(SHAPE)
    weights.load(ours, WeightsConfig(source=WeightSource.checkpoint, path=str(tmp_path / "gpt2.pth")))
    with torch.no_grad():
        np.testing.assert_allclose(logits(ours), his(torch.tensor([IDS]))[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("ending", ["pth", "pt", "safetensors"])
def test_what_was_saved_comes_back_bit_for_bit_and_the_hash_is_the_files(ending: str, tmp_path: Path) -> None:
    from scratchlab.assets.fetch import sha256

    path = tmp_path / "new" / f"model.{ending}"
    saved, loaded = GPT(SHAPE), GPT(SHAPE)
    weights.save_state(saved, path)
    found = weights.load(loaded, WeightsConfig(source=WeightSource.checkpoint, path=str(path)))
    assert found == sha256(path)
    for name, value in saved.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name
    assert [file.name for file in path.parent.iterdir()] == [path.name], "an unfinished file was left"


def test_the_books_model_and_optimizer_file_goes_out_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "model_and_optimizer.pth"
    saved, loaded = GPT(SHAPE), GPT(SHAPE)
    optimizer = torch.optim.AdamW(saved.parameters(), lr=4e-4, weight_decay=0.1)
    saved(torch.tensor([IDS])).sum().backward()
    optimizer.step()
    weights.save_state(saved, path, optimizer)
    assert set(torch.load(path, weights_only=True)) == {"model_state_dict", "optimizer_state_dict"}
    weights.load_checkpoint(loaded, path)
    assert np.array_equal(logits(saved), logits(loaded))
    fresh = torch.optim.AdamW(loaded.parameters(), lr=1.0)
    fresh.load_state_dict(weights.optimizer_state(path))
    assert fresh.param_groups[0]["lr"] == 4e-4
    first = optimizer.state[saved.tok_emb.weight]["exp_avg"]
    assert torch.equal(fresh.state[loaded.tok_emb.weight]["exp_avg"], first)


def test_a_file_without_optimizer_says_so(tmp_path: Path) -> None:
    weights.save_state(GPT(SHAPE), tmp_path / "model.pth")
    with pytest.raises(ValueError, match="no optimizer_state_dict; possible"):
        weights.optimizer_state(tmp_path / "model.pth")


@pytest.mark.parametrize(("name", "with_optimizer"), [("model.bin", False), ("model.safetensors", True)])
def test_a_file_that_cannot_hold_the_state_is_refused_before_writing(
    name: str, with_optimizer: bool, tmp_path: Path
) -> None:
    model = GPT(SHAPE)
    optimizer = torch.optim.SGD(model.parameters()) if with_optimizer else None
    with pytest.raises(ValueError, match="possible: .pth, .safetensors"):
        weights.save_state(model, tmp_path / name, optimizer)
    assert not list(tmp_path.iterdir())


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_pickle_that_runs_code_is_refused_and_runs_nothing(writer: str, tmp_path: Path) -> None:
    path, victim = tmp_path / "model.pth", tmp_path / "victim"
    content = {"tok_emb.weight": Malicious(victim)}
    if writer == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(ValueError, match="running code that it brings along"):
        weights.load_checkpoint(GPT(SHAPE), path)
    assert not victim.exists()


def test_all_differences_are_reported_at_once_and_nothing_is_copied(tmp_path: Path) -> None:
    model = GPT(SHAPE)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = {name: torch.zeros_like(value) for name, value in before.items()}
    del state["final_norm.scale"], state["trf_blocks.1.att.W_key.bias"]
    state["out_head.bias"] = torch.zeros(2)
    state["out_head.weight"] = torch.zeros(2, 24)
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(ValueError) as caught:
        weights.load_checkpoint(model, tmp_path / "model.pth")
    assert str(caught.value).splitlines()[1:] == [
        "  2 missing: trf_blocks.1.att.W_key.bias (24,), final_norm.scale (24,)",
        "  1 unexpected: out_head.bias (2,)",
        "  1 of another shape: out_head.weight (2, 24) instead of (97, 24)",
    ]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_long_lists_of_differences_are_cut(tensorflow_checkpoint: Path) -> None:
    deeper = GPTConfig(**{**vars(SHAPE), "n_layers": 5})
    with pytest.raises(ValueError, match=r"48 missing: trf_blocks\.2\.att\.W_query\.weight .* and 40 more") as caught:
        weights.load_openai(GPT(deeper), tensorflow_checkpoint)
    assert len(str(caught.value)) < 1000


def test_a_shorter_context_than_the_files_is_an_error_and_is_not_cut_silently(tensorflow_checkpoint: Path) -> None:
    shorter = GPTConfig(**{**vars(SHAPE), "context_length": 8})
    with pytest.raises(ValueError, match=r"pos_emb.weight \(16, 24\) instead of \(8, 24\)"):
        weights.load_openai(GPT(shorter), tensorflow_checkpoint)


def test_unmerged_lora_weights_name_the_way_out_and_load_into_a_model_that_has_lora(tmp_path: Path) -> None:
    trained, fresh = GPT(SHAPE), GPT(SHAPE)
    tune.add_lora(trained, LORA)
    torch.nn.init.normal_(trained.out_head.lora.B)
    weights.save_state(trained, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="add_lora .* before loading, or merge_lora before saving"):
        weights.load_checkpoint(fresh, tmp_path / "model.safetensors")
    tune.add_lora(fresh, LORA)
    weights.load_checkpoint(fresh, tmp_path / "model.safetensors")
    assert np.array_equal(logits(fresh), logits(trained))


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}])
def test_a_file_of_something_else_says_what_it_is(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(ValueError, match="possible: a.* state_dict"):
        weights.load_checkpoint(GPT(SHAPE), tmp_path / "model.pth")


@pytest.mark.parametrize("content", [b"", b"no model at all", b"PK\x03\x04 cut short"])
def test_a_damaged_file_says_so(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(ValueError, match="is damaged"):
        weights.load_checkpoint(GPT(SHAPE), tmp_path / "model.pth")


@pytest.mark.parametrize("source", [WeightSource.openai, WeightSource.huggingface])
def test_a_shape_that_was_never_published_lists_the_four_that_were(source: WeightSource) -> None:
    with pytest.raises(ValueError) as caught:
        weights.load(GPT(SHAPE), WeightsConfig(source=source))
    for size in ("124M", "355M", "774M", "1558M"):
        assert f"{size}: model.emb_dim=" in str(caught.value)


def test_every_published_size_names_its_files() -> None:
    assert {size: len(files) for size, files in weights.OPENAI.items()} == dict.fromkeys(weights.HUGGINGFACE, 7)
    data = weights.OPENAI["124M"]["model.ckpt.data-00000-of-00001"]
    assert data.name == "gpt2/124M/model.ckpt.data-00000-of-00001"
    assert data.size == 497_759_232
    assert len(data.sources) == 2
    assert weights.HUGGINGFACE["1558M"].name == "openai-community/gpt2-xl/model.safetensors"


def test_index_and_data_may_lie_in_two_folders(tensorflow_checkpoint: Path, tmp_path: Path) -> None:
    folder, (index,) = tensorflow_checkpoint.parent, tensorflow_checkpoint.parent.glob("*.index")
    (data,) = folder.glob("*.data*")
    elsewhere = tmp_path / index.name
    elsewhere.write_bytes(index.read_bytes())
    with weights.side_by_side(elsewhere, data) as together:
        weights.load_openai(GPT(SHAPE), together / "model.ckpt")


def test_a_model_built_for_given_weights_draws_no_random_ones(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    saved = GPT(SHAPE)
    weights.save_state(saved, path)
    before = torch.random.get_rng_state()
    built, _ = weights.build(SHAPE, WeightsConfig(source=WeightSource.checkpoint, path=str(path)))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert {parameter.device.type for parameter in built.parameters()} == {"cpu"}
    assert all(parameter.requires_grad for parameter in built.parameters())
    assert np.array_equal(logits(built), logits(saved))


def test_building_with_random_weights_draws_as_the_model_itself_does() -> None:
    torch.manual_seed(123)
    model = GPT(SHAPE)
    torch.manual_seed(123)
    built, found = weights.build(SHAPE, WeightsConfig())
    assert found == "random"
    assert np.array_equal(logits(built), logits(model))


def test_parameters_keep_their_number_format(tensorflow_checkpoint: Path) -> None:
    model = GPT(SHAPE).bfloat16()
    weights.load_openai(model, tensorflow_checkpoint)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


PEAK = """
import re, sys
from pathlib import Path
import torch
from scratchlab.model import weights
from scratchlab.model.config import GPTConfig
from scratchlab.model.gpt import GPT

def peak():  # bytes; the most this process ever had, mapped files included
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

with torch.device("meta"):
    model = GPT(GPTConfig(emb_dim=512, n_heads=8, n_layers=12, vocab_size=8000, context_length=64, qkv_bias=True))
if sys.argv[1] == "load_openai":
    import tensorflow
else:
    import safetensors.torch
before = peak()
getattr(weights, sys.argv[1])(model, Path(sys.argv[2]))
print(sum(p.numel() * 4 for p in model.parameters()), peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize("reader", ["load_openai", "load_huggingface", "load_checkpoint"])
def test_loading_takes_the_model_and_at_most_its_file_once_more(reader: str, tmp_path: Path) -> None:
    drawn = reference.random_parameters(layers=12, width=512, context=64, vocab=8000)
    path = tmp_path / {"load_huggingface": "model.safetensors", "load_checkpoint": "model.pth"}.get(reader, "ckpt")
    save_file(hugging_face(drawn), tmp_path / "model.safetensors")
    if reader == "load_openai":
        save_tensorflow(drawn, path)
    elif reader == "load_checkpoint":
        model = GPT(GPTConfig(emb_dim=512, n_heads=8, n_layers=12, vocab_size=8000, context_length=64, qkv_bias=True))
        weights.save_state(model, path)
    done = subprocess.run([sys.executable, "-c", PEAK, reader, str(path)], capture_output=True, text=True, check=True)
    size, grown = map(int, done.stdout.split())
    # the openai reader copies; the others map the file, whose pages count here but are given up when memory is short
    assert grown < (1.4 if reader == "load_openai" else 2.1) * size


@pytest.mark.network
@pytest.mark.parametrize("source", [WeightSource.openai, WeightSource.huggingface])
def test_the_real_124m_gives_the_golden_logits(source: WeightSource) -> None:
    golden = Path(os.environ.get("SCRATCHLAB_MIRROR", ".")) / "gpt2_golden_logits_top50.json"
    if not golden.is_file():
        pytest.skip(f"no file {golden}; SCRATCHLAB_MIRROR names the folder that has it")
    model, _ = weights.build(GPTConfig(qkv_bias=True), WeightsConfig(source=source))
    for case in json.loads(golden.read_text()):
        with torch.no_grad():
            found = model.eval()(torch.tensor([case["token_ids"]]))[0, -1]
        assert len(found) == case["n_logits"]
        expected = dict(case["top50"])
        # float32 keeps about 1e-5 near -100, where GPT-2's logits lie; its large activations cost another digit
        np.testing.assert_allclose(found[list(expected)].numpy(), list(expected.values()), atol=2e-3)
        assert found.argmax().item() == case["top50"][0][0]
