"""Talk to a trained run in the terminal: an instruction run answers, a classification run names the class."""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.generation.config import SamplingConfig
from scratchlab.runs.config import Run
from scratchlab.training import trained as trained_runs

if TYPE_CHECKING:
    from scratchlab.model.compute import Compute
    from scratchlab.model.decoder import Decoder
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Chat(Run):
    task: ClassVar[str] = "chat"
    recorded: ClassVar[bool] = False

    run: str
    """A finished run: its folder, or its name below `out`."""
    text: str = ""
    """One instruction or message, and an end; empty asks for one line after the other."""
    input: str = ""
    """What `text` is about, in the template's place for it; only where `text` is given."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        trained_runs.find(self.run, self.out)
        if self.input and not self.text:
            raise ValueError(
                f"input={self.input}: goes with text=INSTRUCTION; without it, lines are asked for one by one"
            )


def chat(config: Chat, record: "Record") -> dict[str, Any]:
    import torch

    from scratchlab.model import compute

    trained = trained_runs.load(trained_runs.find(config.run, config.out))
    machine = compute.prepare(config.compute)
    machine.prepare(trained.model)
    torch.manual_seed(config.seed)
    found = trained.config
    reply: Callable[[str], Iterable[str]]
    if trained.classes:
        length = trained.metrics["padded_length"]

        def reply(line: str) -> Iterable[str]:
            return [classified(trained, length, line, machine)]
    else:

        def reply(line: str) -> Iterable[str]:
            return answered(trained.model, found, config, line, machine)

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


def classified(trained: trained_runs.Trained, length: int | None, line: str, machine: "Compute") -> str:
    """The class of a message and its probability; the message is brought to the length that training had."""
    import torch

    from scratchlab.model.classifier import class_logits

    model, run = trained.model, trained.config
    ids = model.tokenizer.encode_plain(line)[: length or run.model.context_length]
    ids += [model.tokenizer.pad] * ((length or 0) - len(ids))
    with torch.no_grad(), machine.autocast():
        logits = class_logits(model, torch.tensor([ids], device=machine.device), run.position)[0]
    probabilities = logits.float().softmax(dim=-1)
    best = int(probabilities.argmax())
    return f"{trained.classes[best]} {probabilities[best].item():.4f}"
