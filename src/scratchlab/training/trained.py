"""Read a finished run back: its configuration and its trained model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scratchlab.runs.registry import TASKS
from scratchlab.training.fine_tuning import FineTuning

if TYPE_CHECKING:
    from scratchlab.model.decoder import Decoder


@dataclass(frozen=True)
class Trained:
    folder: Path
    config: Any
    """Of the type of the run's task, a `FineTuning`."""
    metrics: dict[str, Any]
    model: "Decoder"
    """In evaluation mode; LoRA layers as they were trained, apart."""
    classes: tuple[str, ...] = ()
    """What its classes are called; none: it writes."""


def find(run: str, out: str) -> Path:
    """The folder of a run: a path, or NAME or NAME/FINGERPRINT below `out`.

    Raises:
        FileNotFoundError: there is no such run, none with a trained model, or several.
    """
    from scratchlab.runs.record import CONFIG, MODEL, folders

    for folder in (Path(run).expanduser(), Path(out, run)):
        if (folder / CONFIG).is_file():
            if (folder / MODEL).is_file():
                return folder
            raise FileNotFoundError(
                f"run={run}: keeps no trained model; possible: a run made with save=true (do it again with force=true)"
            )
    named = folders(out, run) if "/" not in run else []
    trained = [folder for folder in named if (folder / MODEL).is_file()]
    if len(trained) == 1:
        return trained[0]
    if trained:
        which = ", ".join(f"{folder.parent.name}/{folder.name}" for folder in trained)
        raise FileNotFoundError(f"run={run}: {len(trained)} runs of that name keep a trained model; possible: {which}")
    found = f"none of the {len(named)} runs of that name keeps a trained model" if named else "no run's folder"
    raise FileNotFoundError(
        f"run={run}: {found}; possible: a folder OUT/NAME/FINGERPRINT, as a run prints at its end, or the NAME of a "
        f"run below out={out} that was made with save=true"
    )


def load(folder: Path) -> Trained:
    """Rebuild the model of a run and load what training made of it.

    Raises:
        ValueError: the run is not finished, or of a task that fine-tunes no model.
    """
    from scratchlab.model.state_files import load_checkpoint
    from scratchlab.runs.record import MODEL, read_result

    result = read_result(folder)
    schema = TASKS[result["task"]].schema() if result is not None and result.get("task") in TASKS else None
    if result is None or schema is None or not issubclass(schema, FineTuning):
        found = "never came to an end" if result is None else f"is of task={result.get('task')}"
        possible = ", ".join(name for name, task in TASKS.items() if issubclass(task.schema(), FineTuning))
        raise ValueError(f"{folder}: {found}; possible: a finished run of {possible}")
    config = read_config(folder, schema)
    # of data of one's own, which may be gone, the record says what the classes are
    classes = tuple(result["metrics"].get("classes") or config.classes)
    model = config.empty(len(classes))
    load_checkpoint(model, folder / MODEL)
    return Trained(folder, config, result["metrics"], model.eval(), classes)


def read_config(folder: Path, schema: type[FineTuning]) -> FineTuning:
    """The configuration in a run's folder, without the file that its weights started from, which may be gone.

    A key that is younger than the record has the value that means what runs did then.
    """
    from omegaconf import OmegaConf

    from scratchlab.runs.identity import as_before
    from scratchlab.runs.record import CONFIG

    then = OmegaConf.create()
    for key, value in as_before(schema).items():
        OmegaConf.update(then, key, value)
    written = OmegaConf.to_container(OmegaConf.merge(then, OmegaConf.load(folder / CONFIG)))
    assert isinstance(written, dict)
    written["weights"] = {"source": "random"}
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), written))
    assert isinstance(config, FineTuning)
    return config
