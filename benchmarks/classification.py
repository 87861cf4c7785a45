"""Time chapter 6 in one process: everything computed, only what is needed, and on what frozen blocks gave.

    python benchmarks/classification.py [--experiment ch06_row01_baseline] [--model gpt2_small] [--examples 64]

The arms train the same random model on the same first examples of each split, in turns, so that a change of the
machine's speed meets all of them; a batch of an evaluation likewise. Times are processor seconds of one thread, which
stand on a busy machine too. The whole run is then what its steps, evaluations and frozen blocks take together; a second
seed on the same weights finds what they gave. Peak memory is that of the whole process, this comparison included, but
with `--only kept`, that of a run.
"""

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import torch

from scratchlab.data import spam
from scratchlab.launch import compose
from scratchlab.model import compute
from scratchlab.tasks.classify import Classify
from scratchlab.training import evaluate, frozen, steps

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
    options = parser.parse_args()

    words = [f"experiment={options.experiment}", f"model={options.model}", f"data={options.data}", "weights=random"]
    words += ["compute.device=cpu", "compute.threads=1"]
    names = [options.only] if options.only else list(ARMS)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SCRATCHLAB_FEATURES"] = folder
        arms = {}
        for name in names:
            config = compose.compose(words)
            assert isinstance(config, Classify)
            arms[name] = Arm(config, ARMS[name], options.examples)
        spent: dict[str, dict[str, list[float]]] = {name: {"step": [], "forward": []} for name in arms}
        for repeat in range(options.repeats + 1):
            for name, arm in arms.items():
                for what, work in (("step", arm.train), ("forward", arm.evaluate)):
                    seconds, _ = timed(lambda work=work: work(options.batches))
                    if repeat:  # the first is to warm up
                        spent[name][what].append(seconds / options.batches)
        show(config, arms, spent)


def show(config: Classify, arms: dict[str, Arm], spent: dict[str, dict[str, list[float]]]) -> None:
    total = sum(len(frame) for frame in spam.load(config.data).values())
    done, forwards = passes(config, total)
    print(f"{config.name}, {config.train.batch_size} a batch: {done} steps and {forwards} forwards in the whole run")
    print("| | a step | a forward | frozen blocks | whole run | second seed |\n|---|---|---|---|---|---|")
    for name, arm in arms.items():
        step, forward = (statistics.median(spent[name][what]) for what in ("step", "forward"))
        ranges = {what: f"({min(found):.3f} to {max(found):.3f})" for what, found in spent[name].items()}
        again = arm.again  # weights are hashed, and nothing is computed
        prefix = again + (arm.frozen - again) / arm.examples * total
        rest = done * step + forwards * forward
        print(
            f"| {name} | {step:.3f} {ranges['step']} | {forward:.3f} {ranges['forward']} | {prefix:.0f} "
            f"| {rest + prefix:.0f} | {rest + again:.0f} |"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak memory {peak:.2f} GB")


if __name__ == "__main__":
    torch.manual_seed(123)
    main()
