"""A dress rehearsal for those who have OpenAI's weights: random ones in their place, through every step there is.

    python tests/rehearsal.py FOLDER [--sizes 124M,355M,774M,1558M] [--skip NAME,...]

Writes weights of the published shapes in OpenAI's TensorFlow format to where a user would put the real files, then runs
every experiment that needs them. Each is cut short: few items, one epoch, few tokens. In the end one command makes
whole runs, by `run_missing=true with_weights=true`. Prints each step with its minutes and the most memory it held, and
ends with 1 if one failed. FOLDER needs 10 GB for the largest size, 2.5 GB without it, and keeps what it has for a next
time. Numbers that come out mean nothing; the path that a first machine with the real files will take does.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SHAPES = {"124M": (12, 768), "355M": (24, 1024), "774M": (36, 1280), "1558M": (48, 1600)}
"""Layers and width of the published sizes."""
SIZES = {"small": "124M", "medium": "355M", "large": "774M", "xl": "1558M"}
WHOLE = ("ch05_5_losses", "ch06_row01_baseline", "ch06_row16_last_real")
"""What the last step makes uncut."""


@dataclass(frozen=True)
class Step:
    what: str
    minutes: float
    gigabytes: float
    failed: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", default=",".join(SHAPES))
    parser.add_argument("--skip", default="", help="experiments not to run")
    options = parser.parse_args()
    sizes = options.sizes.split(",")
    if wrong := [size for size in sizes if size not in SHAPES]:
        parser.error(f"--sizes {','.join(wrong)}: possible: {', '.join(SHAPES)}")
    folder = options.folder.resolve()
    mirror = folder / "mirror"
    for item in Path(os.environ.get("SCRATCHLAB_MIRROR") or folder / "none").glob("*"):
        if not (link := mirror / item.name).exists():
            mirror.mkdir(parents=True, exist_ok=True)
            link.symlink_to(item.resolve())
    steps = []
    for size in sizes:
        steps.append(measured(f"write {size}", [sys.executable, __file__, str(mirror), "--write", size]))
    entries = folder / "entries.json"
    entries.write_text(json.dumps([question(n) for n in range(24)]))
    environment = os.environ | {"SCRATCHLAB_MIRROR": str(mirror), "SCRATCHLAB_CACHE": str(folder / "cache")}
    outputs = folder / "outputs"
    shutil.rmtree(outputs, ignore_errors=True)
    for name, task, size in needing_weights():
        if size in sizes and name not in options.skip.split(","):
            arguments = [f"experiment={name}", f"out={outputs}", "tracking=none", *cut(task, entries)]
            steps.append(measured(f"{name} ({size})", [sys.executable, "-m", "scratchlab", *arguments], environment))
    if "124M" in sizes:
        arguments = ["task=reproduce", "run_missing=true", "with_weights=true", f"select={','.join(WHOLE)}"]
        arguments.append(f"out={folder / 'whole'}")
        # 1 says that claims are missed, as they must be with random weights
        command = [sys.executable, "-m", "scratchlab", *arguments]
        steps.append(measured(" ".join(arguments[:3]) + " ...", command, environment, fine=(0, 1)))
    print("\n| step | minutes | GB | |\n|---|---|---|---|")
    for step in steps:
        print(f"| {step.what} | {step.minutes:.1f} | {step.gigabytes:.1f} | {step.failed} |")
    sys.exit(any(step.failed for step in steps))


def measured(
    what: str, command: list[str], environment: dict[str, str] | None = None, fine: tuple[int, ...] = (0,)
) -> Step:
    """Run a command to its end: its time, and the most memory that it held at once."""
    print(f"--- {what}", flush=True)
    begun = time.monotonic()
    child = subprocess.Popen(command, env=environment)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    failed = "" if child.returncode in fine else f"exit code {child.returncode}"
    return Step(what, (time.monotonic() - begun) / 60, used.ru_maxrss / 1e6, failed)


def needing_weights() -> Iterator[tuple[str, str, str]]:
    """Experiment, task and size of every experiment that starts from OpenAI's weights, prerequisites first."""
    from scratchlab.book import experiments
    from scratchlab.evidence.gather import claims_about
    from scratchlab.evidence.missing import missing_runs

    files = experiments.read_all()
    stated = [item for name in files for item in claims_about(name, files, {})]
    for item in missing_runs(stated, {}, files, ()):
        for word, size in SIZES.items():
            if f"({word})" in item.obstacle:
                yield item.experiment.name, item.experiment.task, size


def cut(task: str, entries: Path) -> list[str]:
    """What makes a run of this task short."""
    match task:
        case "classify":
            return ["data=messages", "data.size=100", "train.epochs=1", "train.eval_every=1000"]
        case "instruct":
            short = ["train.epochs=1", "train.eval_every=1000", "sampling.max_new_tokens=8"]
            return ["data=entries", f"data.path={entries}", *short]
        case _:
            return []


def question(number: int) -> dict[str, str]:
    return {"instruction": "Add one to the number.", "input": str(number), "output": f"It is {number + 1}."}


def write(mirror: Path, size: str) -> None:
    """A checkpoint of random weights as `tf.train.Saver` wrote it for OpenAI, unless it is there."""
    folder = mirror / "gpt2" / size
    if (folder / "model.ckpt.index").is_file():
        return
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    import tensorflow as tf

    layers, width = SHAPES[size]
    drawn = np.random.default_rng(123)
    folder.mkdir(parents=True, exist_ok=True)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = []
        for name, shape in shapes(layers, width).items():
            # a variable at a time: a graph that held the largest model's values would be beyond 2 GB
            variable = tf.compat.v1.get_variable(f"model/{name}", shape=shape, dtype=tf.float32)
            value = drawn.standard_normal(shape, dtype=np.float32) * np.float32(0.02) + np.float32(name.endswith("/g"))
            session.run(variable.initializer, {variable.initial_value: value})
            variables.append(variable)
        saver = tf.compat.v1.train.Saver(variables)
        saver.save(session, str(folder / "model.ckpt"))
    (folder / "hparams.json").write_text(
        json.dumps({"n_vocab": 50257, "n_ctx": 1024, "n_embd": width, "n_head": width // 64, "n_layer": layers})
    )


def shapes(layers: int, width: int) -> dict[str, tuple[int, ...]]:
    """Every variable of a checkpoint below `model`, with its shape: linear weights are convolutions of width one."""
    found: dict[str, tuple[int, ...]] = {"wte": (50257, width), "wpe": (1024, width)}
    for layer in range(layers):
        for name, inside, outside in (
            ("attn/c_attn", width, 3 * width),
            ("attn/c_proj", width, width),
            ("mlp/c_fc", width, 4 * width),
            ("mlp/c_proj", 4 * width, width),
        ):
            found |= {f"h{layer}/{name}/w": (1, inside, outside), f"h{layer}/{name}/b": (outside,)}
        for norm in ("ln_1", "ln_2"):
            found |= {f"h{layer}/{norm}/g": (width,), f"h{layer}/{norm}/b": (width,)}
    return found | {"ln_f/g": (width,), "ln_f/b": (width,)}


if __name__ == "__main__":
    if "--write" in sys.argv:
        write(Path(sys.argv[1]), sys.argv[3])
    else:
        main()
