"""Judges against real servers on this machine: one that speaks Ollama's API, one OpenAI's, and both at their worst."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Barrier, Event, Lock, Thread
from typing import Any

import pytest
from conftest import command, real
from test_prompts import template

from scratchlab.assets import catalogue
from scratchlab.judging import scores
from scratchlab.judging.agreement import agreement
from scratchlab.judging.config import JudgeConfig
from scratchlab.launch import compose
from scratchlab.runs import record
from scratchlab.runs.tracking import Tracker
from scratchlab.tasks.calibrate import calibrate
from scratchlab.tasks.judge import judge as judge_task

ENTRIES = [
    {"instruction": f"Add {i} and 1.", "input": "", "output": str(i + 1), "model_response": f"It is {i + 1}."}
    for i in range(12)
]
Reply = tuple[int, Any] | None
"""Status and JSON value (or raw text); None: the connection is cut."""


@dataclass
class JudgeServer:
    """Answers on 127.0.0.1 as Ollama and as OpenAI do, and counts what it is asked."""

    reply: Callable[[str, int], Reply | str] = lambda question, times: "85"
    """What comes back to a question asked for the n-th time: the model's text, or a whole reply."""
    models: list[str] = field(default_factory=lambda: ["llama3:latest"])
    load: Callable[[], Reply] = lambda: (200, {"model": "llama3", "response": "", "done": True})
    asked: list[dict[str, Any]] = field(default_factory=list)
    loads: int = 0
    lock: Any = field(default_factory=Lock)
    address: str = ""

    def question(self, request: dict[str, Any], wrap: Callable[[str], Any]) -> Reply:
        with self.lock:
            self.asked.append(request)
            text = request["messages"][0]["content"]
            times = sum(one["messages"][0]["content"] == text for one in self.asked)
        reply = self.reply(text, times)
        return (200, wrap(reply)) if isinstance(reply, str) else reply

    def get(self, path: str) -> Reply:
        if path == "/api/tags":
            return 200, {"models": [{"model": name, "digest": f"digest of {name}"} for name in self.models]}
        if path == "/v1/models":
            return 200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}
        return 404, {"error": "not found"}

    def post(self, path: str, request: dict[str, Any]) -> Reply:
        if path == "/api/generate":
            self.loads += 1
            return self.load()
        if path == "/api/chat":
            return self.question(
                request, lambda text: {"model": "m", "message": {"role": "assistant", "content": text}}
            )
        return self.question(
            request,
            lambda text: {"id": "1", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]},
        )


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    state = JudgeServer()

    class Handler(BaseHTTPRequestHandler):
        def answer(self, reply: Reply) -> None:
            if reply is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            status, value = reply
            body = (value if isinstance(value, str) else json.dumps(value)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.answer(state.get(self.path))

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(state.post(self.path, request))

        def log_message(self, *args: Any) -> None:
            """Keep the test's output quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{http.server_address[1]}"
    Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield state
    http.shutdown()
    http.server_close()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCHLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)


def config(backend: str, server: JudgeServer, *overrides: str) -> JudgeConfig:
    """The option in conf/judge, with the server's address and no waiting."""
    url = server.address + ("/v1" if backend == "openai" else "")
    responses = Path("responses.json")
    responses.write_text(json.dumps(ENTRIES))
    run = compose.compose(
        [
            *("task=judge", f"responses={responses}", f"judge={backend}", f"judge.url={url}", "judge.wait=0.01"),
            *overrides,
        ]
    )
    return run.judge  # type: ignore[attr-defined,no-any-return]


BACKENDS = pytest.mark.parametrize("backend", ["ollama", "openai"])


@BACKENDS
def test_every_response_is_scored_in_its_place(backend: str, server: JudgeServer) -> None:
    server.reply = lambda question, times: question.split("It is ")[1].split(".")[0]
    found = scores.score(config(backend, server, "judge.concurrency=3"), ENTRIES, key="model_response")
    assert found.scores == list(range(1, 13))
    assert (found.metrics["judge_score"], found.metrics["judge_scored"]) == (6.5, 12)
    assert len(server.asked) == 12


def test_ollama_is_asked_as_chapter_7_does(server: JudgeServer) -> None:
    entry = {"instruction": "Name a colour.", "input": "warm", "output": "Red.", "model_response": "Blue."}
    scores.score(config("ollama", server), [entry], key="model_response")
    [request] = server.asked
    assert request["model"] == "llama3"
    # outside of `options` the server would ignore them
    assert request["options"] == {"seed": 123, "temperature": 0.0, "num_ctx": 2048}
    assert request["messages"] == [
        {
            "role": "user",
            "content": "Given the input `Below is an instruction that describes a task. Write a response that "
            "appropriately completes the request.\n\n### Instruction:\nName a colour.\n\n### Input:\nwarm` and correct "
            "output `Red.`, score the model response `Blue.` on a scale from 0 to 100, where 100 is the best score. "
            "Respond with the integer number only.",
        }
    ]
    assert server.loads == 1


def test_the_judge_reads_the_book_s_question_as_the_author_s_package_asks_it(server: JudgeServer) -> None:
    ch07 = pytest.importorskip("llms_from_scratch.ch07", reason="needs llms-from-scratch, the author's package")
    ch07.generate_model_scores.__globals__["query_model"].__defaults__ = ("llama3", f"{server.address}/api/chat")
    assert ch07.generate_model_scores(ENTRIES[:2], "model_response") == [85, 85]
    theirs = [(one["messages"], one["options"]) for one in server.asked]
    server.asked.clear()
    scores.score(config("ollama", server), ENTRIES[:2], key="model_response")
    assert [(one["messages"], one["options"]) for one in server.asked] == theirs


@BACKENDS
def test_what_fails_for_a_while_is_asked_again(backend: str, server: JudgeServer) -> None:
    bad: list[Reply] = [(503, {"error": "loading"}), None, (200, "<html>"), (200, {"strange": 1})]
    server.reply = lambda question, times: bad[times - 1] if times <= len(bad) else "70"
    found = scores.score(config(backend, server), ENTRIES[:2], key="model_response")
    assert found.scores == [70, 70] and len(server.asked) == 2 * 5


@BACKENDS
def test_what_fails_for_good_says_so_and_keeps_the_answers(backend: str, server: JudgeServer) -> None:
    server.reply = lambda question, times: None if "Add 7" in question else "60"
    wanted = config(backend, server, "judge.retries=1", "judge.concurrency=1")
    with pytest.raises(RuntimeError, match="failed 2 times.*the same command goes on from there"):
        scores.score(wanted, ENTRIES, key="model_response")
    before = len(server.asked)
    server.reply = lambda question, times: "60"
    assert scores.score(wanted, ENTRIES, key="model_response").metrics["judge_scored"] == 12
    assert len(server.asked) - before <= 5 and before >= 9


@BACKENDS
def test_a_refused_question_is_not_asked_again(backend: str, server: JudgeServer) -> None:
    server.reply = lambda question, times: (400, {"error": "context too long"})
    with pytest.raises(RuntimeError, match="refused the question.*context too long"):
        scores.score(config(backend, server), ENTRIES[:1], key="model_response")
    assert len(server.asked) == 1


@BACKENDS
def test_an_unreadable_answer_is_counted_and_not_dropped(backend: str, server: JudgeServer) -> None:
    answers = ["Score: 90", "I cannot say.", "", "**80**"]
    server.reply = lambda question, times: answers[int(question.split("Add ")[1].split()[0]) % 4]
    found = scores.score(config(backend, server), ENTRIES[:4], key="model_response")
    assert found.scores == [90, None, None, 80]
    assert {k: v for k, v in found.metrics.items() if k != "judge"} == {
        "judge_score": 85.0,
        "judge_scored": 2,
        "judge_unparsed": 2,
        "judge_empty": 0,
    }


def test_a_judge_that_never_gives_a_score_leaves_none_and_says_so(
    server: JudgeServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.reply = lambda question, times: "The capital is Paris."
    found = scores.score(config("ollama", server), ENTRIES[:2], key="model_response")
    assert found.metrics["judge_score"] is None and found.metrics["judge_unparsed"] == 2
    assert "2 of 2 answers hold no score that is clear" in caplog.text and "The capital is Paris." in caplog.text


def test_the_log_says_how_many_are_asked_and_answered_and_shows_an_answer_that_is_not_clear(
    server: JudgeServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.reply = lambda question, times: "no score" if "Add 2 " in question else "85"
    with caplog.at_level("INFO"):
        scores.score(config("ollama", server), ENTRIES[:2], key="model_response")
        scores.score(config("ollama", server), ENTRIES[:3], key="model_response")
    assert "asking llama3 2 questions (0 are answered)" in caplog.text
    assert "asking llama3 1 questions (2 are answered)" in caplog.text
    assert (
        "1 of 3 answers hold no score that is clear and are left out of the mean; the first: 'no score'" in caplog.text
    )


def test_when_a_question_fails_for_good_those_under_way_are_kept_and_no_other_is_asked(server: JudgeServer) -> None:
    both, over = Barrier(2, timeout=20), Event()

    def reply(question: str, times: int) -> Reply | str:
        if "Add 0 " not in question and "Add 1 " not in question:
            return "50"
        if times == 1:
            both.wait()  # the two are under way together
        if "Add 0 " in question:
            return 400, {"error": "context too long"}
        over.wait(20)
        return "70"

    server.reply = reply
    wanted = config("ollama", server, "judge.concurrency=2", "judge.timeout=30")
    shutdown = ThreadPoolExecutor.shutdown

    def told(pool: ThreadPoolExecutor, wait: bool = True, *, cancel_futures: bool = False) -> None:
        over.set()
        shutdown(pool, wait, cancel_futures=cancel_futures)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(RuntimeError, match="context too long"):
        patch.setattr(ThreadPoolExecutor, "shutdown", told)
        scores.score(wanted, ENTRIES, key="model_response")
    asked = len(server.asked)
    assert asked < len(ENTRIES)
    found = scores.score(wanted, ENTRIES[1:2], key="model_response")
    assert found.scores == [70] and len(server.asked) == asked


def test_a_card_is_the_same_from_one_version_to_the_next(server: JudgeServer) -> None:
    card = scores.score(config("ollama", server), ENTRIES[:1], key="model_response").card
    assert card["prompt"] == "dd80786f406a"
    keys = [json.loads(line)["question"] for line in next(Path("cache/judge").glob("*.jsonl")).read_text().splitlines()]
    assert keys == ["c8651d14a3417fda4c31dbc5a4523710456c28ea3f2435adecafd665ede5185b"]
    assert [path.stem for path in Path("cache/judge").glob("*.jsonl")] == [
        "d338aaa13aca19e2f8eb31d8aa21933289f4408cd4e9962bdba92baa752d00c3"
    ]


def test_an_empty_response_scores_0_without_being_asked_about(server: JudgeServer) -> None:
    found = scores.score(config("ollama", server), [ENTRIES[0] | {"model_response": " "}], key="model_response")
    assert found.scores == [0] and found.metrics["judge_empty"] == 1 and server.asked == []


def test_a_model_that_is_not_pulled_is_named_with_those_that_are(server: JudgeServer) -> None:
    server.models = ["phi3:latest", "mistral:7b"]
    with pytest.raises(
        RuntimeError, match="has not pulled judge.model=llama3; it has: mistral:7b, phi3:latest; .*pull"
    ):
        scores.check(config("ollama", server))


@BACKENDS
def test_a_server_that_does_not_run_is_named_before_anything_is_asked(backend: str, server: JudgeServer) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server.address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(RuntimeError, match=f"judge={backend}: the server at judge.url=.* does not answer"):
        scores.check(config(backend, server))


@BACKENDS
@pytest.mark.parametrize("trouble", [None, (503, {"error": "starting"})])
def test_trouble_before_the_first_question_is_waited_out(backend: str, server: JudgeServer, trouble: Reply) -> None:
    get, calls = server.get, []

    def troubled(path: str) -> Reply:
        calls.append(path)
        return trouble if len(calls) <= 2 else get(path)

    server.get = troubled  # type: ignore[method-assign]
    server.load = lambda: trouble if server.loads <= 2 else (200, {"model": "m", "response": "", "done": True})
    found = scores.score(config(backend, server), ENTRIES[:1], key="model_response")
    assert found.scores == [85] and len(calls) == 3 and server.loads == (3 if backend == "ollama" else 0)
    calls.clear()
    with pytest.raises(RuntimeError, match=f"judge={backend} at .* failed 2 times"):
        scores.check(config(backend, server, "judge.retries=1"))


def test_a_server_that_knows_only_chat_is_asked_all_the_same(server: JudgeServer) -> None:
    server.load = lambda: (404, "404 page not found")
    assert scores.score(config("ollama", server), ENTRIES[:1], key="model_response").scores == [85]


def test_something_else_than_a_judge_at_the_address_is_recognised(server: JudgeServer) -> None:
    server.get = lambda path: (200, "<html>hello</html>")  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="does not answer as Ollama does"):
        scores.check(config("ollama", server))
    with pytest.raises(RuntimeError, match="gives no list of models"):
        scores.check(config("openai", server))


def test_a_slow_start_has_its_own_time_limit(server: JudgeServer) -> None:
    def slow() -> Reply:
        time.sleep(0.8)
        return 200, {"model": "llama3", "response": "", "done": True}

    server.load = slow
    found = scores.score(config("ollama", server, "judge.timeout=0.4"), ENTRIES[:1], key="model_response")
    assert found.scores == [85]
    with pytest.raises(RuntimeError, match="could not load llama3 within judge.load_timeout=0.2 seconds"):
        scores.score(config("ollama", server, "judge.load_timeout=0.2"), ENTRIES[1:2], key="model_response")


def test_an_answer_that_takes_too_long_is_asked_again(server: JudgeServer) -> None:
    def slow_once(question: str, times: int) -> str:
        time.sleep(1 if times == 1 else 0)
        return "75"

    server.reply = slow_once
    found = scores.score(config("ollama", server, "judge.timeout=0.4"), ENTRIES[:1], key="model_response")
    assert found.scores == [75] and len(server.asked) == 2


def test_an_openai_server_without_the_model_says_what_it_has(server: JudgeServer) -> None:
    with pytest.raises(RuntimeError, match="no model 'gpt-5'; it has: llama3:latest"):
        scores.check(config("openai", server, "judge.model=gpt-5"))
    assert scores.connect(config("openai", server)).identity["model"] == "llama3:latest"


def test_other_questions_and_other_judges_do_not_share_answers(server: JudgeServer) -> None:
    one = scores.score(config("ollama", server), ENTRIES[:2], key="model_response")
    assert scores.score(config("ollama", server), ENTRIES[:2], key="model_response").card == one.card
    assert len(server.asked) == 2
    other = scores.score(config("ollama", server, "judge.seed=124"), ENTRIES[:2], key="model_response")
    assert len(server.asked) == 4 and other.card != one.card
    scores.score(config("ollama", server), ENTRIES[:2], key="model_response", repeat=1)
    assert len(server.asked) == 6
    assert one.card["digest"] == "digest of llama3:latest" and one.card["parser"] == scores.PARSER


def test_a_line_that_a_kill_has_cut_is_no_answer_and_the_next_one_stands_apart(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    scores.Answers(path).keep("a", "1")
    with path.open("a") as file:
        file.write('{"question": "b", "ans')
    again = scores.Answers(path)
    again.keep("c", "3")
    scores.Answers(path).keep("d", "4")
    assert scores.Answers(path).known == {"a": "1", "c": "3", "d": "4"}
    assert [bool(line) for line in path.read_text().split("\n")] == [True, True, True, True, False]


def test_a_run_killed_half_way_asks_no_question_twice(server: JudgeServer, tmp_path: Path) -> None:
    def slowly(question: str, times: int) -> str:
        time.sleep(0.15)
        return "50"

    server.reply = slowly
    Path("responses.json").write_text(json.dumps(ENTRIES))
    words = [sys.executable, "-m", "scratchlab", "task=judge", "responses=responses.json"]
    words += [f"judge.url={server.address}", "tracking.mode=none"]
    process = subprocess.Popen(words, env=dict(os.environ), stderr=subprocess.PIPE)
    while len(server.asked) < 5 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.3)
    half = len(server.asked)
    assert 5 <= half < 12
    subprocess.run(words, check=True, capture_output=True)
    asked = [one["messages"][0]["content"] for one in server.asked]
    assert len(set(asked)) == 12
    # the one question that was under way when the process died has no answer to keep
    assert len(asked) <= 13
    [result] = [record.read_result(folder) for folder in record.folders("outputs")]
    assert result is not None and result["metrics"]["judge_score"] == 50


def test_the_task_writes_card_and_answers(server: JudgeServer) -> None:
    server.reply = lambda question, times: "Score: 85 (très bien)"
    config("ollama", server)
    run = compose.compose(["task=judge", "responses=responses.json", f"judge.url={server.address}"])
    result, _ = record.keep(run, judge_task, changes={}, tracker=Tracker(run.tracking))
    text = (record.folder_of(run) / "scores.json").read_text(encoding="utf-8")
    assert "très bien" in text  # a file to read
    written = json.loads(text)
    assert written["judge"] == result["metrics"]["judge"] and written["judge"]["model"] == "llama3"
    assert written["items"][3] == {"index": 3, "answer": "Score: 85 (très bien)", "score": 85}
    assert result["metrics"]["exact_match"] == 0 and result["metrics"]["answers"] == 12


def test_responses_without_the_key_are_named(server: JudgeServer) -> None:
    config("ollama", server)
    run = compose.compose(["task=judge", "responses=responses.json", "key=reply", "judge=none"])
    with pytest.raises(ValueError, match="entry 0 .from 0.: has no text as 'reply'; it has: instruction, .*key=NAME"):
        record.keep(run, judge_task, changes={}, tracker=Tracker(run.tracking))


def test_a_task_without_what_it_needs_says_so(tmp_path: Path) -> None:
    done = command("task=judge", cwd=tmp_path)
    assert done.returncode == 1 and "error: task=judge needs responses=VALUE (text)" in done.stderr


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["judge=none", "judge.model=llama3"], "judge=none asks nobody"),
        (["judge.url="], "needs judge.url=ADDRESS"),
        (["judge.model="], "needs judge.model=NAME"),
        (["judge.prompt='{question} {output}'"], "must have {question}, {output}, {response}, once"),
        (["judge.retries=-1"], "judge.retries=-1: must be at least 0"),
        (["responses=nowhere.json"], "responses=nowhere.json: no such file"),
    ],
)
def test_values_that_do_not_go_together_are_refused(overrides: list[str], message: str) -> None:
    Path("responses.json").write_text(json.dumps(ENTRIES))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        compose.compose(["task=judge", "responses=responses.json", *overrides])


def test_calibration_compares_with_the_published_scores(server: JudgeServer) -> None:
    published = {key: real(asset) for key, asset in catalogue.JUDGED.items()}
    gpt4 = json.loads(published["gpt4_model_1"].read_text())
    examples = json.loads(published["examples"].read_text())
    # a judge that says what GPT-4 said of model 1, but for two points, and the same each time
    asking = template_config()
    said = {
        scores.question(asking, entry, entry["model 1 response"]): min(score + 2, 100)
        for entry, score in zip(examples, gpt4, strict=True)
    }
    server.reply = lambda question, times: str(said.get(question, 40))
    run = compose.compose(["task=calibrate", f"judge.url={server.address}", "judge.concurrency=4"])
    metrics = record.keep(run, calibrate, changes={}, tracker=Tracker(run.tracking))[0]["metrics"]
    assert metrics["model_1_gpt4_bias"] == pytest.approx(sum(min(s + 2, 100) - s for s in gpt4) / 100)
    assert metrics["model_1_gpt4_pearson"] > 0.99 and metrics["model_1_same_again"] == 1.0
    assert metrics["model_1_same_words"] == 1.0
    # chapter 7's notebook prints 78.48 and 64.98 for other runs; the published lists have these means
    assert metrics["model_1_gpt4_published"] == pytest.approx(74.09)
    assert metrics["model_2_llama3_published"] == pytest.approx(67.37, abs=0.005)
    assert metrics["model_1_gpt4_gap"] == pytest.approx(metrics["model_1_gpt4_bias"])
    assert "model_2_llama3_gap" in metrics and "model_2_llama3_bias" not in metrics  # 99 scores for 100 responses


def template_config() -> JudgeConfig:
    run = compose.compose(["task=calibrate"])
    assert run.judge.question == template("alpaca")  # type: ignore[attr-defined]
    return run.judge  # type: ignore[attr-defined,no-any-return]


def test_gpt_4_and_llama_3_agree_as_published() -> None:
    # the author's correlation analysis prints Pearson 0.805, Spearman 0.698, Kendall 0.573 for model 1
    gpt4, llama3 = (json.loads(real(catalogue.JUDGED[f"{name}_model_1"]).read_text()) for name in ("gpt4", "llama3"))
    found = agreement(gpt4, llama3)
    assert [found[k] for k in ("pearson", "spearman", "kendall")] == pytest.approx([0.805, 0.698, 0.573], abs=5e-4)
