"""Put given weights into a model: OpenAI's original files, Hugging Face's, or a checkpoint (exercises 5.4 to 5.6).

Every reader names the tensors of its file by the model's parameter names, without reading them; `state_files.copy_into`
then compares and copies.
"""

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from scratchlab.assets import catalogue
from scratchlab.assets.fetch import Asset, Hub, Web, fetch, sha256
from scratchlab.model.config import ModelConfig, WeightsConfig, WeightSource, published_size
from scratchlab.model.decoder import Decoder
from scratchlab.model.families import make
from scratchlab.model.gguf_files import load_gguf
from scratchlab.model.gpt import GPT
from scratchlab.model.memory import check_fits
from scratchlab.model.state_files import Stored, copy_into, load_checkpoint, open_safetensors, safetensors
from scratchlab.model.state_files import optimizer_state as optimizer_state  # offered here too
from scratchlab.model.state_files import save_state as save_state

_HOSTS = (
    "https://openaipublic.blob.core.windows.net/gpt-2/models",
    "https://f001.backblazeb2.com/file/LLMs-from-scratch/gpt2",
)
_DATA, _INDEX = "model.ckpt.data-00000-of-00001", "model.ckpt.index"
_SHA256 = {
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
}
_ANY_SIZE = {"checkpoint": 77, "encoder.json": 1_042_301, "vocab.bpe": 456_318}
_BYTES = {  # 0: not known
    "124M": {"hparams.json": 90, _DATA: 497_759_232, _INDEX: 5_215, "model.ckpt.meta": 471_155},
    "355M": {"hparams.json": 91, _DATA: 1_419_292_672, _INDEX: 10_399, "model.ckpt.meta": 926_519},
    "774M": {"hparams.json": 0, _DATA: 0, _INDEX: 0, "model.ckpt.meta": 0},
    "1558M": {"hparams.json": 91, _DATA: 0, _INDEX: 0, "model.ckpt.meta": 0},
}
_REPOS = {"124M": "gpt2", "355M": "gpt2-medium", "774M": "gpt2-large", "1558M": "gpt2-xl"}

OPENAI = {
    size: {
        file: Asset(
            f"gpt2/{size}/{file}",
            "MIT (GPT-2)",
            tuple(Web(f"{host}/{size}/{file}") for host in _HOSTS),
            _SHA256.get(file, ""),
            length,
        )
        for file, length in (_ANY_SIZE | lengths).items()
    }
    for size, lengths in _BYTES.items()
}
"""The seven files of each original checkpoint; `load` needs the data and the index."""

HUGGINGFACE = {
    size: Asset(
        f"openai-community/{repo}/model.safetensors",
        "MIT (GPT-2)",
        (Hub(f"openai-community/{repo}", "model.safetensors"),),
    )
    for size, repo in _REPOS.items()
}


def build(config: ModelConfig, weights: WeightsConfig) -> tuple[Decoder, str]:
    """Make a model that starts from `weights`; its hash as from `load`.

    Where weights are loaded, no random ones are made first: nothing is drawn, and no memory is used twice.
    """
    check_fits(config)
    with nullcontext() if weights.source is WeightSource.random else torch.device("meta"):
        model = make(config)
    return model, load(model, weights)


def load(model: Decoder, config: WeightsConfig) -> str:
    """Copy the configured weights into a fresh model; the sha256 of the file that holds them, or `random`.

    Parameters keep their device and number format; a model on the meta device comes to the CPU.

    Raises:
        ValueError: no published GPT-2 has this shape; or names or shapes in the file differ from the model's.
        FileNotFoundError: the file could not be had; lists what was tried.
    """
    match config.source:
        case WeightSource.random:
            return "random"
        case WeightSource.checkpoint:
            path = Path(config.path).expanduser()
            load_checkpoint(model, path)
            return sha256(path)
        case WeightSource.huggingface:
            path = fetch(HUGGINGFACE[_size(model)])
            load_huggingface(model, path)
            return sha256(path)
        case WeightSource.openai:
            files = OPENAI[_size(model)]
            index, data = fetch(files[_INDEX]), fetch(files[_DATA])
            with side_by_side(index, data) as folder:
                load_openai(model, folder / "model.ckpt")
            return sha256(data)
        case WeightSource.smollm2:
            path = fetch(catalogue.SMOLLM2)
            load_gguf(model, path)
            return sha256(path)


def _size(model: Decoder) -> str:
    if not isinstance(model, GPT):
        raise ValueError(
            f"GPT-2's weights do not fit a {type(model).__name__}; possible: weights=random, weights=checkpoint"
        )
    return published_size(model.config)


@contextmanager
def side_by_side(*files: Path) -> Iterator[Path]:
    """A folder that holds the files, which cache and mirror may have apart."""
    if len({file.parent for file in files}) == 1:
        yield files[0].parent
        return
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            (Path(folder) / file.name).symlink_to(file.resolve())
        yield Path(folder)


def load_openai(model: nn.Module, prefix: Path) -> None:
    """Load a TensorFlow checkpoint with OpenAI's variable names; `prefix` is its path without `.index`."""
    # both keep it from talking, and are read when it is imported: here, because that takes seconds
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    import tensorflow

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    reader = tensorflow.train.load_checkpoint(str(prefix))

    @lru_cache(maxsize=2)  # query, key and value are asked for one after the other, weight and bias in turn
    def read(name: str, shape: tuple[int, ...]) -> Tensor:
        return torch.from_numpy(reader.get_tensor(name)).reshape(shape)

    stored = {}
    for name, shape in reader.get_variable_to_shape_map().items():
        # linear layers were convolutions of width one: (1, in, out)
        flat = tuple(shape[1:]) if len(shape) == 3 and shape[0] == 1 else tuple(shape)
        stored[_openai_name(name)] = Stored(flat, partial(read, name, flat))
    copy_into(model, _from_gpt2(stored), str(prefix))


def _openai_name(name: str) -> str:
    """`model/h0/attn/c_attn/w` as `h.0.attn.c_attn.weight`, the Hugging Face name."""
    name = re.sub(r"^h(\d+)/", r"h.\1.", name.removeprefix("model/")).replace("/", ".")
    if name in ("wte", "wpe"):
        return f"{name}.weight"
    return re.sub(r"\.[wg]$", ".weight", re.sub(r"\.b$", ".bias", name))


def load_huggingface(model: nn.Module, path: Path) -> None:
    """Load a `model.safetensors` with Hugging Face's GPT-2 names."""
    with open_safetensors(path) as file:
        stored = {
            name.removeprefix("transformer."): tensor
            for name, tensor in safetensors(file).items()
            if not re.search(r"\.attn\.(masked_)?bias$", name)  # the causal mask, no weight
        }
        copy_into(model, _from_gpt2(stored), str(path))


_GPT2_PARTS = {
    "ln_1.weight": "norm1.scale",
    "ln_1.bias": "norm1.shift",
    "ln_2.weight": "norm2.scale",
    "ln_2.bias": "norm2.shift",
    "attn.c_proj.weight": "att.out_proj.weight",
    "attn.c_proj.bias": "att.out_proj.bias",
    "mlp.c_fc.weight": "ff.layers.0.weight",
    "mlp.c_fc.bias": "ff.layers.0.bias",
    "mlp.c_proj.weight": "ff.layers.2.weight",
    "mlp.c_proj.bias": "ff.layers.2.bias",
}
_GPT2_WHOLE = {
    "wte.weight": "tok_emb.weight",
    "wpe.weight": "pos_emb.weight",
    "ln_f.weight": "final_norm.scale",
    "ln_f.bias": "final_norm.shift",
    "lm_head.weight": "out_head.weight",
}


def _from_gpt2(stored: dict[str, Stored]) -> dict[str, Stored]:
    """Rename GPT-2's tensors as the book does, turn linear weights (in, out) round, and split query, key and value.

    Source: chapter 5, `load_weights_into_gpt`.
    """
    found = {}
    for name, tensor in stored.items():
        _, number, part = name.split(".", 2) if re.match(r"h\.\d+\.", name) else ("", "", "")
        if part in ("attn.c_attn.weight", "attn.c_attn.bias"):
            for third, letter in enumerate(("query", "key", "value")):
                found[f"trf_blocks.{number}.att.W_{letter}.{part[12:]}"] = _third(tensor, third)
        elif part in _GPT2_PARTS:
            turned = _transposed(tensor) if len(tensor.shape) == 2 else tensor
            found[f"trf_blocks.{number}.{_GPT2_PARTS[part]}"] = turned
        else:
            found[_GPT2_WHOLE.get(name, name)] = tensor
    if "tok_emb.weight" in found:  # GPT-2's head is its token embedding; here it starts as a copy
        found.setdefault("out_head.weight", found["tok_emb.weight"])
    return found


def _third(tensor: Stored, third: int) -> Stored:
    width = tensor.shape[-1] // 3
    shape = (width, *tensor.shape[:-1])  # a weight is turned round, a bias has nothing to turn
    return Stored(shape, lambda: tensor.read()[..., third * width : (third + 1) * width].t())


def _transposed(tensor: Stored) -> Stored:
    return Stored(tensor.shape[::-1], lambda: tensor.read().t())
