"""task=doctor: every line says what is there, and what to do where something is not."""

from pathlib import Path

import pytest
import torch

from scratchlab.__main__ import run
from scratchlab.assets import catalogue, fetch
from scratchlab.launch import compose
from scratchlab.runs import environment
from scratchlab.tasks import doctor


@pytest.fixture
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CACHE", "MIRROR"):
        monkeypatch.setenv(f"SCRATCHLAB_{name}", str(tmp_path / name))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answers(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> list[tuple[str, int]]:
    asked: list[tuple[str, int]] = []

    def answers(host: str, port: int, wait: float) -> bool:
        asked.append((host, port))
        return host in hosts

    monkeypatch.setattr(fetch, "_answers", answers)
    return asked


def test_a_file_is_at_hand_or_may_be_fetched_or_must_be_brought(
    nothing_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spam = catalogue.SMS_SPAM
    asked = answers(monkeypatch, "f001.backblazeb2.com")
    _, found, advice = doctor.of_file("messages", [spam], wait=1.0)
    assert found == "not here" and advice.endswith(str(spam.sources[1])) and asked[0][1] == 443
    answers(monkeypatch)
    _, found, advice = doctor.of_file("messages", [spam], wait=1.0)
    assert "out of reach" in found and "SCRATCHLAB_MIRROR" in advice and spam.name in advice
    (nothing_here / "MIRROR").mkdir()
    (nothing_here / "MIRROR" / spam.name).write_bytes(b"another size")
    assert doctor.of_file("messages", [spam], wait=1.0)[1] != "at hand"
    (nothing_here / "MIRROR" / spam.name).write_bytes(b" " * spam.size)
    assert doctor.of_file("messages", [spam], wait=1.0)[1:] == ("at hand", "")


def test_the_machine_is_looked_at_and_nothing_is_fetched_or_recorded(
    nothing_here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(monkeypatch, "localhost")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    run(compose.compose(["task=doctor"]))
    shown = capsys.readouterr().out
    for line in (
        environment.versions()["torch"],
        "threads",
        "bfloat16",
        "GPT-2 1558M",
        "W&B",
        "judge=ollama",
        "launcher ray",
    ):
        assert line in shown
    assert "http://localhost:11434: answers" in shown
    assert not list(nothing_here.iterdir())


def test_the_gain_of_a_number_format_is_measured() -> None:
    assert 0.01 < doctor.gain_of_bfloat16(torch.device("cpu")) < 100
