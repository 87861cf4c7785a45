"""Time a training step of chapter 7 in one process: logits of every position, as in the book, and of targets only.

    python benchmarks/instruction_step.py [--model 124M] [--batches 6] [--repeats 5]

Both arms train the same random model on the same batches of the book's entries, in turns, with and without the
instruction masked. Times are processor seconds of a whole pass, so that they stand on a busy machine too.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional as F

from scratchlab.data import instructions
from scratchlab.launch import compose
from scratchlab.model.config import SIZES, GPTConfig
from scratchlab.model.gpt import GPT
from scratchlab.text.tokenizer import gpt2
from scratchlab.training import steps

Loss = Callable[[GPT, Tensor, Tensor], Tensor]


def everywhere(model: GPT, ids: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(model(ids).flatten(0, 1), targets.flatten(), ignore_index=instructions.IGNORE)


def at_targets(model: GPT, ids: Tensor, targets: Tensor) -> Tensor:
    wanted = targets != instructions.IGNORE
    return F.cross_entropy(model(ids, wanted), targets[wanted])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=SIZES, default="124M")
    parser.add_argument("--batches", type=int, default=6, help="of 8 entries, in each repetition")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    config = compose.compose(["experiment=ch07_main"])
    entries = instructions.load(config.data)["train"]  # type: ignore[attr-defined]
    data = instructions.Instructions(entries, config.prompt, gpt2())  # type: ignore[attr-defined]
    torch.manual_seed(123)
    model = GPT(GPTConfig(**SIZES[options.model], qkv_bias=True))
    optimizer = steps.adamw(model, lr=5e-5, weight_decay=0.1)
    print(f"GPT-2 {options.model}, {options.batches} batches of 8, {options.repeats} repetitions")
    for mask in (False, True):
        loaders = instructions.loaders({"train": data}, batch_size=8, mask=mask, max_length=1024)
        batches = list(islice(loaders["train"], options.batches))
        share = sum(int((t != instructions.IGNORE).sum()) for _, t in batches) / sum(t.numel() for _, t in batches)
        spent: dict[Loss, list[float]] = {everywhere: [], at_targets: []}
        for repeat in range(options.repeats + 1):
            for loss_of, times in spent.items():
                started = time.process_time()
                for ids, targets in batches:
                    loss_of(model, ids, targets).backward()
                    optimizer.step()
                    optimizer.zero_grad()
                if repeat:  # the first is to warm up
                    times.append(time.process_time() - started)
        print(f"mask_instruction={str(mask).lower()}: {share:.0%} of the positions have a target")
        for loss_of, times in spent.items():
            relative = statistics.median(times) / statistics.median(spent[at_targets])
            low, high = min(times), max(times)
            print(
                f"  {loss_of.__name__:<11} {statistics.median(times):6.2f} s ({low:.2f} to {high:.2f})  {relative:.2f}"
            )


if __name__ == "__main__":
    main()
