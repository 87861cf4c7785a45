"""Measure this package against the author's, transformers and peft: same weights, data and machine, in turns.

    make bench, or: python benchmarks/against.py [--phases ...] [--model 124M] [--repeats 3] [--steps 2] [--write]

Every measurement is a process of its own, so that its peak of memory is its own; the arms of a phase take turns, and
each tells the median over its repetitions, and their range. `--write` puts table and plot into docs/benchmarks.md.
Weights are random and no text ends early. What is not installed is left out, and named. Run it on a quiet machine.
"""

import argparse
import gc
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- written by make bench -->", "<!-- until here -->"
OURS, AUTHOR, TRANSFORMERS, PEFT = "scratchlab", "llms-from-scratch", "transformers", "peft"
NEEDS = {OURS: "scratchlab", AUTHOR: "llms_from_scratch", TRANSFORMERS: "transformers", PEFT: "peft"}
BOTH = ("float32", "bfloat16")
PHASES = {
    "classify": ("A step of chapter 6, the whole model", (AUTHOR, OURS, TRANSFORMERS)),
    "instruct": ("A step of chapter 7, the whole model, the instruction masked", (AUTHOR, OURS, TRANSFORMERS)),
    "lora": ("The same with LoRA of rank 16 in every linear layer", (AUTHOR, OURS, PEFT)),
    "answers": ("Answers to prompts of chapter 7's test split", (AUTHOR, OURS, TRANSFORMERS)),
}
WHY = {
    "classify": "between the products activations are read and written, and AdamW passes over four numbers a parameter",
    "instruct": "AdamW and the dense gradient of the token table pass over every parameter, whatever the batch",
    "lora": "products with rank 16 are too thin for the machine, and every layer's output is added to another one",
    "answers": "each step multiplies a few dozen rows by every weight: reading the weights is what takes the time",
}
"""Why a phase stays below half of the machine's peak in matrix products."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=list(PHASES))
    parser.add_argument("--model", default="124M")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2, help="batches of a repetition, after one to warm up")
    parser.add_argument("--prompts", type=int, default=110)
    parser.add_argument("--new", type=int, default=48, help="tokens of an answer")
    parser.add_argument("--threads", type=int, default=0, help="0: torch's choice")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(work(*options.worker, options)))
        return
    there = {name for name, module in NEEDS.items() if find_spec(module)}
    if missing := sorted(set(NEEDS) - there):
        print(f"not installed, and left out: {', '.join(missing)} (pip install -r benchmarks/requirements.txt)")
    peaks = {precision: call("peak", "-", precision, options)["flops"] for precision in BOTH}
    found: dict[str, dict[tuple[str, str], list[dict[str, Any]]]] = {}
    for phase in options.phases:
        arms = [(name, precision) for name in PHASES[phase][1] if name in there for precision in BOTH]
        arms.remove((AUTHOR, "bfloat16"))  # the book knows none
        found[phase] = {arm: [] for arm in arms}
        for repeat in range(options.repeats):
            for arm in arms:
                found[phase][arm].append(call(phase, *arm, options, share=repeat))
                print(f"{phase} {repeat + 1}/{options.repeats} {' '.join(arm)}: {found[phase][arm][-1]}", flush=True)
    text = report(found, peaks, options)
    print(text)
    if options.write:
        write(text, found)


def call(phase: str, name: str, precision: str, options: argparse.Namespace, share: int = 0) -> dict[str, Any]:
    """One measurement in a process of its own; `share` seeds which prompts the author's loop answers."""
    words = [sys.executable, __file__, "--worker", phase, name, precision, "--model", options.model]
    for key in ("steps", "prompts", "new", "threads"):
        words += [f"--{key}", str(getattr(options, key))]
    done = subprocess.run([*words, "--repeats", str(share)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{phase} {name} {precision} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def work(phase: str, name: str, precision: str, options: argparse.Namespace) -> dict[str, Any]:
    import torch

    from scratchlab.runs import environment

    if options.threads:
        torch.set_num_threads(options.threads)
    if phase == "peak":
        return {"flops": peak(getattr(torch, precision))}
    torch.manual_seed(123)
    run = (answers if phase == "answers" else training)(phase, name, precision, options)
    gc.collect()
    environment.start_memory_peak()
    return run() | {"peak_memory_gb": round(environment.memory_peak() / 1e9, 2)}


def peak(dtype: Any) -> float:
    """The operations a second of a large square product."""
    import torch

    size, times = 2048, []
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    for _ in range(8):
        started = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(times[1:])


def book_model(name: str) -> Any:
    """The same random weights for all."""
    from scratchlab.model.config import SIZES, GPTConfig
    from scratchlab.model.gpt import GPT

    return GPT(GPTConfig(**SIZES[name], qkv_bias=True))


def as_author(model: Any) -> Any:
    from dataclasses import asdict

    from llms_from_scratch.ch04 import GPTModel

    theirs = GPTModel(asdict(model.config) | {"drop_rate": 0.0})
    theirs.load_state_dict(model.state_dict(), strict=False)  # its mask is a buffer
    return theirs


def batches_of(phase: str, steps: int) -> list[Any]:
    """Token ids (8, T) and targets: of chapter 7's entries, or made up, as long as chapter 6's messages."""
    import torch

    if phase == "classify":
        return [(torch.randint(50257, (8, 120)), torch.randint(2, (8,))) for _ in range(steps)]
    from itertools import islice

    from scratchlab.data import instructions
    from scratchlab.launch import compose
    from scratchlab.text.tokenizer import gpt2

    config: Any = compose.compose(["experiment=ch07_main"])
    data = instructions.Instructions(instructions.load(config.data)["train"][:64], config.prompt, gpt2())
    return list(islice(instructions.loaders({"train": data}, batch_size=8, mask=True, max_length=1024)["train"], steps))


def training(phase: str, name: str, precision: str, options: argparse.Namespace) -> Callable[[], dict[str, Any]]:
    """Batches of a training; seconds a step, and its operations in matrix products."""
    import torch

    batches = batches_of(phase, options.steps + 1)
    ours = book_model(options.model)
    shape = ours.config
    model, optimizer, loss_of = arm(phase, name, ours, precision)
    body = 12 * shape.n_layers * shape.emb_dim**2
    passes = 2 if phase == "lora" else 3  # frozen weights need no gradient of their own

    def operations(ids: Any, targets: Any) -> int:
        read = 0 if phase == "classify" else int((targets >= 0).sum())
        return 2 * passes * (body * ids.numel() + shape.emb_dim * shape.vocab_size * read)

    def run() -> dict[str, Any]:
        model.train()
        seconds = []
        for batch in batches:
            started = time.perf_counter()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16" and name != OURS):
                loss = loss_of(batch)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            seconds.append(time.perf_counter() - started)
        work = sum(operations(*batch) for batch in batches[1:])
        return {"seconds": statistics.mean(seconds[1:]), "flops": work / len(batches[1:]), "loss": loss.item()}

    return run


def arm(phase: str, name: str, ours: Any, precision: str) -> tuple[Any, Any, Callable[[Any], Any]]:
    """Model, optimizer and loss of a batch, as each package's user would have them."""
    import torch
    from torch.nn import functional as F

    from scratchlab.model import compute, tune
    from scratchlab.model.config import Position, Trainable, TuneConfig
    from scratchlab.runs.config import ComputeConfig, Device, Precision
    from scratchlab.training import evaluate, steps

    classes = torch.nn.Linear(ours.config.emb_dim, 2) if phase == "classify" else None
    if name == OURS:
        machine = compute.prepare(ComputeConfig(device=Device.cpu, precision=Precision[precision]))
        if phase == "lora":
            tune.choose_trainable(
                ours, TuneConfig(trainable=Trainable.lora, lora_rank=16, lora_alpha=16.0), new_head=False
            )
        if classes is None:
            return ours, steps.adamw(ours, lr=5e-5, weight_decay=0.1), evaluate.target_loss(ours, machine)
        ours.out_head = classes
        optimizer = steps.adamw(ours, lr=5e-5, weight_decay=0.1)
        logits_of = evaluate.class_logits_of(ours, machine, Position.last)
        return ours, optimizer, lambda batch: F.cross_entropy(logits_of(batch).float(), batch[1])
    if name == AUTHOR:
        from llms_from_scratch import appendix_e, ch05, ch06

        model = as_author(ours)
        if classes is not None:
            model.out_head = classes
        if phase == "lora":
            for parameter in model.parameters():
                parameter.requires_grad = False
            appendix_e.replace_linear_with_lora(model, rank=16, alpha=16)
        loss = ch05.calc_loss_batch if classes is None else ch06.calc_loss_batch
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.1)
        return model, optimizer, lambda batch: loss(*batch, model, torch.device("cpu"))
    from generation import as_transformers

    model = as_transformers(ours)
    if name == PEFT:
        from peft import LoraConfig, get_peft_model

        layers = ["c_attn", "c_proj", "c_fc", "lm_head"]
        model = get_peft_model(model, LoraConfig(r=16, lora_alpha=16, target_modules=layers, fan_in_fan_out=True))
    elif classes is not None:
        model.lm_head = classes
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-5, weight_decay=0.1, fused=True)
    if classes is not None:
        return model, optimizer, lambda batch: F.cross_entropy(model(batch[0], logits_to_keep=1).logits[:, 0], batch[1])

    def next_token(batch: Any) -> Any:
        logits = model(batch[0]).logits
        return F.cross_entropy(logits.flatten(0, 1).float(), batch[1].flatten())

    return model, optimizer, next_token


def answers(phase: str, name: str, precision: str, options: argparse.Namespace) -> Callable[[], dict[str, Any]]:
    """All prompts of the test split; the author's loop on three of them, scaled by the tokens that it reads."""
    import generation
    import torch
    from llms_from_scratch.ch05 import generate as book_generate

    from scratchlab.data import instructions
    from scratchlab.generation import responses
    from scratchlab.generation.sampling import SamplingConfig, texts
    from scratchlab.launch import compose
    from scratchlab.text.prompts import parts
    from scratchlab.text.tokenizer import gpt2

    config: Any = compose.compose(["experiment=ch07_main"])
    entries = instructions.load(config.data)["test"][: options.prompts]
    prompts = [gpt2().encode_parts(parts(config.prompt, entry)[0]) for entry in entries]
    model, way = book_model(options.model).eval(), SamplingConfig(max_new_tokens=options.new)
    shape = model.config
    scale, chosen = 1.0, prompts
    if name == AUTHOR:
        reads = [options.new * (len(prompt) + (options.new - 1) / 2) for prompt in prompts]
        three = random.Random(options.repeats).sample(range(len(prompts)), min(3, len(prompts)))
        chosen, scale = [prompts[i] for i in three], sum(reads) / sum(reads[i] for i in three)
        model = as_author(model).eval()
    theirs = generation.as_transformers(model) if name == TRANSFORMERS else None
    if theirs is not None and precision == "bfloat16":
        theirs = theirs.to(torch.bfloat16)

    def run() -> dict[str, Any]:
        started = time.perf_counter()
        if name == AUTHOR:
            for prompt in chosen:
                book_generate(model, torch.tensor([prompt]), options.new, shape.context_length)
        elif theirs is not None:
            rows = responses._together(model, max(map(len, prompts)) + options.new)
            for start in range(0, len(prompts), rows):
                generation.transformers_generate(theirs, prompts[start : start + rows], way)
        else:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
                list(texts(model, prompts, way, together=responses._together(model, 64 + options.new)))
        tokens = sum(map(len, prompts)) + options.new * len(prompts)
        head = shape.emb_dim * shape.vocab_size * options.new * len(prompts)
        work = 2 * (12 * shape.n_layers * shape.emb_dim**2 * tokens + head)
        return {"seconds": (time.perf_counter() - started) * scale, "flops": work}

    return run


def report(found: dict[str, Any], peaks: dict[str, float], options: argparse.Namespace) -> str:
    import platform

    import torch

    described = " and ".join(f"{flops / 1e9:.0f} GFLOP/s in {name}" for name, flops in peaks.items())
    threads = options.threads or torch.get_num_threads()
    lines = [
        f"GPT-2 {options.model}, torch {torch.__version__}, {platform.machine()} with {threads} threads, "
        f"{time.strftime('%Y-%m-%d')}; a large matrix product runs at {described}. {options.repeats} repetitions in "
        f"turns, each in a process of its own; steps are of 8 texts, answers of {options.new} tokens to "
        f"{options.prompts} prompts.",
    ]
    for phase, arms in found.items():
        lines += ["", f"{PHASES[phase][0]}:", ""]
        lines += ["| | seconds, median (range) | times faster | GB | share of peak |", "|---|---|---|---|---|"]
        middles = {arm: statistics.median(one["seconds"] for one in ones) for arm, ones in arms.items()}
        low = []
        for (name, precision), ones in arms.items():
            seconds, middle = [one["seconds"] for one in ones], middles[name, precision]
            faster = f"{middles[AUTHOR, 'float32'] / middle:.2f}" if (AUTHOR, "float32") in arms else "-"
            share = statistics.median(one["flops"] for one in ones) / middle / peaks[precision]
            memory = max(one["peak_memory_gb"] for one in ones)
            lines.append(
                f"| {name}, {precision} | {middle:.2f} ({min(seconds):.2f} to {max(seconds):.2f}) | "
                f"{faster} | {memory:.2f} | {share:.0%} |"
            )
            low += [precision] if name == OURS and share < 0.5 else []
        if low:
            lines += ["", f"Below half of the peak in {' and '.join(low)}: {WHY[phase]}."]
    return "\n".join(lines)


def write(text: str, found: dict[str, Any]) -> None:
    """The table between its marks in docs/benchmarks.md, and the plot beside it."""
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    figure, axes = pyplot.subplots(len(found), 1, figsize=(8, 2 * len(found)), constrained_layout=True, squeeze=False)
    for axis, (phase, arms) in zip(axes[:, 0], found.items(), strict=True):
        seconds = [[one["seconds"] for one in ones] for ones in arms.values()]
        middles = [statistics.median(values) for values in seconds]
        spread = [[m - min(v) for m, v in zip(middles, seconds, strict=True)]]
        spread += [[max(v) - m for m, v in zip(middles, seconds, strict=True)]]
        axis.barh([", ".join(arm) for arm in arms], middles, xerr=spread, color="tab:blue")
        axis.invert_yaxis()
        axis.set_title(PHASES[phase][0], fontsize=9, loc="left")
        axis.set_xlabel("seconds", fontsize=8)
        axis.tick_params(labelsize=8)
    figure.savefig(DOCS / "benchmarks.png", dpi=100)
    page = DOCS / "benchmarks.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    picture = "![Seconds of every phase and package](benchmarks.png)"
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{picture}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
