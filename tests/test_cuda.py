"""What a GPU must give as well; run with `-m cuda` on a machine that has one."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from scratchlab.launch import compose
from scratchlab.runs import record
from scratchlab.runs.tracking import Tracker
from scratchlab.tasks.instruct import Instruct, instruct
from scratchlab.training import resume

pytestmark = [pytest.mark.cuda, pytest.mark.vocabulary]

TINY = ["experiment=ch07_main", "mask_instruction=true", "prompt=phi3", "model=gpt2_tiny", "weights=random"]
TINY += ["tracking=none", "train.epochs=2", "train.batch_size=4", "train.eval_every=4", "sampling.max_new_tokens=8"]


@pytest.fixture(autouse=True)
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU that torch can use")
    monkeypatch.chdir(tmp_path)
    content = [{"instruction": f"Add {i} and 1.", "input": "", "output": f"It is {i + 1}."} for i in range(40)]
    Path("mine.json").write_text(json.dumps(content))


def run(*overrides: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    config = compose.compose([*TINY, "data=entries", "data.path=mine.json", *overrides])
    assert isinstance(config, Instruct)
    result, _ = record.keep(config, instruct, changes={}, tracker=Tracker(config.tracking))
    assert result["device"].startswith(config.compute.device.name)
    return result["metrics"], record.read_history(record.folder_of(config))


def losses(history: list[dict[str, Any]]) -> list[float]:
    return [value for line in history for key, value in line.items() if key.endswith("loss")]


@pytest.mark.parametrize("tune", ["all", "lora"])
def test_instruction_tuning_gives_the_cpu_s_losses(tune: str) -> None:
    cpu, on_cpu = run("compute.device=cpu", f"tune={tune}")
    gpu, on_gpu = run("compute.device=cuda", f"tune={tune}")
    assert losses(on_gpu) == pytest.approx(losses(on_cpu), rel=1e-3)
    assert gpu["trainable_parameters"] == cpu["trainable_parameters"]


def test_bfloat16_stays_near_float32() -> None:
    _, exact = run("compute.device=cuda")
    _, rounded = run("compute.device=cuda", "compute.precision=bfloat16")
    assert losses(rounded) == pytest.approx(losses(exact), rel=2e-2)


def test_a_stopped_training_goes_on_with_the_gpu_s_own_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    # dropout draws from the GPU's generator, whose state has to come along
    line = ("compute.device=cuda", "dropout=uniform", "checkpoint_minutes=1e-9")
    _, whole = run(*line, "out=elsewhere")
    keep, kept = resume.Resume.keep, []

    def dies_after_five(self: resume.Resume, *rest: Any) -> None:
        keep(self, *rest)
        kept.append(1)
        if len(kept) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(resume.Resume, "keep", dies_after_five)
    with pytest.raises(KeyboardInterrupt):
        run(*line)
    _, gone_on = run(*line)
    assert len(kept) == 16
    assert losses(gone_on) == pytest.approx(losses(whole), rel=1e-5)
