"""Read a finished run back: its configuration and its trained model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scratchlab.tasks.classify import CLASSES, Classify
from scratchlab.tasks.instruct import Instruct

if TYPE_CHECKING:
    from scratchlab.model.gpt import GPT

SCHEMAS = {schema.task: schema for schema in (Classify, Instruct)}


@dataclass(frozen=True)
class Trained:
    folder: Path
    config: Classify | Instruct
    metrics: dict[str, Any]
    model: "GPT"
    """In evaluation mode; LoRA layers as they were trained, apart."""


def check(run: str) -> Path:
    """The file with a run's trained weights.

    Raises:
        FileNotFoundError: no such folder, or none with a trained model.
    """
    from scratchlab.record import CONFIG, MODEL

    folder = Path(run).expanduser()
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(
            f"run={run}: no run's folder; possible: OUT/NAME/FINGERPRINT, as a run prints at its end"
        )
    path = folder / MODEL
    if not path.is_file():
        raise FileNotFoundError(
            f"run={run}: keeps no trained model; possible: a run made with save=true (do it again with force=true)"
        )
    return path


def load(run: str) -> Trained:
    """Rebuild the model of a run and load what training made of it.

    Raises:
        ValueError: the run is not finished, or of a task that trains no such model.
    """
    import torch

    from scratchlab.model import tune
    from scratchlab.model.config import Trainable
    from scratchlab.model.gpt import GPT
    from scratchlab.model.state_files import load_checkpoint
    from scratchlab.record import read_result

    path, folder = check(run), Path(run).expanduser()
    result = read_result(folder)
    if result is None or result["task"] not in SCHEMAS:
        found = "never came to an end" if result is None else f"is of task={result['task']}"
        raise ValueError(f"run={run}: {found}; possible: a finished run of {', '.join(SCHEMAS)}")
    config = read_config(folder, SCHEMAS[result["task"]])
    with torch.device("meta"):  # nothing is drawn, and memory is used once
        model = GPT(config.model)
        if isinstance(config, Classify):
            tune.add_class_head(model, CLASSES)
        if config.tune.trainable is Trainable.lora:
            tune.add_lora(model, config.tune)
    load_checkpoint(model, path)
    return Trained(folder, config, result["metrics"], model.eval())


def read_config(folder: Path, schema: type[Classify] | type[Instruct]) -> Classify | Instruct:
    """The configuration in a run's folder, without the file that its weights started from, which may be gone."""
    from omegaconf import OmegaConf

    from scratchlab.record import CONFIG

    written = OmegaConf.to_container(OmegaConf.load(folder / CONFIG))
    assert isinstance(written, dict)
    config = OmegaConf.to_object(
        OmegaConf.merge(OmegaConf.structured(schema), written | {"weights": {"source": "random"}})
    )
    assert isinstance(config, Classify | Instruct)
    return config
