"""Time the writing of text, in one process: this package, the book's loop on the same model, and transformers.

    python benchmarks/generation.py [--model 124M] [--prompts 16] [--new 64] [--repeats 3]

Weights are random and the same for all three; every text has its full length, so no text ends early. The book's loop
takes minutes: each repetition runs it on its share of the prompts, evenly taken from short to long, and every prompt is
run once. Its spread is that of the repetitions, each scaled to all prompts by the number of tokens that it had to read.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from llms_from_scratch.ch05 import generate as book_generate
from transformers import GPT2Config, GPT2LMHeadModel

from scratchlab.generation import sampling
from scratchlab.model.config import SIZES, GPTConfig
from scratchlab.model.gpt import GPT

Texts = list[list[int]]


class Spent(NamedTuple):
    wall: float
    processor: float
    """Summed over threads, waiting for each other included; on one thread it stands on a busy machine too."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=SIZES, default="124M")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--shortest", type=int, default=16, help="tokens")
    parser.add_argument("--longest", type=int, default=64, help="tokens")
    parser.add_argument("--new", type=int, default=64, help="tokens to write for each prompt")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()

    torch.manual_seed(123)
    draw = random.Random(123)
    model = GPT(GPTConfig(**SIZES[options.model], qkv_bias=True)).eval()
    theirs = as_transformers(model)
    lengths = [draw.randint(options.shortest, options.longest) for _ in range(options.prompts)]
    prompts = [[draw.randrange(model.config.vocab_size) for _ in range(length)] for length in sorted(lengths)]
    # what the book's loop reads for a prompt: the prompt and what was written so far, for every new token
    reads = [sum(len(prompt) + step for step in range(options.new)) for prompt in prompts]
    config = sampling.SamplingConfig(max_new_tokens=options.new)

    for warm_up in (sampling.generate, transformers_generate):
        warm_up(
            theirs if warm_up is transformers_generate else model, prompts, sampling.SamplingConfig(max_new_tokens=2)
        )
    seconds: dict[str, list[Spent]] = {"scratchlab": [], "transformers": [], "book": []}
    book_texts: dict[int, list[int]] = {}
    for repeat in range(options.repeats):
        ours = timed(seconds["scratchlab"], lambda: sampling.generate(model, prompts, config))
        hf = timed(seconds["transformers"], lambda: transformers_generate(theirs, prompts, config))
        share = list(range(repeat, len(prompts), options.repeats))
        part: list[Spent] = []
        texts = timed(part, lambda share=share: [book(model, prompts[i], options.new) for i in share])
        book_texts |= dict(zip(share, texts, strict=True))
        scale = sum(reads) / sum(reads[i] for i in share)
        seconds["book"].append(Spent(part[0].wall * scale, part[0].processor * scale))
        last = "  ".join(f"{name} {times[-1].wall:.2f}" for name, times in seconds.items())
        print(f"repetition {repeat + 1}: {last} seconds", flush=True)

    print(
        f"\n{options.model}, {len(prompts)} prompts of {min(lengths)} to {max(lengths)} tokens, "
        f"{options.new} new tokens each, float32, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    for clock in Spent._fields:
        print(f"\n{clock} seconds")
        base = statistics.median(getattr(spent, clock) for spent in seconds["scratchlab"])
        for name, times in seconds.items():
            values = [getattr(spent, clock) for spent in times]
            middle = statistics.median(values)
            print(
                f"  {name:13s} median {middle:7.2f}  ({min(values):.2f} to {max(values):.2f})  "
                f"{len(prompts) * options.new / middle:7.1f} tokens/s  {middle / base:6.2f} times scratchlab's"
            )
    print(f"\ntexts equal to the book's: {sum(ours[i] == text for i, text in book_texts.items())} of {len(prompts)}")
    print(f"texts equal to transformers': {sum(a == b for a, b in zip(ours, hf, strict=True))} of {len(prompts)}")


def timed(seconds: list[Spent], work: Callable[[], Texts]) -> Texts:
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    seconds.append(Spent(time.perf_counter() - wall, time.process_time() - processor))
    return result


def book(model: GPT, prompt: list[int], new: int) -> list[int]:
    return book_generate(model, torch.tensor([prompt]), new, model.config.context_length)[0, len(prompt) :].tolist()


def transformers_generate(model: GPT2LMHeadModel, prompts: Texts, config: sampling.SamplingConfig) -> Texts:
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    new = model.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=config.max_new_tokens,
        do_sample=False,
        pad_token_id=0,
        eos_token_id=None,
    )
    return new[:, longest:].tolist()


def as_transformers(model: GPT) -> GPT2LMHeadModel:
    """The same weights in transformers' GPT-2, its head untied as ours is."""
    shape = model.config
    theirs = GPT2LMHeadModel(
        GPT2Config(
            n_embd=shape.emb_dim, n_layer=shape.n_layers, n_head=shape.n_heads, tie_word_embeddings=False,
            bos_token_id=None, eos_token_id=None,
        )
    ).eval()  # fmt: skip
    state = {
        "transformer.wte.weight": model.tok_emb.weight,
        "transformer.wpe.weight": model.pos_emb.weight,
        "transformer.ln_f.weight": model.final_norm.scale,
        "transformer.ln_f.bias": model.final_norm.shift,
        "lm_head.weight": model.out_head.weight,
    }
    for layer, block in enumerate(model.blocks):
        query_key_value = (block.att.W_query, block.att.W_key, block.att.W_value)
        h = f"transformer.h.{layer}"
        for name, norm in (("ln_1", block.norm1), ("ln_2", block.norm2)):
            state |= {f"{h}.{name}.weight": norm.scale, f"{h}.{name}.bias": norm.shift}
        for name, linears in (
            ("attn.c_attn", query_key_value),
            ("attn.c_proj", (block.att.out_proj,)),
            ("mlp.c_fc", (block.ff.layers[0],)),
            ("mlp.c_proj", (block.ff.layers[2],)),
        ):
            state[f"{h}.{name}.weight"] = torch.cat([linear.weight for linear in linears]).T
            state[f"{h}.{name}.bias"] = torch.cat([linear.bias for linear in linears])
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert not unexpected and not [name for name in missing if not name.endswith("attn.bias")], (missing, unexpected)
    return theirs


if __name__ == "__main__":
    main()
