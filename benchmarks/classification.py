"""Time chapter 6 in one process: by the author's package, everything computed, only what is needed, on kept features.

    python benchmarks/classification.py [--experiment ch06_row01_baseline] [--model gpt2_small] [--examples 64]

The arms train the same random model on the same first examples of each split, in turns, so that a change of the
machine's speed meets all of them; a batch of an evaluation likewise. Times are processor seconds of one thread, which
stand on a busy machine too. The whole run is then what its steps, evaluations and frozen blocks take together; a second
seed on the same weights finds what they gave. Peak memory is that of the whole process, this comparison included, but
with `--only kept`, that of a run. The author's package is left out where it is not installed.
"""

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import islice
from typing import Any

import torch
from torch.nn import functional as F

from scratchlab.data import spam
from scratchlab.launch import compose
from scratchlab.model import compute
from scratchlab.model.config import Position
from scratchlab.tasks.classify import Classify
from scratchlab.training import evaluate, frozen, steps

AUTHOR = "llms-from-scratch"
PLACES = {Position.first: 0, Position.last: -1}
"""Where the author's loop may read the class."""
ARMS = {
    "plain": {"reuse_frozen": False, "only_needed": False},
    "needed": {"reuse_frozen": False},
    "kept": {},
}


class Arm:
    """A model, its loaders, and what one batch of training or of an evaluation costs."""

    def __init__(self, config: Classify, switches: dict[str, Any], examples: int) -> None:
        for key, value in switches.items():
            setattr(config.compute, key, value)
        machine = compute.prepare(config.compute)
        frames, model = spam.load(config.data), config.model
        encoded = spam.encode(frames, config.data, model.tokenizer, model.context_length)
        for split in encoded.splits.values():  # cut now: what is padded hangs on the whole split
            split.rows, split.labels = split.rows[:examples], split.labels[:examples]
        self.model, _ = config.build()
        self.examples = sum(map(len, encoded.splits.values()))
        self.frozen, shortened = timed(lambda: frozen.shorten(self.model, machine, config.position, encoded.splits))
        self.again, _ = timed(lambda: frozen.shorten(self.model, machine, config.position, encoded.splits))
        self.loaders = spam.loaders(shortened.splits, config.train.batch_size)
        self.logits_of = shortened.logits_of
        self.loss_of = evaluate.class_loss(shortened.logits_of, machine, config.train.ignore_index)
        self.optimizer = steps.adamw(self.model, lr=config.train.lr, weight_decay=config.train.weight_decay)

    def train(self, batches: int) -> None:
        self.model.train()
        for batch in islice(self.loaders["train"], batches):
            self.loss_of(batch).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()

    def evaluate(self, batches: int) -> None:
        with evaluate.evaluating(self.model):
            evaluate.predict(self.loaders["val"], self.logits_of, batches)


class Author:
    """The author's model with the same weights, on the batches of an arm: all of it computed, AdamW as torch has it."""

    def __init__(self, arm: Arm, config: Classify) -> None:
        from dataclasses import asdict

        from llms_from_scratch.ch04 import GPTModel

        ours, self.loaders = arm.model, arm.loaders
        self.model, self.place = GPTModel(asdict(ours.config) | {"drop_rate": 0.0}), PLACES[config.position]
        self.model.out_head = torch.nn.Linear(ours.config.emb_dim, 2)
        self.model.load_state_dict(ours.state_dict(), strict=False)  # its mask is a buffer
        learned = {name for name, parameter in ours.named_parameters() if parameter.requires_grad}
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad = name in learned
        self.optimizer = torch.optim.AdamW(
            [p for p in self.model.parameters() if p.requires_grad], lr=config.train.lr, weight_decay=0.1
        )
        self.frozen = self.again = 0.0
        self.examples = arm.examples

    def train(self, batches: int) -> None:
        self.model.train()
        for ids, labels, *_ in islice(self.loaders["train"], batches):
            F.cross_entropy(self.model(ids)[:, self.place], labels).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()

    @torch.no_grad()
    def evaluate(self, batches: int) -> None:
        self.model.eval()
        for ids, labels, *_ in islice(self.loaders["val"], batches):
            (self.model(ids)[:, self.place].argmax(dim=-1) == labels).sum().item()


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def passes(config: Classify, examples: int) -> tuple[int, int]:
    """Training batches of the whole run, and batches that are evaluated in it; examples in all splits."""
    size, training = config.train.batch_size, config.train
    counts = {name: len(frame) for name, frame in spam.load(config.data).items()}
    batches = {"train": counts["train"] // size, **{name: -(-counts[name] // size) for name in ("val", "test")}}
    evaluated = {name: min(training.eval_batches or batches[name], batches[name]) for name in ("train", "val")}
    done = training.epochs * batches["train"]
    rounds = -(-done // training.eval_every) + training.epochs
    return done, rounds * sum(evaluated.values()) + sum(batches.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="ch06_row01_baseline")
    parser.add_argument("--model", default="gpt2_small")
    parser.add_argument("--data", default="spam", help="spam, or messages where the real ones cannot be had")
    parser.add_argument("--examples", type=int, default=64, help="of each split")
    parser.add_argument("--batches", type=int, default=2, help="in each repetition")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=ARMS, help="this arm alone")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"], help="of all but the author")
    options = parser.parse_args()

    words = [f"experiment={options.experiment}", f"model={options.model}", f"data={options.data}", "weights=random"]
    words += ["compute.device=cpu", "compute.threads=1"]
    names = [options.only] if options.only else list(ARMS)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SCRATCHLAB_FEATURES"] = folder
        arms: dict[str, Arm | Author] = {}
        for name in names:
            config = compose.compose([*words, f"compute.precision={options.precision}"])
            assert isinstance(config, Classify)
            torch.manual_seed(config.seed)
            arms[name] = arm = Arm(config, ARMS[name], options.examples)
            if name == "plain" and find_spec("llms_from_scratch") and config.position in PLACES:
                arms[AUTHOR] = Author(arm, config)
        spent: dict[str, dict[str, list[float]]] = {name: {"step": [], "forward": []} for name in arms}
        for repeat in range(options.repeats + 1):
            for name, arm in arms.items():
                for what, work in (("step", arm.train), ("forward", arm.evaluate)):
                    seconds, _ = timed(lambda work=work: work(options.batches))
                    if repeat:  # the first is to warm up
                        spent[name][what].append(seconds / options.batches)
        show(config, arms, spent)


def show(config: Classify, arms: dict[str, Arm | Author], spent: dict[str, dict[str, list[float]]]) -> None:
    total = sum(len(frame) for frame in spam.load(config.data).values())
    done, forwards = passes(config, total)
    print(f"{config.name}, {config.train.batch_size} a batch: {done} steps and {forwards} forwards in the whole run")
    print("| | a step | a forward | frozen blocks | whole run | times faster | second seed | times faster |")
    print("|---|---|---|---|---|---|---|---|")
    first = AUTHOR if AUTHOR in arms else next(iter(arms))
    whole = {}
    for name, arm in arms.items():
        step, forward = (statistics.median(spent[name][what]) for what in ("step", "forward"))
        again = arm.again  # weights are hashed, and nothing is computed
        prefix = again + (arm.frozen - again) / arm.examples * total
        rest = done * step + forwards * forward
        whole[name] = (prefix, rest + prefix, rest + again)
    for name in arms:
        ranges = [
            f"{statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f})" for found in spent[name].values()
        ]
        prefix, run, again = whole[name]
        ratios = (whole[first][1] / seconds for seconds in (run, again))
        shown = [f"{seconds:.0f} | {ratio:.2f}" for seconds, ratio in zip((run, again), ratios, strict=True)]
        print(f"| {name} | {' | '.join(ranges)} | {prefix:.0f} | {' | '.join(shown)} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak memory {peak:.2f} GB")


if __name__ == "__main__":
    torch.manual_seed(123)
    main()
