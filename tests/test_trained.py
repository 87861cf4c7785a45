"""What is done with a trained run: exported, talked to; and looking at data before there is one."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import real
from test_prompts import template

from scratchlab.__main__ import run as run_task
from scratchlab.assets import catalogue
from scratchlab.generation import sampling
from scratchlab.launch import compose
from scratchlab.model import tune
from scratchlab.model.config import GPTConfig, TuneConfig
from scratchlab.model.gpt import GPT
from scratchlab.model.huggingface import save_huggingface
from scratchlab.runs import record
from scratchlab.tasks.classify import Classify
from scratchlab.text.prompts import render
from scratchlab.text.tokenizer import gpt2
from scratchlab.training import trained as trained_runs

QUICK = ["model=gpt2_tiny", "model.emb_dim=16", "model.n_layers=2", "weights=random", "tracking=none", "train.epochs=1"]
SMALL = [*QUICK, "data.size=20", "train.batch_size=8", "train.eval_batches=1", "sampling.max_new_tokens=4"]


def run(*overrides: str) -> dict[str, Any]:
    torch.set_num_threads(1)
    return run_task(compose.compose(list(overrides)))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        gpt2().encoding  # noqa: B018
    except FileNotFoundError as error:
        pytest.skip(f"no GPT-2 vocabulary: {error}")
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def instructed(here: Path) -> str:
    entries = [{"instruction": f"Add {i} and 1.", "input": "", "output": f"It is {i + 1}."} for i in range(60)]
    (here / "mine.json").write_text(json.dumps(entries))
    # LoRA with a rate at which its B matrices move away from zero
    lora = ["experiment=ch07_4_lora", "tune.lora_rank=4", "train.lr=5e-3", "prompt=phi3"]
    return run(*lora, *SMALL, "data=entries", f"data.path={here / 'mine.json'}", f"out={here}")["folder"]


@pytest.fixture(scope="module")
def classified(here: Path) -> str:
    spam = ["task=classify", "data=messages", "data.size=200", "model.context_length=128", "tune=all", "train.lr=5e-4"]
    return run(*spam, *QUICK, "save=true", f"out={here}")["folder"]


def test_a_run_is_rebuilt_as_it_was_trained(instructed: str) -> None:
    trained = trained_runs.load(Path(instructed))
    question, _ = render(template("phi3"), json.loads(Path(instructed, "responses.json").read_text())[0])
    [again] = sampling.generate(
        trained.model, [gpt2().encode(question)], sampling.SamplingConfig(max_new_tokens=4), end_token=50256
    )
    assert again == trained.metrics["first_answer_ids"]


def test_an_export_is_read_by_transformers_and_by_the_book_s_code_and_writes_the_same_text(
    instructed: str, here: Path
) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    ch04 = pytest.importorskip("llms_from_scratch.ch04", reason="needs llms-from-scratch, the author's package")
    folder = Path(run("task=export", f"run={instructed}", f"out={here}")["folder"])
    prompt = gpt2().encode("<|user|>\nName a colour.")
    ours = trained_runs.load(Path(instructed))
    assert any(layer.lora.B.abs().max() > 0 for layer in ours.model.modules() if isinstance(layer, tune.LinearWithLoRA))
    config = sampling.SamplingConfig(max_new_tokens=12)
    [expected] = sampling.generate(ours.model, [prompt], config)

    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder / "huggingface")
    new = theirs.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False, eos_token_id=None)
    assert new[0, len(prompt) :].tolist() == expected
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "huggingface")
    for text in ("Name a colour.", "  naïve café\n\n£5 👍", "I'll say 2,000 things"):
        assert tokenizer(text)["input_ids"] == gpt2().encode(text)
        assert tokenizer.decode(gpt2().encode(text), clean_up_tokenization_spaces=False) == text

    shape = {"vocab_size": 50257, "context_length": 1024, "emb_dim": 16, "n_heads": 4, "n_layers": 2}
    book = ch04.GPTModel(shape | {"drop_rate": 0.0, "qkv_bias": True})
    book.load_state_dict(torch.load(folder / "model.pth", weights_only=True), strict=False)
    book.eval()
    ids = torch.tensor([prompt])
    with torch.no_grad():
        # merging sums in another order
        torch.testing.assert_close(book(ids), ours.model(ids), atol=1e-4, rtol=1e-4)


def test_a_model_without_query_biases_keeps_its_logits_in_the_hugging_face_form(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=97, context_length=32, emb_dim=24, n_heads=3, n_layers=2)).eval()
    save_huggingface(model, tmp_path)
    ids = torch.arange(20)[None]
    with torch.no_grad():
        theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)(ids).logits
        torch.testing.assert_close(theirs, model(ids), atol=1e-5, rtol=1e-5)


def test_what_gpt_2_cannot_be_is_not_written_as_one(tmp_path: Path) -> None:
    model = GPT(GPTConfig(vocab_size=7, context_length=4, emb_dim=4, n_heads=1, n_layers=1, causal=False))
    with pytest.raises(ValueError, match="model.causal=false"):
        save_huggingface(model, tmp_path)
    model = GPT(GPTConfig(vocab_size=7, context_length=4, emb_dim=4, n_heads=1, n_layers=1))
    tune.add_lora(model, TuneConfig(trainable=tune.Trainable.lora, lora_rank=1, lora_alpha=1))
    with pytest.raises(ValueError, match="LoRA layers that were not merged"):
        save_huggingface(model, tmp_path)


def test_chat_answers_each_line_that_is_typed(
    instructed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Name a colour.\n\nAdd 1 and 2.\nexit\nnever read\n"))
    result = run("task=chat", f"run={instructed}", "sampling.max_new_tokens=3")
    assert result["metrics"] == {"replies": 2}
    typed = capsys.readouterr().out
    run("task=chat", f"run={instructed}", "sampling.max_new_tokens=3", "text='Name a colour.'")
    assert typed.startswith(capsys.readouterr().out)


def test_a_classification_run_gives_a_line_the_class_it_gave_in_its_own_record(
    classified: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import csv

    from scratchlab.data import spam
    from scratchlab.tasks.chat import classified as reply

    trained = trained_runs.load(Path(classified))
    config = trained.config
    assert isinstance(config, Classify)
    test = spam.load(config.data)["test"]
    rows = [row for row in csv.DictReader(Path(classified, "predictions.csv").open()) if row["split"] == "test"]
    from scratchlab.model import compute

    machine = compute.prepare(config.compute)
    for row in rows[:5]:
        text = test["Text"].iloc[int(row["index"])]
        name, probability = reply(
            trained.model, config, trained.classes, trained.metrics["padded_length"], text, machine
        ).split()
        spam_probability = float(probability) if name == "spam" else 1 - float(probability)
        assert name == ("spam" if row["prediction"] == "1" else "ham")
        assert spam_probability == pytest.approx(float(row["probability"]), abs=1e-4)
    run("task=chat", f"run={classified}", "text='free prize, call now'")
    assert capsys.readouterr().out.split()[0] in ("spam", "ham")


def test_an_exported_classifier_has_no_hugging_face_form(classified: str, here: Path) -> None:
    result = run("task=export", f"run={classified}", f"out={here}")
    assert sorted(result["metrics"]["files"]) == ["model.pth", "model.safetensors"]


@pytest.mark.parametrize("task", ["chat", "export"])
def test_a_folder_that_is_no_trained_run_is_named(task: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no run's folder; possible: a folder OUT/NAME/FINGERPRINT"):
        compose.compose([f"task={task}", f"run={tmp_path}"])
    (tmp_path / record.CONFIG).write_text("name: x\n")
    with pytest.raises(FileNotFoundError, match="keeps no trained model; possible: a run made with save=true"):
        compose.compose([f"task={task}", f"run={tmp_path}"])


def test_a_run_is_found_by_its_name_where_it_is_the_only_one(tmp_path: Path) -> None:
    for fingerprint, model in (("a1", True), ("b2", False)):
        (tmp_path / "mine" / fingerprint / "checkpoint").mkdir(parents=True)
        (tmp_path / "mine" / fingerprint / record.CONFIG).write_text("name: mine\n")
        if model:
            (tmp_path / "mine" / fingerprint / record.MODEL).touch()
    out, only = str(tmp_path), tmp_path / "mine" / "a1"
    assert (
        trained_runs.find("mine", out)
        == trained_runs.find("mine/a1", out)
        == trained_runs.find(str(only), "elsewhere")
        == only
    )
    with pytest.raises(FileNotFoundError, match="run=mine/b2: keeps no trained model"):
        trained_runs.find("mine/b2", out)
    (tmp_path / "mine" / "b2" / record.MODEL).touch()
    with pytest.raises(FileNotFoundError, match="run=mine: 2 runs of that name .* possible: mine/a1, mine/b2"):
        trained_runs.find("mine", out)
    with pytest.raises(FileNotFoundError, match="run=other: no run's folder; .* below out="):
        trained_runs.find("other", out)


@pytest.mark.vocabulary
def test_a_preview_shows_text_ids_lengths_and_what_each_template_costs(capsys: pytest.CaptureFixture[str]) -> None:
    real(catalogue.INSTRUCTIONS)
    metrics = run("task=preview", "entries=1", "first=43")["metrics"]
    shown = " ".join(capsys.readouterr().out.split())
    assert "Zebra, Elephant, Crocodile" in shown and "### Response:" in shown and "198 198 21017" in shown
    assert "the loss starts after 47 of 62 tokens" in shown
    # 34,884 of 52,760 targets; 38.9 tokens with the book's Phi-3 template, 56.4 with Alpaca's: facts of the data
    assert "34,884 of 52,760 targets masked (66%)" in shown and "-31.0%" in shown
    assert (metrics["masked_targets"], metrics["targets"]) == (34_884, 52_760)
    assert metrics["templates"]["phi3"] == pytest.approx(38.9, abs=0.05)
    assert metrics["masked_share"] == pytest.approx(0.66, abs=0.005) and metrics["token_saving"] == 0
    assert run("task=preview", "entries=0", "prompt=phi3")["metrics"]["token_saving"] == pytest.approx(0.31, abs=0.001)
