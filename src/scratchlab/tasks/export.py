"""Write a trained run's model in the formats that other programs read, LoRA merged into plain weights."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.runs.config import Run
from scratchlab.training import trained as trained_runs

if TYPE_CHECKING:
    from scratchlab.runs.record import Record

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Export(Run):
    task: ClassVar[str] = "export"

    run: str
    """A finished run: its folder, or its name below `out`."""

    def __post_init__(self) -> None:
        trained_runs.find(self.run, self.out)

    def inputs(self) -> dict[str, str]:
        from scratchlab.assets.fetch import sha256
        from scratchlab.runs.record import MODEL

        return {"weights": sha256(trained_runs.find(self.run, self.out) / MODEL)}


def export(config: Export, record: "Record") -> dict[str, Any]:
    """Write model.pth as the book's code loads it, model.safetensors, and (for language models) huggingface/."""
    from scratchlab.model import tune
    from scratchlab.model.huggingface import save_huggingface
    from scratchlab.model.parameters import count
    from scratchlab.model.state_files import save_state

    trained = trained_runs.load(trained_runs.find(config.run, config.out))
    tune.merge_lora(trained.model)
    files = [record.folder / "model.pth", record.folder / "model.safetensors"]
    for path in files:
        save_state(trained.model, path)
    if not trained.classes:
        folder = record.folder / "huggingface"
        save_huggingface(trained.model, folder)
        # beside the model, the tokenizer that it reads with
        for name, content in trained.model.tokenizer.files(trained.config.model.context_length).items():
            (folder / name).write_text(content, encoding="utf-8")
        files += sorted(folder.iterdir())
    else:
        log.warning(
            "task=%s: a classifier has no Hugging Face form here, only .pth and .safetensors", trained.config.task
        )
    return {
        "files": {str(path.relative_to(record.folder)): path.stat().st_size for path in files},
        "parameters": count(trained.model.parameters()),
    }
