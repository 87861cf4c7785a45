"""Which runs may be held against a claim, at the borders: each reason alone, on records that are never written."""

import math
from pathlib import Path
from typing import Any

import pytest

from scratchlab.assets import catalogue
from scratchlab.book import claims
from scratchlab.book.experiments import Experiment
from scratchlab.data.config import CorpusConfig
from scratchlab.evidence.runs import Arm, RunRecord
from scratchlab.evidence.verdicts import comparable, speaking
from scratchlab.evidence.verdicts.outcome import Decision, Verdict
from scratchlab.files import dotted
from scratchlab.generation.config import SamplingConfig
from scratchlab.model.config import ModelConfig, WeightsConfig, WeightSource
from scratchlab.runs.claim import Claim
from scratchlab.runs.config import ComputeConfig, Precision
from scratchlab.runs.identity import fingerprint, matters, plain
from scratchlab.tasks.pretrain import Pretrain
from scratchlab.tasks.tokenize import Tokenize
from scratchlab.training.config import PretrainTraining

MINE = Tokenize(name="mine", text="one")
EXPERIMENT = Experiment("mine", Path("mine.yaml"), {"defaults": [{"override /task": "tokenize"}], "text": "one"})
SWEPT = {"hydra": {"sweeper": {"params": {"text": "one, two"}}}}


def record(seed: int = 1, **more: Any) -> RunRecord:
    fields: dict[str, Any] = {"folder": Path("nowhere"), "name": "arm", "seed": seed, "status": "done", "device": "cpu"}
    return RunRecord(**(fields | more))


def claim(**entry: Any) -> Claim:
    return claims.parse({"metric": "test_loss", "kind": "close", "value": 1.0, "source": "made up"} | entry, "test")


def using(*runs: RunRecord, **entry: Any) -> Arm | Decision:
    return comparable.usable("arm", claim(**entry), runs, None)[0]


def refused(*runs: RunRecord, **entry: Any) -> str:
    found = using(*runs, **entry)
    assert isinstance(found, Decision) and found.verdict is Verdict.NOT_COMPARABLE
    return found.reason


LOSS: dict[str, Any] = {"metrics": {"test_loss": 1.0}}


# comparable


def test_a_time_that_belongs_to_no_device_is_refused_unless_it_is_compared_with_another() -> None:
    run = record(metrics={"train_seconds": 5.0})
    timed: dict[str, Any] = {"metric": "train_seconds", "value": 5.0}
    assert refused(run, **timed, kind="score") == "train_seconds belongs to a device, and the claim names none"
    pair = {"metric": "train_seconds", "kind": "relation", "versus": "base", "direction": "lower", "value": None}
    assert isinstance(using(run, **pair), Arm)
    assert isinstance(using(run, **(pair | {"kind": "ratio"})), Arm)
    assert isinstance(using(record(**LOSS), kind="score"), Arm)


def test_what_is_refused_tells_the_device_of_the_first_run() -> None:
    runs = [record(1, device="cuda"), record(2, device="cpu")]
    found = using(*runs)
    assert isinstance(found, Decision) and (found.verdict, found.device) == (Verdict.NOT_RUN, "cuda")
    assert found.reason == "the records of arm have no metric test_loss; they have: none"
    runs = [record(1, device="cuda", **LOSS), record(2, device="cpu", hashes={"data": "a"}, **LOSS)]
    found = using(*runs, metric="bleu")
    assert isinstance(found, Decision) and found.device == "cuda"
    one = using(record(device="mps"))
    assert isinstance(one, Decision) and one.device == "mps"


def test_a_number_of_another_form_does_not_speak() -> None:
    text = record(metrics={"test_loss": "text"})
    assert refused(text, kind="score").startswith("a number that is judged by no test: test_loss is ")
    _, notes = comparable.usable("arm", claim(kind="score"), [text, record(2, **LOSS)], None)
    assert len(notes) == 1 and notes[0].startswith("does not speak: seed 1 (test_loss is ")


def precision(name: str) -> dict[str, Any]:
    return {"config": {"compute.precision": name}}


def test_runs_of_two_formats_without_float32_are_no_one_arm() -> None:
    told = refused(record(1, **precision("bfloat16"), **LOSS), record(2, **precision("float16"), **LOSS))
    assert told == "the runs of arm differ among themselves in compute.precision"


def test_who_judged_counts_where_a_judge_has_a_part() -> None:
    metrics = {"test_loss": 1.0, "judge_score": 50.0}
    runs = [record(seed, config={"judge.model": name}, metrics=metrics) for seed, name in ((1, "a"), (2, "b"))]
    assert isinstance(using(*runs), Arm)
    score: dict[str, Any] = {"metric": "judge_score", "kind": "score", "value": 50.0}
    assert refused(*runs, **score) == "the runs of arm differ among themselves in judge.model"


def test_scores_of_two_judges_are_no_one_arm() -> None:
    metrics = {"test_loss": 1.0, "judge_score": 50.0}
    runs = [record(seed, hashes={"judge": name}, metrics=metrics) for seed, name in ((1, "b"), (2, "a"))]
    score: dict[str, Any] = {"metric": "judge_score", "kind": "score", "value": 50.0}
    assert refused(*runs, **score) == "the runs of arm were judged by different judges: judge=a; judge=b"
    assert isinstance(using(*runs), Arm)
    assert isinstance(using(runs[0], record(2, hashes={"judge": "b"}, metrics=metrics), **score), Arm)


def test_a_loss_behind_a_metric_counts_for_scores_and_relations_only() -> None:
    run = record(metrics={"test_accuracy": 0.5, "train_loss": math.nan})
    accuracy: dict[str, Any] = {"metric": "test_accuracy", "value": 0.5}
    pair = {"metric": "test_accuracy", "versus": "base", "direction": "lower", "value": None}
    for entry in (accuracy | {"kind": "score"}, pair | {"kind": "relation"}):
        assert comparable.diverged(claim(**entry), [run]) == [run]
    for kind in ("exact", "close"):
        assert comparable.diverged(claim(**accuracy, kind=kind), [run]) == []


def test_a_number_that_nobody_declared_is_shown_and_not_judged() -> None:
    found = using(record(metrics={"strange": 3.0}), metric="strange", value=3.0)
    assert isinstance(found, Decision) and (found.verdict, found.measured) == (Verdict.NOT_COMPARABLE, 3.0)


def test_what_has_not_run_says_what_it_needs() -> None:
    def told(content: dict[str, Any]) -> str:
        experiment = Experiment("arm", Path("arm.yaml"), content)
        found = comparable.usable("arm", claim(), [], experiment)[0]
        assert isinstance(found, Decision) and found.verdict is Verdict.NOT_RUN
        return found.reason

    how = "run it with: scratchlab experiment=arm"
    assert told({"defaults": [{"override /task": "tokenize"}]}) == f"there is no record of arm; {how}"
    classify = {"defaults": [{"override /task": "classify"}, {"override /weights": "random"}]}
    file = catalogue.SMS_SPAM.name
    assert told(classify) == f"there is no record of arm; it needs {file}; {how}"
    found = comparable.usable("arm", claim(), [], None)[0]
    assert isinstance(found, Decision) and found.reason == "there is no record of arm; no experiment file has that name"


def test_data_are_the_published_file_where_there_is_one() -> None:
    def told(source: str, data: str = "", experiment: Experiment | None = EXPERIMENT) -> str:
        run = record(config={"data.source": source}, hashes={"data": data} if data else {})
        return comparable._other_data([record(), run], experiment)

    right = catalogue.SMS_SPAM.sha256
    assert told("spam", right) == told("no such source") == told("spam", "e" * 64, None) == ""
    assert told("spam", "e" * 64) == f"other data: spam has the hash {'e' * 12}, the published file {right[:12]}"
    assert told("spam") == f"other data: spam has no hash in the record, the published file {right[:12]}"
    assert told("alpaca", "e" * 64) == ""  # whose hash was never published
    stand_in = told("messages", right)
    assert stand_in.startswith("data.source=messages, ") and stand_in.endswith(", satisfies no claim")


def test_those_who_judged_are_named() -> None:
    score = claim(kind="score", metric="judge_score", judge="model=m")
    assert comparable._other_judge(score, [record(), record(2, hashes={"judge": "a"})]) == (
        "other judge: the claim was judged by model=m, the runs by judge=a; no judge that they name"
    )


# speaking


def typed(config: Tokenize = MINE, **more: Any) -> RunRecord:
    nested = plain(config)
    fields: dict[str, Any] = {"task": "tokenize", "nested": nested, "config": dotted(nested), "name": config.name}
    return record(config.seed, **(fields | {"fingerprint": fingerprint(config)} | more))


def published(name: str) -> dict[str, Any]:
    assert name == "mine"
    return matters(MINE)


def test_a_fingerprint_or_random_weights_give_a_record_away() -> None:
    wrong = speaking.otherwise(typed(fingerprint="0" * 12), EXPERIMENT, published)
    assert wrong == f"its fingerprint is {'0' * 12}, its config.yaml gives {fingerprint(MINE)}"
    assert speaking.otherwise(typed(fingerprint="0" * 12), None, None) == wrong
    start = record(config={"weights.source": "gpt2"}, hashes={"weights": "random"})
    assert speaking.otherwise(start, None, None) == (
        "config.yaml says weights.source=gpt2, the hash of the weights says random"
    )


def test_a_record_is_held_against_what_is_published_only_if_there_is_an_experiment_and_its_composition() -> None:
    altered = typed(Tokenize(name="mine", text="two"))
    # its own word is that nothing was changed; the experiment's file and the composition know better
    assert speaking.otherwise(altered, None, None) == speaking.otherwise(altered, None, published) == ""
    assert speaking.otherwise(altered, EXPERIMENT, None) == "altered: text=two"
    assert speaking.otherwise(altered, EXPERIMENT, published) == "altered: text=two"
    assert speaking.otherwise(typed(), EXPERIMENT, None) == speaking.otherwise(typed(), EXPERIMENT, published) == ""
    seeded = typed(Tokenize(name="mine", text="one", seed=5))
    assert speaking.otherwise(seeded, EXPERIMENT, published) == ""
    # what the file does not state is in the composition alone
    bare = Experiment("mine", Path("mine.yaml"), {"defaults": [{"override /task": "tokenize"}]})
    assert speaking.otherwise(altered, bare, None) == ""
    assert speaking.otherwise(altered, bare, published) == "altered: text=two"


def test_a_record_of_another_task_or_with_nothing_to_go_by_does_not_speak() -> None:
    def told(run: RunRecord, composed: Any = published) -> str:
        return speaking.otherwise(run, EXPERIMENT, composed)

    assert told(typed(task="count")) == "task=count instead of tokenize"
    assert told(record(task="")) == "task=? instead of tokenize"
    assert told(record(task="tokenize")) == "it has no config.yaml: what was run is not known"
    assert told(typed(), lambda _: "it cannot be composed") == "it cannot be composed"
    broken = record(task="tokenize", nested={"zebra": 1})
    assert told(broken) == "config.yaml: task=tokenize has no zebra"


@pytest.mark.parametrize(("text", "said"), [("one", ""), ("two", ""), ("three", "altered: text=three")])
def test_of_a_sweep_each_value_is_as_published(text: str, said: str) -> None:
    experiment = Experiment("mine", Path("mine.yaml"), EXPERIMENT.content | SWEPT)
    run = typed(Tokenize(name="mine", text=text))
    assert speaking.otherwise(run, experiment, published) == said
    # by the file alone nothing is known of what was swept
    assert speaking.otherwise(run, experiment, None) == ""


def test_where_it_was_computed_alters_nothing_and_the_format_only_what_depends_on_it() -> None:
    config = plain(MINE) | {"compute": plain(MINE)["compute"] | {"device": "mps", "precision": "bfloat16"}}
    run = record(task="tokenize", nested=config, config=dotted(config), missing=("fingerprint",))
    assert speaking.otherwise(run, EXPERIMENT, published) == ""
    assert speaking.otherwise(run, EXPERIMENT, published, claim()) == ""
    score = claim(kind="score", metric="test_accuracy", value=0.9)
    assert speaking.otherwise(run, EXPERIMENT, published, score) == "altered: compute.precision=bfloat16"


def test_a_files_word_counts_against_a_record_where_it_says_nothing_itself() -> None:
    content = EXPERIMENT.content | {"train": {"epochs": 5, "lr": "5e-4"}, "judge": {"model": "m"}}
    experiment = Experiment("mine", Path("mine.yaml"), content)

    def told(config: dict[str, Any], **changes: Any) -> str:
        return speaking.otherwise(record(config=config, changes=changes), experiment, None)

    assert told({"train.epochs": 5, "train.lr": 0.0005, "text": "one"}) == told({"other": 1}) == ""
    assert told({"train.epochs": 6}) == "altered: train.epochs=6"
    assert told({"train.epochs": 6}, **{"train.epochs": 7}) == "altered: train.epochs=7"
    assert told({"judge.model": "n", "compute.device": "cuda"}, **{"compute.device": "cuda"}) == ""


def pretrained(name: str, **more: Any) -> Pretrain:
    parts: dict[str, Any] = {"model": ModelConfig(), "weights": WeightsConfig(), "data": CorpusConfig()}
    parts |= {
        "train": PretrainTraining(epochs=1, batch_size=2, lr=0.1, eval_every=5, eval_batches=1),
        "sampling": SamplingConfig(),
    } | more
    return Pretrain(name=name, **parts)


def test_a_run_that_went_on_speaks_if_what_it_went_on_from_was_as_published_with_its_seed_and_format(
    tmp_path: Path,
) -> None:
    def told(base: str, published: Any = None, without: str = "", **more: Any) -> str:
        config = plain(pretrained("next", **({"continue_run": "base"} | more)))
        flat = {key: value for key, value in dotted(config).items() if key != without}
        hashes = {"continue_run": base} if base else {}
        run = record(task="pretrain", nested=config, config=flat, hashes=hashes)
        return speaking._other_base(run, published or (lambda name: matters(pretrained(name))))

    right = fingerprint(pretrained("base"))
    assert told(right) == told(right, without="compute.precision") == told("", continue_run="") == ""
    assert told("0" * 12) == f"continue_run=base: went on from {'0' * 12}, as published it is {right}"
    assert told("").startswith("continue_run=base: went on from a run that it does not name, as published it is ")
    for same in ({"seed": 7}, {"compute": ComputeConfig(precision=Precision.bfloat16)}):
        assert told(fingerprint(pretrained("base", **same)), **same) == ""
        assert told(right, **same).startswith(f"continue_run=base: went on from {right}, as published it is ")
    # where weights say where to start, nothing goes on
    start = tmp_path / "start.pth"
    start.touch()
    assert told("", weights=WeightsConfig(source=WeightSource.checkpoint, path=str(start))) == ""
    assert told(right, lambda name: f"{name} cannot be composed") == "base cannot be composed"
