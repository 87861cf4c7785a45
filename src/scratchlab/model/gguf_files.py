"""Read a Llama from a GGUF file, llama.cpp's format: its tensors by our names, whatever they were packed into."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scratchlab.assets.gguf_file import opened
from scratchlab.model.decoder import Decoder
from scratchlab.model.llama import Llama
from scratchlab.model.state_files import Stored, copy_into

_WHOLE = {"token_embd.weight": "tok_emb.weight", "output_norm.weight": "final_norm.weight"}
_PARTS = {
    "attn_norm": "norm1",
    "attn_q": "att.W_query",
    "attn_k": "att.W_key",
    "attn_v": "att.W_value",
    "attn_output": "att.out_proj",
    "ffn_norm": "norm2",
    "ffn_gate": "ff.gate",
    "ffn_up": "ff.up",
    "ffn_down": "ff.down",
}


def load_gguf(model: Decoder, path: Path) -> None:
    """Load a GGUF file of a Llama with tied embeddings; its numbers are unpacked to float32.

    Raises:
        ValueError: the model is no Llama, or names or shapes differ.
    """
    if not isinstance(model, Llama):
        raise ValueError(f"{path.name} holds a Llama, and the model is a {type(model).__name__}; nearest: model.family")
    heads = {"attn_q": model.config.n_heads, "attn_k": model.config.n_kv_heads}
    found = {}
    for tensor in opened(path).tensors:
        match = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", tensor.name)
        number, part = match.groups() if match else ("", "")
        name = f"trf_blocks.{number}.{_PARTS[part]}.weight" if part in _PARTS else _WHOLE.get(tensor.name, tensor.name)
        shape = tuple(int(n) for n in reversed(tensor.shape))  # the file counts from the fastest axis
        found[name] = Stored(shape, partial(_read, tensor, shape, heads.get(part, 0)))
    copy_into(model, found, str(path))


def _read(tensor: Any, shape: tuple[int, ...], heads: int) -> Tensor:
    """Unpack a tensor; `heads`, where it is one whose rows llama.cpp keeps in another order.

    It turns neighbouring columns of a head (0 with 1, 2 with 3), where we turn those half a head apart: the rows of
    queries and keys lie interleaved.
    """
    from gguf.quants import dequantize

    values = np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32).reshape(shape)
    if heads:
        pairs = values.reshape(heads, shape[0] // heads // 2, 2, *shape[1:])
        values = pairs.swapaxes(1, 2).reshape(shape)
    return torch.from_numpy(np.ascontiguousarray(values))
