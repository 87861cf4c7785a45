"""Write a model as a Hugging Face folder, in the form that `transformers` has for its family."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scratchlab.model.decoder import Decoder
from scratchlab.model.gpt import GPT
from scratchlab.model.llama import Llama


def save_huggingface(model: Decoder, folder: Path) -> None:
    """Write config.json and model.safetensors, as `transformers` reads them; LoRA must have been merged.

    Parameters are written in their own number format.

    Raises:
        ValueError: transformers has no form of this model.
    """
    from safetensors.torch import save_file

    if isinstance(model, GPT):
        config, tensors = gpt2(model)
    elif isinstance(model, Llama):
        config, tensors = llama(model)
    else:
        raise ValueError(f"a {type(model).__name__} has no Hugging Face form here; possible: .pth, .safetensors")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "model.safetensors", {"format": "pt"})


def gpt2(model: GPT) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A GPT as a GPT-2: its configuration and its tensors.

    Linear weights are turned round, query, key and value joined, and the head kept apart from the token embedding.
    Where the model has no query, key and value biases, zeros stand for them.

    Raises:
        ValueError: GPT-2 cannot be what this model is.
    """
    if not model.config.causal:
        raise ValueError("model.causal=false: GPT-2's attention is causal, so it has no form of this model")
    state = model.state_dict()
    if state.get("out_head.weight") is None or "out_head.bias" in state:
        raise ValueError("the model's head is no language-model head, or has LoRA layers that were not merged")
    return config_of(model), renamed(model)


def config_of(model: GPT) -> dict[str, Any]:
    config = model.config
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_positions": config.context_length,
        "n_embd": config.emb_dim,
        "n_layer": config.n_layers,
        "n_head": config.n_heads,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "embd_pdrop": config.drop_rate_emb,
        "resid_pdrop": config.drop_rate_shortcut,
        "attn_pdrop": config.drop_rate_attn,
        "tie_word_embeddings": False,
        "bos_token_id": model.tokenizer.end,
        "eos_token_id": model.tokenizer.end,
    }


def renamed(model: GPT) -> dict[str, Tensor]:
    """The model's tensors under Hugging Face's names."""
    found = {
        "transformer.wte.weight": model.tok_emb.weight,
        "transformer.wpe.weight": model.pos_emb.weight,
        "transformer.ln_f.weight": model.final_norm.scale,
        "transformer.ln_f.bias": model.final_norm.shift,
        "lm_head.weight": model.state_dict()["out_head.weight"],
    }
    for number, block in enumerate(model.blocks):
        state = block.state_dict()
        projections = [f"att.W_{name}" for name in ("query", "key", "value")]
        zeros = torch.zeros(model.config.emb_dim, dtype=model.tok_emb.weight.dtype)
        joined = {
            "weight": torch.cat([state[f"{name}.weight"] for name in projections]).t(),
            "bias": torch.cat([state.get(f"{name}.bias", zeros) for name in projections]),
        }
        block_found = {f"attn.c_attn.{kind}": tensor for kind, tensor in joined.items()}
        for theirs, ours in (
            ("attn.c_proj", "att.out_proj"),
            ("mlp.c_fc", "ff.layers.0"),
            ("mlp.c_proj", "ff.layers.2"),
        ):
            block_found |= {f"{theirs}.weight": state[f"{ours}.weight"].t(), f"{theirs}.bias": state[f"{ours}.bias"]}
        for theirs, ours in (("ln_1", "norm1"), ("ln_2", "norm2")):
            block_found |= {f"{theirs}.weight": state[f"{ours}.scale"], f"{theirs}.bias": state[f"{ours}.shift"]}
        found |= {f"transformer.h.{number}.{name}": tensor for name, tensor in block_found.items()}
    return {name: tensor.detach() for name, tensor in found.items()}


_LLAMA_PARTS = {
    "att.W_query": "self_attn.q_proj",
    "att.W_key": "self_attn.k_proj",
    "att.W_value": "self_attn.v_proj",
    "att.out_proj": "self_attn.o_proj",
    "ff.gate": "mlp.gate_proj",
    "ff.up": "mlp.up_proj",
    "ff.down": "mlp.down_proj",
    "norm1": "input_layernorm",
    "norm2": "post_attention_layernorm",
}


def llama(model: Llama) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A Llama as `transformers` has it: its configuration and its tensors, which only have other names there.

    Raises:
        ValueError: transformers' Llama cannot be what this model is.
    """
    config, state = model.config, model.state_dict()
    if not config.causal:
        raise ValueError("model.causal=false: transformers' Llama is causal, so it has no form of this model")
    found = {
        "model.embed_tokens.weight": state.pop("tok_emb.weight"),
        "model.norm.weight": state.pop("final_norm.weight"),
    }
    for number in range(config.n_layers):
        for ours, theirs in _LLAMA_PARTS.items():
            name = f"trf_blocks.{number}.{ours}.weight"
            if name in state:
                found[f"model.layers.{number}.{theirs}.weight"] = state.pop(name)
    tied = "out_head.weight" not in state
    if not tied:
        found["lm_head.weight"] = state.pop("out_head.weight")
    if state:
        raise ValueError("the model's head is no language-model head, or has LoRA layers that were not merged")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "hidden_size": config.emb_dim,
        "intermediate_size": config.ff_dim,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "tie_word_embeddings": tied,
        "bos_token_id": model.tokenizer.end,
        "eos_token_id": model.tokenizer.end,
        "pad_token_id": model.tokenizer.pad,
    }, found
