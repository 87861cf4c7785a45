"""Fine-tune a GPT to follow instructions, let it answer the test split, and score the answers: chapter 7."""

import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.data.instructions_config import InstructionsConfig
from scratchlab.judge_config import JudgeConfig
from scratchlab.model.config import ModelConfig, Trainable, TuneConfig, WeightsConfig, check_vocabulary
from scratchlab.prompts import PromptConfig
from scratchlab.run import TrainingRun, fingerprint
from scratchlab.sampling_config import SamplingConfig
from scratchlab.train_config import TrainConfig

if TYPE_CHECKING:
    from scratchlab.data.instructions import Entry, Instructions
    from scratchlab.model.compute import Compute
    from scratchlab.model.decoder import Decoder
    from scratchlab.record import Record

log = logging.getLogger(__name__)

AFTER_TRAINING = ("sampling", "judge")
"""Parts of the configuration that act only when the model is trained."""
ANSWERS, RESPONSES = "responses.jsonl", "responses.json"


@dataclass(kw_only=True)
class InstructTraining(TrainConfig):
    max_length: int
    """Tokens that an entry is cut to."""


@dataclass(kw_only=True)
class Instruct(TrainingRun):
    task: ClassVar[str] = "instruct"

    model: ModelConfig
    weights: WeightsConfig
    data: InstructionsConfig
    prompt: PromptConfig
    mask_instruction: bool = False
    """Leave the question out of the loss (exercise 7.2)."""
    tune: TuneConfig
    train: InstructTraining
    sampling: SamplingConfig
    judge: JudgeConfig
    save: bool = True
    """Keep the trained model, for task=export and task=chat, and for runs that differ only in what comes after."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_vocabulary(self.model)
        context, length = self.model.context_length, self.train.max_length
        if not 2 <= length <= context:
            raise ValueError(
                f"train.max_length={length}: possible: 2 to model.context_length={context}; "
                f"nearest: train.max_length={min(max(length, 2), context)}"
            )
        self.weights.check(self.model)

    def inputs(self) -> dict[str, str]:
        return self.data.inputs() | self.weights.inputs()


def instruct(config: Instruct, record: "Record") -> dict[str, Any]:
    from scratchlab import instruction_training as training
    from scratchlab import judge, resume
    from scratchlab.data import instructions
    from scratchlab.model import compute

    judge.check(config.judge)  # before an hour of training
    machine = compute.prepare(config.compute)
    record.device = machine.name
    entries = instructions.load(config.data)
    splits = {
        name: instructions.Instructions(part, config.prompt, config.model.tokenizer) for name, part in entries.items()
    }
    record.hashes |= {f"{name}_split": data.fingerprint() for name, data in splits.items()}
    model, record.hashes["weights"] = build(config)
    machine.prepare(model)
    counted = count(config, splits) | compare_tokens(config, entries["train"], splits["train"])
    before = resume.Resume(
        record,
        config.checkpoint_minutes,
        afresh=config.force,
        training=fingerprint(config, without=AFTER_TRAINING),
        files=(training.SAMPLES, training.CURVES),
        later={ANSWERS: fingerprint(config, without=("judge",))},
    )
    trained = before.trained(model)
    if trained is None:
        trained = training.fit(config, record, model, splits, machine, before, sample_from=entries["val"][0])
        if config.save:
            before.save(model, trained)
    answered = respond(config, record, model, entries["test"], machine)
    before.drop_state()
    return counted | trained | answered


def build(config: Instruct) -> tuple["Decoder", str]:
    """The model of a run, its trainable parameters chosen; and the hash of its starting weights.

    Random weights are drawn even where others take their place: LoRA's matrices come after them in the script's order.
    """
    import torch

    from scratchlab.model import families, tune, weights

    torch.manual_seed(config.seed)
    model = families.make(config.model)
    weights_hash = weights.load(model, config.weights)
    tune.choose_trainable(model, config.tune, new_head=config.tune.trainable is Trainable.last_layer)
    return model, weights_hash


def count(config: Instruct, splits: "dict[str, Instructions]") -> dict[str, Any]:
    """What the training split gives to learn from.

    Raises:
        ValueError: nothing is left to learn, or to measure, in a split.
    """
    from scratchlab.data import instructions

    train, length = splits["train"], config.train.max_length
    every = {name: instructions.count(s, mask=config.mask_instruction, max_length=length) for name, s in splits.items()}
    for name, counts in every.items():
        if counts.masked == counts.targets:
            raise ValueError(
                f"mask_instruction=true train.max_length={length}: cuts every answer of the {name} split away, so that "
                f"no target is left; its longest entry has {counts.tokens_max} tokens"
            )
    counts = every["train"]
    if counts.cut:
        log.warning(
            "train.max_length=%d cuts %d of %d answers short; nothing at all is left of %d",
            *(length, counts.cut, len(train), counts.lost),
        )
    return {
        "train_entries": len(train),
        "entry_tokens_mean": counts.tokens_mean,
        "entry_tokens_max": counts.tokens_max,
        "targets": counts.targets,
        "masked_targets": counts.masked,
        "masked_share": counts.masked / counts.targets,
        "answers_cut": counts.cut,
        "answers_lost": counts.lost,
    }


def compare_tokens(config: Instruct, entries: "list[Entry]", data: "Instructions") -> dict[str, float]:
    """`token_saving`: the share of tokens that the template saves against Alpaca's for the same entries."""
    from scratchlab.data import instructions
    from scratchlab.prompts import templates

    alpaca = templates()["alpaca"]
    if config.prompt == alpaca:
        return {"token_saving": 0.0}
    ours, theirs = (
        sum(len(item.ids) for item in part)
        for part in (data, instructions.Instructions(entries, alpaca, config.model.tokenizer))
    )
    return {"token_saving": 1 - ours / theirs}


def respond(
    config: Instruct, record: "Record", model: "Decoder", entries: "list[Entry]", machine: "Compute"
) -> dict[str, Any]:
    """Answer the test split, write the answers in the book's layout, and score them."""
    from scratchlab import responses
    from scratchlab.judge_config import JudgeBackend
    from scratchlab.overlap import overlap
    from scratchlab.tasks.judge import judged

    started = time.perf_counter()
    answers = responses.answer(
        model,
        config.prompt,
        entries,
        config.sampling,
        record.folder / ANSWERS,
        seed=config.seed,
        autocast=machine.autocast(),
    )
    seconds = time.perf_counter() - started
    answered = responses.with_responses(model.tokenizer, config.prompt, entries, answers)
    record.write_text(RESPONSES, json.dumps(answered, indent=4, ensure_ascii=False) + "\n")
    metrics: dict[str, Any] = {"answers": len(answers), "first_answer_ids": answers[0], "answer_seconds": seconds}
    metrics |= overlap([entry["model_response"] for entry in answered], [entry["output"] for entry in answered])
    if config.judge.backend is not JudgeBackend.none:
        metrics |= judged(config.judge, record, answered)
    return metrics
