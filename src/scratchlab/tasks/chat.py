"""Talk to a trained run in the terminal, or to a model as it comes: it answers, or a classifier names the class."""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.generation.config import SamplingConfig
from scratchlab.model.config import ModelConfig, WeightsConfig, WeightSource, check_vocabulary
from scratchlab.runs.config import Run
from scratchlab.text.prompts import PromptConfig
from scratchlab.training import trained as trained_runs

if TYPE_CHECKING:
    from scratchlab.model.compute import Compute
    from scratchlab.model.decoder import Decoder
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Chat(Run):
    task: ClassVar[str] = "chat"
    recorded: ClassVar[bool] = False

    run: str = ""
    """A finished run: its folder, or its name below `out`; empty where `weights` say who answers."""
    model: ModelConfig
    weights: WeightsConfig
    """Without `run`: the weights that answer as they come, in the template `prompt`."""
    prompt: PromptConfig
    text: str = ""
    """One instruction or message, and an end; empty asks for one line after the other."""
    input: str = ""
    """What `text` is about, in the template's place for it; only where `text` is given."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        source = self.weights.source
        if self.run and source is not WeightSource.random:
            raise ValueError(f"run={self.run} weights={source.name}: only one can answer; possible: one of the two")
        if self.run:
            trained_runs.find(self.run, self.out)
        else:
            check_vocabulary(self.model)
            self.weights.check(self.model)
        if self.input and not self.text:
            raise ValueError(
                f"input={self.input}: goes with text=INSTRUCTION; without it, lines are asked for one by one"
            )


def chat(config: Chat, record: "Record") -> dict[str, Any]:
    import torch

    from scratchlab.model import compute, weights

    found: Any = config
    measured: dict[str, Any] = {}
    classes: tuple[str, ...] = ()
    if config.run:
        trained = trained_runs.load(trained_runs.find(config.run, config.out))
        model, found, measured, classes = trained.model, trained.config, trained.metrics, trained.classes
    elif config.weights.source is not WeightSource.random:
        model = weights.build(config.model, config.weights)[0].eval()
    else:
        raise ValueError("run='' weights=random: nobody is there to answer; possible: run=NAME, or weights=SOURCE")
    machine = compute.prepare(config.compute)
    machine.prepare(model)
    torch.manual_seed(config.seed)
    reply: Callable[[str], Iterable[str]]
    if classes:
        length = measured["padded_length"]

        def reply(line: str) -> Iterable[str]:
            return [classified(model, found, classes, length, line, machine)]
    else:

        def reply(line: str) -> Iterable[str]:
            return answered(model, found, config, line, machine)

    replies = 0
    for line in [config.text] if config.text else lines():
        for piece in reply(line):
            print(piece, end="", flush=True)
        print(flush=True)
        replies += 1
    return {"replies": replies}


def lines() -> Iterator[str]:
    """What is typed, line by line, until it ends (Ctrl-D) or `exit`; empty lines are passed over."""
    terminal = sys.stdin.isatty()
    while True:
        if terminal:
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line or line.strip() == "exit":
            return
        if line.strip():
            yield line.strip()


def answered(model: "Decoder", run: Any, config: Chat, line: str, machine: "Compute") -> Iterator[str]:
    """The response to an instruction, in the template of the run, as it is written."""
    from scratchlab.generation import sampling
    from scratchlab.text.prompts import extract_while_written, parts

    question, _ = parts(run.prompt, {"instruction": line, "input": config.input, "output": ""})
    ids = model.tokenizer.encode_parts(question)
    with machine.autocast():
        tokens = (token for _, token in sampling.stream(model, [ids], config.sampling, end_token=model.tokenizer.end))
        yield from extract_while_written(run.prompt, sampling.to_text(model.tokenizer, tokens))


def classified(
    model: "Decoder", run: Any, classes: tuple[str, ...], length: int | None, line: str, machine: "Compute"
) -> str:
    """The class of a message and its probability; the message is brought to the length that training had."""
    import torch

    from scratchlab.model.classifier import class_logits

    ids = model.tokenizer.encode_plain(line)[: length or run.model.context_length]
    ids += [model.tokenizer.pad] * ((length or 0) - len(ids))
    with torch.no_grad(), machine.autocast():
        logits = class_logits(model, torch.tensor([ids], device=machine.device), run.position)[0]
    probabilities = logits.float().softmax(dim=-1)
    best = int(probabilities.argmax())
    return f"{classes[best]} {probabilities[best].item():.4f}"
