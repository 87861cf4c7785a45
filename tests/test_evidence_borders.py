"""What is said of records at the borders: whole sentences and numbers worked out by hand, on records made here."""

import json
import math
import statistics
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from synthetic import write_predictions, write_run

from scratchlab.book import claims
from scratchlab.book.experiments import Experiment
from scratchlab.evidence import compare, confounds, items, predictions, remarks, verify
from scratchlab.evidence.runs import Arm, RunRecord, read_run
from scratchlab.evidence.verdicts import comparable, speaking
from scratchlab.evidence.verdicts.outcome import Decision, Verdict
from scratchlab.runs.claim import Claim

HASH = "0123456789abcdef"


def record(seed: int = 1, **more: Any) -> RunRecord:
    fields = {"folder": Path("nowhere"), "name": "arm", "seed": seed, "status": "done", "device": "cpu"}
    return RunRecord(**(fields | more))


def arm(*runs: RunRecord, name: str = "arm", config: dict[str, Any] | None = None, **more: Any) -> Arm:
    return Arm(name, name, config or {}, runs, **more)


def losses(name: str, *values: float, **more: Any) -> Arm:
    runs = [record(seed, name=name, metrics={"test_loss": value}) for seed, value in enumerate(values)]
    return arm(*runs, name=name, **more)


def table(*found: Arm, metric: str = "test_loss", **more: Any) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in compare.rows(found, found[0], metric, **more)}


def claim(**entry: Any) -> Claim:
    return claims.parse({"metric": "test_loss", "kind": "close", "value": 1.0, "source": "made up"} | entry, "test")


# compare


def test_the_p_of_a_difference_over_seeds_is_the_paired_t_tests() -> None:
    ours, theirs = [1.30, 1.21, 1.42, 1.33], [1.10, 1.15, 1.12, 1.05]
    found, p = compare.by_seed(ours, theirs, None)
    test = scipy.stats.ttest_rel(ours, theirs)
    assert p == pytest.approx(test.pvalue) and found.value == pytest.approx(np.mean(ours) - np.mean(theirs))
    _, other = compare.by_seed(theirs, ours, None)
    assert other == pytest.approx(test.pvalue)


def test_half_a_step_floors_the_spread_behind_a_p() -> None:
    found, p = compare.by_seed([0.9, 0.9, 0.9], [0.8, 0.8, 0.8], 0.02)
    # sd at least 0.01, over three: 0.00577; t = 0.1 / 0.00577
    assert p == pytest.approx(2 * scipy.stats.t.sf(0.1 / (0.01 / math.sqrt(3)), 2))
    assert found.half_width == pytest.approx(scipy.stats.t.ppf(0.975, 2) * 0.01 / math.sqrt(3))


def test_differences_that_agree_to_the_last_bits_have_no_spread_to_test_by() -> None:
    assert compare.by_seed([0.3, 0.4], [0.2, 0.3], None)[1] is None  # 0.1 twice, but for the last bit
    assert compare.by_seed([0.2, 0.3], [0.2, 0.3], None)[1] == 1.0
    assert compare.by_seed([5.0], [4.0], None)[1] is None
    assert compare.by_seed([1e6 + 0.1, 2e6 + 0.1], [1e6, 2e6], None)[1] is None  # the last bits of large numbers
    found, p = compare.by_seed([1.0, 1.0 + 4e-12], [0.0, 0.0], None)  # four times what counts as rounding
    assert found.sd == pytest.approx(4e-12 / math.sqrt(2), rel=1e-3) and p == pytest.approx(0, abs=1e-9)


def test_means_and_spreads_leave_out_what_is_not_finite() -> None:
    runs = [
        record(seed, metrics={"test_loss": v, "note": "x"}) for seed, v in enumerate((1.0, math.nan, 4.0, math.inf))
    ]
    row = table(arm(*runs))["arm"]["metrics"]
    assert row == {"test_loss": {"mean": 2.5, "spread": statistics.stdev([1, 4]), "n": 2, "diverged": 2}}
    one = table(losses("one", 3.0))["one"]["metrics"]["test_loss"]
    assert one == {"mean": 3.0, "spread": None, "n": 1}
    none = table(losses("none", math.nan))["none"]["metrics"]["test_loss"]
    assert none == {"mean": None, "spread": None, "n": 0, "diverged": 1}


def finding(*differences: float, others: tuple[tuple[float, ...], ...] = ()) -> str:
    base = (1.0, 1.1, 1.2, 1.3, 1.4)[: len(differences)]
    arms = [losses("base", *base), losses("variant", *(b + d for b, d in zip(base, differences, strict=True)))]
    arms += [losses(f"other{i}", *(b + d for b, d in zip(base, o, strict=True))) for i, o in enumerate(others)]
    return str(table(*arms)["variant"]["finding"])


def test_a_finding_is_what_the_p_says() -> None:
    # t(4) of 0.05 is 2.776, of 0.06 is 2.60: mean 1, sd sqrt(2.5) scaled so that t is just above or below 2.776
    steps = np.array([-2.0, -1, 0, 1, 2]) / math.sqrt(0.5)  # sd sqrt(5), standard error 1
    assert finding(*(0.01 * (steps + 2.78))) == "higher" and finding(*(0.01 * (steps - 2.78))) == "lower"
    assert finding(*(0.001 * (steps + 2.77))) == "no difference shown"
    assert finding(*(0.001 * (steps - 2.77))) == "no difference shown"
    # another arm far from zero leaves p as it is, one that is near makes two tests of it
    near = tuple(0.001 * (steps + 1))
    assert finding(*(0.01 * (steps + 2.9)), others=(near,)) == "higher, but not after Holm's correction"
    assert finding(*(0.01 * (steps - 2.9)), others=(near,)) == "lower, but not after Holm's correction"


def test_too_few_seeds_or_too_wide_a_spread_cannot_tell() -> None:
    assert finding(0.5) == "one seed: cannot tell"
    assert finding(0.001, -0.001) == "two seeds: cannot tell"
    assert finding(0.001, -0.001, 0.0005) == "no difference shown"
    assert finding(5.0, -2.0, 3.0) == "3 seeds with this spread: cannot tell"


def test_the_border_of_a_finding_is_on_the_cautious_side() -> None:
    def said(value: float, p: float | None, corrected: float | None = None, seeds: int = 3) -> str:
        delta = {"metric": "test_accuracy", "value": value, "p": p, "p_holm": corrected, "seeds": [1, 2, 3, 4][:seeds]}
        line = {"notes": [], "no_effect": False, "not_comparable": "", "confounds": [], "delta": delta}
        return compare._finding(line)

    cap = compare.declaration("test_accuracy").cap
    assert said(0.01, 0.05) == said(0.01, 0.05, 0.05) == said(cap, 0.06) == "no difference shown"
    assert said(0.01, 0.0499) == "higher" and said(0.01, 0.0499, 0.05) == "higher, but not after Holm's correction"
    assert said(cap + 1e-9, 0.06) == "3 seeds with this spread: cannot tell"
    assert (said(0.1, None), said(0.1, None, seeds=2)) == ("cannot tell", "two seeds: cannot tell")


def test_what_differences_over_seeds_can_show_is_worked_out_from_them() -> None:
    base, other = losses("base", 1.0, 1.2, 1.1, 1.3), losses("other", 1.4, 1.5, 1.6, 1.4)
    differences = [0.4, 0.3, 0.5, 0.1]
    assert table(base, other)["other"]["resolution"] == compare.resolution("test_loss", differences, 0, [])
    accuracy = [
        arm(*(record(s, name=name, metrics={"test_accuracy": v}) for s, v in enumerate(values)), name=name)
        for name, values in (("base", (0.9, 0.92, 0.91)), ("other", (0.95, 0.91, 0.96)))
    ]
    # without predictions nothing is known of items
    assert "item" not in table(*accuracy, metric="test_accuracy")["other"]["resolution"]


def test_what_two_experiments_declare_counts_as_one_factor_between_them() -> None:
    base, other = losses("base", 1.0, 1.1), losses("other", 1.2, 1.3)
    base, other = (
        Arm(one.name, one.name, {"train.lr": lr, "model.drop_rate": rate}, one.runs)
        for one, lr, rate in ((base, 1, 0.1), (other, 2, 0.2))
    )

    def confounds_of(declared: dict[str, tuple[str, ...]]) -> str:
        return " ".join(table(base, other, declared=declared)["other"]["confounds"])

    keys = ("train.lr", "dropout")
    assert "more than one setting differs" in confounds_of({})
    assert "more than one setting" not in confounds_of({"base": (), "other": keys})
    assert "more than one setting" not in confounds_of({"base": keys, "other": ()})
    # an experiment without a file says nothing of what belongs together
    assert "more than one setting" in confounds_of({"other": keys}) and confounds_of({"base": keys})
    # two arms of one experiment differ in what was typed
    one = Arm("base", "other", other.config, other.runs)
    rows = compare.rows([base, one], base, "test_loss", declared={"base": keys})
    assert "more than one setting" in " ".join(rows[1]["confounds"])


def test_a_baseline_with_notes_is_called_so_first() -> None:
    base = arm(*(record(s, name="base", metrics={"strange": 1.0}) for s in (1, 2)), name="base")
    row = table(base, metric="strange")["base"]
    assert row["notes"][0] == "baseline" and len(row["notes"]) == 2 and row["finding"] == "baseline"


def test_what_cannot_be_paired_is_said() -> None:
    base = arm(*(record(s, metrics={"test_loss": 1.0 + s}) for s in (1, 2, 3)), name="base")
    other = arm(*(record(s, metrics={"test_loss": 1.5 + s}) for s in (2, 3, 4)), name="other")
    apart = arm(record(9, metrics={"test_loss": 1.0}), name="apart")
    broken = arm(record(1, metrics={"test_loss": math.nan}), name="broken")
    rows = table(base, other, apart, broken)
    assert "not paired: seeds 1, 4" in rows["other"]["notes"] and rows["other"]["delta"]["seeds"] == [2, 3]
    assert "no seed in common with the baseline" in rows["apart"]["notes"]
    assert "no finite test_loss on a common seed" in rows["broken"]["notes"]
    assert rows["apart"]["finding"] == "cannot be paired" and rows["apart"]["delta"] is None
    assert rows["base"]["finding"] == "baseline" and rows["base"]["notes"] == ["baseline"]


def test_the_command_of_a_row_makes_its_runs() -> None:
    two = arm(record(1, changes={"train.lr": 0.1, "tune": "all"}), record(2, changes={"train.lr": 0.1}))
    assert table(two)["arm"]["command"] == "scratchlab -m experiment=arm train.lr=0.1 tune=all seed=1,2"
    assert table(arm(record(5)))["arm"]["command"] == "scratchlab experiment=arm seed=5"


def write_histories(folder: Path, *lines: str) -> list[RunRecord]:
    runs = []
    for seed, text in enumerate(lines):
        place = folder / str(seed)
        place.mkdir(parents=True)
        if text:
            (place / "history.jsonl").write_text(text)
        runs.append(record(seed, folder=place, metrics={"test_loss": 1.0 + seed}))
    return runs


def test_the_same_losses_on_every_common_seed_are_no_effect(tmp_path: Path) -> None:
    base = arm(*write_histories(tmp_path / "a", "1", "2", "3"), name="base")
    same = arm(*write_histories(tmp_path / "b", "1", "2"), name="same")
    unlike = arm(*write_histories(tmp_path / "c", "1", "9", "3"), name="unlike")
    twin = arm(*write_histories(tmp_path / "d", "1", "9", "3"), name="twin")
    bare = arm(*write_histories(tmp_path / "e", "", "", ""), name="bare")
    blank = arm(*write_histories(tmp_path / "f", "", "", ""), name="blank")
    rows = table(base, same, unlike, twin, bare, blank)
    assert [name for name, row in rows.items() if row["no_effect"]] == ["same", "twin"]
    assert "no effect: the same losses to the last digit as base" in rows["same"]["notes"]
    assert "no effect: the same losses to the last digit as unlike" in rows["twin"]["notes"]
    assert rows["same"]["finding"] == "no effect"
    more = table(same, base)["base"]  # three seeds, two of them common
    assert "no effect: the same losses to the last digit as same on the common seeds 0, 1" in more["notes"]


def test_accuracies_are_paired_item_by_item_and_copies_set_apart(tmp_path: Path) -> None:
    right = {"base": [1, 1, 0, 0, 1, 0], "variant": [1, 0, 1, 1, 1, 0]}
    arms = []
    for name, correct in right.items():
        runs = [read_run(write_run(tmp_path, name, seed, correct=np.roll(correct, seed))) for seed in (0, 1)]
        arms.append(arm(*runs, name=name))
    copied = np.array([True, False, False, False, False, True])
    rows = table(*arms, metric="test_accuracy", copies={"variant": copied})
    row = rows["variant"]
    assert [{key: test[key] for key in ("seed", "gained", "lost", "items")} for test in row["mcnemar"]] == [
        {"seed": 0, "gained": 2, "lost": 1, "items": 6},
        {"seed": 1, "gained": 2, "lost": 1, "items": 6},
    ]
    # one and two of three discordant items: exact two-sided p is 1
    assert row["mcnemar"][0]["p"] == 1.0
    assert row["delta"]["value"] == pytest.approx(1 / 6)
    # both seeds differ by one item of six, so half a step, 1/12, floors the spread: t(1) * 1/12 / sqrt(2)
    half = scipy.stats.t.ppf(0.975, 1) / 12 / math.sqrt(2)
    assert row["delta"]["interval_seeds"] == pytest.approx([1 / 6 - half, 1 / 6 + half])
    assert row["delta"]["interval_items"][0] < 1 / 6 < row["delta"]["interval_items"][1]
    # seed 0: items 1 to 4 are 0 1 1 1; seed 1, rolled by one: 1 0 1 1
    assert row["metrics"]["test_accuracy_without_copies"] == {"mean": 0.75, "spread": 0.0, "n": 2}
    assert row["copies"] == {"test_items": 6, "in_training": 2}
    assert "copies" not in rows["base"]
    short = table(*arms, metric="test_accuracy", copies={"variant": copied[:5]})["variant"]
    assert "copies" not in short
    one = table(arm(arms[0].runs[0], name="one"), metric="test_accuracy", copies={"one": copied})["one"]
    assert one["metrics"]["test_accuracy_without_copies"] == {"mean": 0.5, "spread": None, "n": 1}
    assert one["delta"] is None


def test_arms_tested_on_other_items_are_paired_by_seed_only(tmp_path: Path) -> None:
    def written(name: str, indices: list[int], flip: bool = False) -> Arm:
        folder = write_run(tmp_path, name, 1, correct=np.array([1, 0, 1]))
        rows = [f"test,{i},{int(flip) ^ i % 2},{i % 2}" for i in indices]
        (folder / "predictions.csv").write_text("\n".join(["split,index,label,prediction", *rows]) + "\n")
        return arm(record(1, name=name, folder=folder, metrics={"test_accuracy": 1.0}), name=name)

    base, same = written("base", [0, 1, 2]), written("same", [2, 0, 1])
    other, labels = written("other", [0, 1, 3]), written("labels", [0, 1, 2], flip=True)
    pairs = compare.item_pairs(same, base, [1], "test_accuracy")
    assert isinstance(pairs, list) and len(pairs) == 1
    for one in (other, labels):
        assert compare.item_pairs(one, base, [1], "test_accuracy") == (
            "the arms were tested on different items, so they are paired by seed only"
        )
    bare = arm(record(1, name="bare", metrics={"test_accuracy": 1.0}), name="bare")
    assert compare.item_pairs(bare, base, [1], "test_accuracy") is None
    assert compare.item_pairs(base, bare, [1], "test_accuracy") is None
    assert compare.item_pairs(same, base, [1], "test_loss") is None


# confounds


def test_settings_of_one_choice_are_one_factor() -> None:
    keys = {"model.emb_dim": "model size", "model.n_layers": "model size", "model.n_heads": "model size",
            "model.drop_rate": "dropout", "model.drop_rate_emb": "dropout", "tune.lora.rank": "tune",
            "weights.source": "weights", "prompt.style": "prompt", "judge.model": "judge", "train.lr": "train.lr",
            "model.qkv_bias": "model.qkv_bias"}  # fmt: skip
    assert {key: confounds.factor(key) for key in keys} == keys


def pair(ours: dict[str, Any], theirs: dict[str, Any], **common: Any) -> tuple[Arm, Arm]:
    """Two arms of seeds 1 and 2; what differs is of seed 2 alone, unless it is the configuration."""
    arms = []
    for name, fields in (("variant", ours), ("base", theirs)):
        config = fields.get("config", {})
        runs = [
            record(1, name=name, config=config, **common),
            record(2, name=name, **({"config": config} | common | fields)),
        ]
        arms.append(arm(*runs, name=name, config=config))
    return arms[0], arms[1]


EFFECTS = {
    "data bytes": ("hashes", "data", ["data.source"]),
    "training examples": ("hashes", "train_split", ["data.size", "prompt.style", "train.max_length"]),
    "test examples": ("hashes", "test_split", ["data.size", "prompt.style", "model.vocab_size"]),
    "starting weights": ("hashes", "weights", ["weights.source", "model.emb_dim"]),
    "batch order": ("hashes", "batch_order", ["train.batch_size", "model.drop_rate", "train.eval_freq"]),
    "examples seen": ("metrics", "examples_seen", ["train.epochs", "data.size"]),
    "tokens seen": ("metrics", "tokens_seen", ["train.epochs", "model.context_length"]),
    "trainable parameters": ("metrics", "trainable_parameters", ["tune.blocks", "model.emb_dim"]),
}


@pytest.mark.parametrize("what", EFFECTS)
def test_every_effect_is_seen_and_explained_by_its_own_settings_only(what: str) -> None:
    place, key, causes = EFFECTS[what]

    def told(**configs: dict[str, Any]) -> list[str]:
        ours, theirs = ({place: {key: value}} for value in (1234567, 7654321))
        variant, base = pair(ours | {"config": configs.get("a", {})}, theirs | {"config": configs.get("b", {})})
        return confounds.unexplained(variant, base, "test_loss")

    assert told() == [f"{what} differ at seed 2: 1,234,567, baseline 7,654,321"]
    for cause in causes:
        assert told(a={cause: 1}, b={cause: 2}) == []
    assert told(a={"train.lr": 1}, b={"train.lr": 2}) == told()
    variant, base = pair({place: {key: 5}}, {place: {key: 6}})
    assert confounds.unexplained(variant, base, "test_loss", aside=[what]) == []
    variant, base = pair({place: {key: 5}}, {})
    assert confounds.unexplained(variant, base, "test_loss") == []


def test_a_device_and_a_judge_are_effects_too() -> None:
    variant, base = pair({"device": "cuda"}, {"device": "mps"})
    assert confounds.unexplained(variant, base, "test_loss") == ["device differ at seed 2: cuda, baseline mps"]
    variant, base = pair({"metrics": {"judge_model": "a"}}, {"metrics": {"judge_model": "b"}})
    assert confounds.unexplained(variant, base, "test_loss") == []
    assert confounds.unexplained(variant, base, "judge_score") == [
        "judge differ at seed 2: judge_model=a, baseline judge_model=b"
    ]


def test_what_is_long_is_shortened_to_sixty_characters() -> None:
    for length, shown in ((60, "x" * 60), (61, "x" * 57 + "...")):
        variant, base = pair({"hashes": {"data": "x" * length}}, {"hashes": {"data": "y"}})
        assert confounds.unexplained(variant, base, "test_loss") == [
            f"data bytes differ at seed 2: {shown}, baseline y"
        ]


def test_more_than_one_factor_is_told_and_declared_ones_count_as_one() -> None:
    def told(*keys: str, declared: tuple[str, ...] = (), metric: str = "test_loss") -> str:
        variant, base = pair({"config": dict.fromkeys(keys, 1)}, {"config": dict.fromkeys(keys, 2)})
        return confounds.several_factors(variant, base, metric, declared)

    assert told() == told("train.lr") == told("tune.rank", "tune.alpha") == ""
    assert "(train.lr, dropout)" in told("train.lr", "model.drop_rate")
    assert told("train.lr", "model.drop_rate_emb", declared=("train.lr", "dropout")) == ""
    assert told("tune.rank", "train.lr", declared=("tune", "train")) == ""
    # one that is not declared beside those that are: two
    assert "(train.lr)" in told("train.lr", "tune.rank", declared=("tune",))
    assert "(dropout)" in told("model.drop_rate", "tune.rank", declared=("tune",))
    assert told("tunex", declared=("tune",)) == ""
    assert told("train.lr", "judge.model") == "" and "judge" in told("train.lr", "judge.model", metric="judge_score")


def test_losses_over_other_targets_are_of_two_kinds() -> None:
    variant, base = pair({"metrics": {"masked_targets": 10000}}, {"metrics": {"masked_targets": 20000}})
    assert confounds.unlike(variant, base, "test_loss") == (
        "a loss over other targets (masked_targets: 10,000, baseline 20,000)"
    )
    variant, base = pair({"config": {"mask_instruction": 1}}, {"config": {"mask_instruction": 2}})
    assert confounds.unlike(variant, base, "test_loss") == "a loss over other targets (mask_instruction)"
    variant, base = pair({"metrics": {"targets": 5}}, {})
    assert confounds.unlike(variant, base, "test_loss") == ""


def test_arms_tested_on_other_items_are_of_two_kinds_but_not_by_what_they_trained_on() -> None:
    def told(split: str, metric: str) -> str:
        variant, base = (arm(record(hashes={f"{split}_split": name})) for name in "ab")
        return confounds.unlike(variant, base, metric)

    assert told("test", "test_loss") == "other test items (test_split: a and b)"
    assert told("train", "train_loss") == told("train", "test_loss") == told("test", "val_loss") == ""


def test_times_on_two_devices_are_of_two_kinds() -> None:
    def told(ours: str, theirs: str, metric: str = "train_seconds") -> str:
        return confounds.unlike(arm(record(device=ours)), arm(record(device=theirs)), metric)

    assert told("cpu", "cpu") == "" and told("cpu", "cuda", "test_loss") == ""
    assert told("cpu", "cuda") == "it was timed on cpu, the baseline on cuda"
    assert (
        told("", "") == "it was timed on a device that no record names, the baseline on a device that no record names"
    )
    assert told("cpu", "cuda", "peak_memory_bytes") == "it was measured on cpu, the baseline on cuda"


def test_the_card_of_a_judge_is_one_line() -> None:
    run = record(hashes={"judge": "h", "data": "d"}, metrics={"judge": {"model": "m", "parser": 3}, "judge_score": 5})
    assert confounds.judge_card(run) == "judge=h, model=m, parser=3"
    assert confounds.judge_card(record(metrics={"judge_digest": "z"})) == "judge_digest=z"


# items


def test_other_items_by_setting_by_hash_and_by_label(tmp_path: Path) -> None:
    def told(ours: dict[str, Any], theirs: dict[str, Any], split: str = "test") -> str:
        return items.other_items(record(**ours), record(2, **theirs), split)

    for key in ("source", "path", "size", "split", "split_seed", "train_fraction"):
        one, two = {f"data.{key}": 1}, {f"data.{key}": 2}
        assert told({"config": one}, {"config": two}) == f"other test items (data.{key}: 1 and 2)"
        assert told({"config": one}, {"config": {}}) == "" and told({"config": one}, {"config": two}, "") == ""
    hashes = [{"hashes": {"test_split": name * 20}} for name in "ab"]
    assert told(*hashes) == f"other test items (test_split: {'a' * 12} and {'b' * 12})"
    assert told(hashes[0], hashes[0]) == "" and told(hashes[0], {}) == "" and told({}, hashes[0]) == ""
    for key in ("data.pad_to", "prompt.style", "model.context_length", "train.max_length", "model.vocab_size"):
        assert told(hashes[0] | {"config": {key: 1}}, hashes[1] | {"config": {key: 2}}) == ""
        assert told(hashes[0] | {"config": {key: 1}}, hashes[1]) == ""
    folders = [tmp_path / name for name in "abc"]
    for folder, labels in zip(folders, ("01", "01", "00"), strict=True):
        folder.mkdir()
        rows = [f"test,{i},{label},0" for i, label in enumerate(labels)]
        (folder / "predictions.csv").write_text("\n".join(["split,index,label,prediction", *rows]))
    a, b, c = ({"folder": folder} for folder in folders)
    assert told(a, b) == "" and told(a, c) == "other test items (by the labels in predictions.csv)"
    assert told(a, {}) == "" and told({}, c) == ""
    assert items.mixed_items([record(1, **a), record(2, **b), record(3, **c)], "test") == (
        "seeds 1 and 3 were tested on other test items (by the labels in predictions.csv)"
    )


def test_training_items_that_another_order_left_out_make_no_other_items(tmp_path: Path) -> None:
    """The loader leaves the last incomplete batch out, so of 1,045 messages each seed sees another 1,040."""

    def told(split: str, ours: str, theirs: str) -> str:
        found = []
        for number, labels in enumerate((ours, theirs)):
            folder = tmp_path / f"{split}{ours}{theirs}{number}"
            folder.mkdir()
            rows = [f"{split},{i},{label},0" for i, label in enumerate(labels) if label != "-"]
            (folder / "predictions.csv").write_text("\n".join(["split,index,label,prediction", *rows]))
            found.append(record(number, folder=folder))
        return items.other_items(found[0], found[1], split)

    other = "other {} items (by the labels in predictions.csv)".format
    assert told("train", "0110-", "0-101") == "" and told("test", "0110-", "0-101") == other("test")
    assert told("train", "0110-", "0-001") == other("train")
    assert told("train", "01---", "---01") == other("train"), "not one in common"


# predictions


def parsed(*lines: str, header: str = "split,index,label,prediction") -> dict[str, predictions.Items]:
    return predictions._parsed([header, *lines])


def test_predictions_are_read_by_column_and_sorted_by_index() -> None:
    found = parsed(
        "0.7,test,1,1,2", "0.2,val,0,1,1", "0.4,test,0,1,0", header="probability,split,prediction,label,index"
    )
    assert found["test"].index.tolist() == [0, 2] and found["test"].label.tolist() == [1, 1]
    assert found["test"].prediction.tolist() == [0, 1] and found["test"].probability.tolist() == [0.4, 0.7]
    assert found["test"].correct.tolist() == [0, 1] and found["val"].correct.tolist() == [0]
    assert np.isnan(parsed("test,0,1,1")["test"].probability).all()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((), "is empty"),
        (("a" * 100,), f"its columns are {'a' * 80!r}; split, index, label, prediction must be among them"),
        (("split,index,label,prediction", "test,0,1,1", "test,1,1"), "line 3 has 3 values instead of 4; is it cut?"),
        (("split,index,label,prediction", "test,0,1,1,5"), "line 2 has 5 values instead of 4; is it cut?"),
        (("split,index,label,prediction", "test,0.5,1,1"), "split test: a value of index is no whole number"),
        (("split,index,label,prediction", "test,0,1,nan"), "split test: a value of prediction is no whole number"),
        (("split,index,label,prediction", "test,0,inf,1"), "split test: a value of label is no whole number"),
        (("split,index,label,prediction", "test,-1,1,1"), "an index is below 0 or stands there twice"),
        (("split,index,label,prediction", "test,3,1,1", "test,3,1,0"), "an index is below 0 or stands there twice"),
    ],
)
def test_predictions_that_are_none_are_refused(lines: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError) as error:
        predictions._parsed(list(lines))
    assert said in str(error.value)


def test_an_accuracy_is_held_against_its_predictions_to_nine_decimals(tmp_path: Path) -> None:
    write_predictions(tmp_path, np.array([1, 1, 0, 1]))
    told = predictions.contradictions
    assert told(tmp_path, {"test_accuracy": 0.75}) == {} and told(tmp_path, {"test_accuracy": 0.75 + 0.9e-9}) == {}
    assert told(tmp_path, {"test_accuracy": 0.75 - 0.9e-9}) == {}
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    write_predictions(nothing, np.array([0, 0]))
    assert told(nothing, {"test_accuracy": 1e-9}) == {} and told(nothing, {"test_accuracy": 1.1e-9})
    for wrong in (0.75 + 1.1e-9, 0.75 - 1.1e-9, 0.5, 1):
        assert told(tmp_path, {"test_accuracy": wrong}) == {
            "test_accuracy": f"test_accuracy is said to be {wrong:.6g}, its predictions give 0.75"
        }
    assert "none are of the split val" in told(tmp_path, {"val_accuracy": 0.5})["val_accuracy"]
    assert told(tmp_path, {"test_loss": 0.1}) == {} and told(tmp_path / "no", {"test_accuracy": 0.1}) == {}
    (tmp_path / "predictions.csv").write_text("")
    assert "(predictions.csv: is empty)" in told(tmp_path, {"test_accuracy": 0.75})["test_accuracy"]


def test_a_judged_score_is_held_against_its_answers(tmp_path: Path) -> None:
    def told(scores: list[Any], **metrics: Any) -> dict[str, str]:
        (tmp_path / "scores.json").write_text(json.dumps({"items": [{"score": score} for score in scores]}))
        return predictions.contradictions(tmp_path, metrics)

    right = {"judge_score": 60.0, "judge_scored": 2, "judge_unparsed": 1}
    assert told([50, None, 70], **right) == {} and told([50, None, 70], **(right | {"judge_score": 60 + 5.9e-8})) == {}
    for name, wrong in (
        ("judge_score", 60 + 6.1e-8),
        ("judge_scored", 3),
        ("judge_unparsed", 2),
        ("judge_score", None),
    ):
        assert list(told([50, None, 70], **(right | {name: wrong}))) == [name]
    assert told([None], judge_score=None, judge_scored=0, judge_unparsed=1) == {}
    assert list(told([None], judge_score=0, judge_scored=0)) == ["judge_score"]
    # below one, the difference itself counts
    assert told([0], judge_score=0.9e-9) == told([0], judge_score=1e-9) == {}
    assert list(told([0], judge_score=1.1e-9)) == ["judge_score"]
    assert told([50], judge_unparsed=5) == {}
    (tmp_path / "scores.json").write_text(json.dumps({"items": [{"other": 1}]}))
    assert predictions.contradictions(tmp_path, {"judge_score": 5})["judge_score"] == (
        "judge_score cannot be held against its scores (scores.json: KeyError: 'score')"
    )


# remarks


def test_what_the_runs_of_an_arm_do_not_share_is_said() -> None:
    def told(*fields: dict[str, Any], metric: str = "test_loss", **more: Any) -> list[str]:
        return list(
            remarks.mixtures(arm(*(record(seed, **f) for seed, f in enumerate(fields, start=1)), **more), metric)
        )

    assert told({}, {}) == [] and told({"device": "cpu"}, {"device": ""}) == []
    assert told({"device": "cuda"}, {}) == ["the runs of arm are of different devices: cpu, cuda"]
    for key in ("scratchlab", "torch"):
        assert told({"versions": {key: "2"}}, {"versions": {key: "1"}}) == [
            f"the runs of arm are of different versions of {key}: 1, 2"
        ]
        assert told({"versions": {key: "2"}}, {}) == []
    assert told({"versions": {"numpy": "2"}}, {"versions": {"numpy": "1"}}) == []
    assert told({"revision": 2}, {"revision": 1}) == ["the runs of arm are of different revisions: 1, 2"]
    assert told({"revision": 2}, {}) == []
    older = (record(1, metrics={"test_loss": 1.0}), record(2, metrics={"test_loss": 3.0}))
    found = told({"metrics": {"test_loss": 2.0}}, {"metrics": {"test_loss": 3.0}}, older=older)
    assert len(found) == 1 and found[0].startswith("seed 1 of arm has 2 records that differ (1")
    bare = {"metrics": {"test_accuracy": 0.5}}
    assert told(bare, bare, metric="test_accuracy") == [
        "test_accuracy of seeds 1, 2 stands in the record alone: no predictions were kept that would show it"
    ]
    assert told(bare, bare) == [] and told({}, metric="test_accuracy") == []


def test_who_does_not_speak_is_said() -> None:
    one, none = record(1, metrics={"test_loss": 1.0}), record(2)
    lost = record(3, status="failed", error="out of\n memory " + "x" * 300)
    found = list(remarks.absent(arm(one, none, lost=(lost,)), "test_loss"))
    assert found == [
        f"survivors only: seed 3 came to no end (failed: {('out of memory ' + 'x' * 300)[:200]})",
        "seed 2 does not speak: its record has no metric test_loss",
    ]
    assert list(remarks.absent(arm(none), "test_loss")) == []  # the only run: its row is empty anyway
    wrong = record(2, wrong={"test_loss": "it is text"})
    assert list(remarks.absent(arm(wrong), "test_loss")) == ["seed 2 does not speak: it is text"]
    assert remarks.ending(record(status="interrupted")) == "interrupted"


def test_spoilt_and_unfinished_records_are_lines() -> None:
    runs = [
        record(1, folder=Path("out/arm/one"), problems=("a", "b")),
        record(2, folder=Path("out/arm/two"), status="unreadable", problems=("c",)),
        record(3),
        record(4, status="unfinished"),
    ]
    assert remarks.problem_lines(runs) == [
        "spoilt record arm/one: a; b: judged by no test",
        "spoilt record arm/two: c: it does not speak",
    ]
    assert remarks.unfinished(runs) == ["not in the table: arm seed 4: unfinished"]


# verify


@pytest.mark.parametrize(
    ("then", "now", "lines"),
    [
        ({"a": 1.0}, {"a": 1.0}, []),
        ({"a": 1.0}, {"a": 1.0 + 0.9e-9}, []),
        ({"a": 0.0}, {"a": 0.9e-9}, []),
        ({"a": 1000.0}, {"a": 1000 + 0.9e-6}, []),
        ({"a": 0.0}, {"a": 2e-9}, ["w.a: was 0.0, is 2e-09"]),
        ({"a": 1000.0}, {"a": 1000.01}, ["w.a: was 1000.0, is 1000.01"]),
        ({"a": -1000.0}, {"a": -1000 - 0.9e-6}, []),
        ({"a": 1}, {}, ["w.a: was 1, is None"]),
        ({}, {"b": 1}, ["w.b: was None, is 1"]),
        ([1, 2], [1, 3], ["w[1]: was 2, is 3"]),
        ([1, 2], [1], ["w: was [1, 2], is [1]"]),
        ([{"experiment": "e", "metric": "m", "v": 1}], [{"v": 2}], ["w[e:m].experiment: was e, is None",
         "w[e:m].metric: was m, is None", "w[e:m].v: was 1, is 2"]),
        ([{"v": 1}], [{"v": 2}], ["w[0].v: was 1, is 2"]),
        ({"a": "x" * 130}, {"a": "y" * 130}, [f"w.a: was {'x' * 120}, is {'y' * 120}"]),
        ({"a": True}, {"a": 0.5}, ["w.a: was True, is 0.5"]),
    ],
)  # fmt: skip
def test_where_two_values_part_is_said(then: Any, now: Any, lines: list[str]) -> None:
    assert verify._differences("w", then, now) == lines


def test_entries_of_an_archive_stay_inside(tmp_path: Path) -> None:
    for name in ("/a", "a/../b", "..", "a//b", "./a", "a\\b", "c:a", ""):
        assert verify._outside(name)
    for name in ("a", "a/b.json", "records/x/y/result.json", "folder/", "a..b"):
        assert not verify._outside(name)
    path = tmp_path / "b.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.json", "{}")
        archive.writestr("A.json", "{}")
    with pytest.raises(ValueError, match="a.json stands there more than once"):
        verify.verify(path, {})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.json", "{}")
    with pytest.raises(ValueError, match="holds no manifest.json"):
        verify.verify(path, {})
    path.write_text("none")
    with pytest.raises(ValueError, match="no zip file"):
        verify.verify(path, {})


def test_experiments_that_are_others_in_a_bundle_are_told() -> None:
    def one(content: dict[str, Any], local: bool = False) -> dict[str, Experiment]:
        return {"e": Experiment("e", Path("e.yaml"), content, local)}

    here = {"claims": [1], "train": 1, "model": 2}
    assert verify._changed_experiments(one(here), one(here)) == []
    assert verify._changed_experiments(one(here | {"claims": [2]}), one(here)) == [
        "e: the bundle's claims are not those of the installed experiment file"
    ]
    assert verify._changed_experiments(one({"claims": [1], "train": 2, "new": 1}), one(here)) == [
        "e: the bundle's train, model, new are not those of the installed experiment file"
    ]
    assert verify._changed_experiments(one(here, local=True), one(here)) == [
        "e: in the bundle and here, one is a file of its user's own and one of the package"
    ]
    assert verify._changed_experiments(one(here), {}) == []


def test_files_are_held_against_the_manifest(tmp_path: Path) -> None:
    import hashlib

    (tmp_path / "a").mkdir()
    for name in ("manifest.json", "a/same", "a/other", "a/extra"):
        (tmp_path / name).write_text(name)
    hashes = {"a/same": hashlib.sha256(b"a/same").hexdigest(), "a/other": "0", "a/gone": "0"}
    assert verify._changed_files(tmp_path, hashes) == [
        "a/gone: is missing",
        "a/extra: is not in the manifest",
        "a/other: was changed after it was packed",
    ]


# comparable and speaking


def using(*runs: RunRecord, **entry: Any) -> tuple[Arm | Decision, tuple[str, ...]]:
    return comparable.usable("arm", claim(**entry), runs, None)


def test_runs_of_one_name_and_two_kinds_are_refused() -> None:
    value = {"metrics": {"test_loss": 1.0}}
    for key in ("data", "weights"):
        found, _ = using(record(1, hashes={key: "b" * 20}, **value), record(2, hashes={key: "a" * 20}, **value))
        assert isinstance(found, Decision) and found.verdict is Verdict.NOT_COMPARABLE
        assert found.reason == f"the runs of arm used different {key}: {'a' * 12}, {'b' * 12}"
        assert found.seeds == (1, 2) and found.device == "cpu"
        alike, _ = using(record(1, hashes={key: "b"}, **value), record(2, **value))
        assert isinstance(alike, Arm)
    found, _ = using(record(1, config={"train.lr": 1}, **value), record(2, config={"train.lr": 2}, **value))
    assert isinstance(found, Decision) and found.reason == "the runs of arm differ among themselves in train.lr"


def test_survivors_are_counted() -> None:
    value = {"metrics": {"test_loss": 1.0}}
    _, notes = using(record(1, **value), record(2, status="failed", error="boom"), record(3, status="unfinished"))
    assert notes[0] == "survivors only: 2 of 3 records of arm came to no end"
    assert notes[1:] == ("does not speak: seed 2 (failed: boom)", "does not speak: seed 3 (unfinished)")
    found, notes = using(record(1, status="failed", started="1"), record(2, status="failed", started="2", error="last"))
    assert isinstance(found, Decision) and found.verdict is Verdict.NOT_RUN
    assert found.reason.startswith("2 of 2 runs of arm came to no end; seed 2 failed: last")


def test_float32_speaks_before_any_other_format() -> None:
    value = {"metrics": {"test_loss": 1.0}}
    half, single = ({"config": {"compute.precision": name}} for name in ("bfloat16", "float32"))
    found, notes = using(record(1, **half, **value), record(2, **single, **value))
    assert isinstance(found, Arm) and found.seeds == [2]
    assert notes == ("does not speak: seed 1 (in bfloat16, beside float32)",)
    found, notes = using(record(1, **half, **value), record(2, **half, **value))
    assert isinstance(found, Arm) and found.seeds == [1, 2] and notes == ()


def test_a_number_on_another_device_than_the_claims_is_not_held_against_it() -> None:
    stated = claim(metric="train_seconds", kind="ratio", versus="base", value=1.0, device="L4")
    on = [record(1, device="cuda NVIDIA L4"), record(2, device="cuda nvidia l4")]
    assert "on L4, here on cuda NVIDIA L4, cuda nvidia l4" in comparable.other_device(stated, on)
    assert comparable.other_device(stated, on[:1]) == comparable.other_device(stated, on[1:]) == ""
    unnamed = "it was measured on L4, here on an unnamed device"
    assert comparable.other_device(stated, [record(device="")]) == unnamed
    nameless = claim(metric="train_seconds", kind="ratio", versus="base", value=1.0)
    assert comparable.other_device(nameless, on) == "train_seconds belongs to a device, and the claim names none"
    assert comparable.other_device(claim(), on) == ""


def test_the_judge_of_a_claim_is_each_part_of_a_card() -> None:
    run = record(metrics={"judge": {"model": "m", "parser": 3}, "judge_score": 5})
    score = {"kind": "score", "metric": "judge_score", "value": 5.0}
    for judge, same in (
        ("model=m", True),
        ("parser=3, model=m", True),
        ("m", True),
        ("model=", False),
        ("model=n", False),
    ):
        assert comparable._asked_as(claim(**score, judge=judge), run) is same
    assert comparable._asked_as(claim(judge=""), run)


def test_a_lost_run_is_one_whose_number_or_loss_is_not_finite() -> None:
    score = claim(kind="score", metric="test_accuracy", value=0.9)
    for name in ("test_accuracy", "test_loss", "train_loss"):
        runs = [record(1, metrics={"test_accuracy": 0.5} | {name: math.nan}), record(2, metrics={"test_accuracy": 0.5})]
        lost = comparable.diverged(score, runs)
        assert [run.seed for run in lost] in ([1], []) and (name != "test_accuracy" or lost)
    assert comparable.diverged(score, [record(metrics={"test_accuracy": "text"})]) == []


def test_a_share_of_other_items_than_the_published_ones_is_refused(tmp_path: Path) -> None:
    write_predictions(tmp_path, np.array([1, 1, 0, 1]))
    run = record(1, folder=tmp_path, metrics={"test_accuracy": 0.75})
    score = {"kind": "score", "metric": "test_accuracy", "value": 0.75}
    assert comparable._other_count(claim(**score, n=4), run) == comparable._other_count(claim(**score, n=0), run) == ""
    assert comparable._other_count(claim(**score, n=3), run) == ("test_accuracy is of 4 items, the published one of 3")


def test_reasons_are_said_once_with_everyone_they_hold_for() -> None:
    silent = speaking.Silent()
    runs = [record(1), record(2), record(3, status="unreadable", folder=Path("out/arm/abc"))]
    assert silent.sort_out(runs, lambda run: "" if run.seed == 2 else "why") == [runs[1]]
    assert silent.notes() == ("does not speak: seed 1, record abc (why)",)
    assert speaking.ended(record()) == "" and speaking.ended(record(status="failed", error="e")) == "failed: e"


def test_what_is_altered_in_every_run_is_said_once_and_by_no_note() -> None:
    value = {"metrics": {"test_loss": 1.0}}
    arms = [{}, {"prompt": "phi3"}, {"prompt": "phi3", "mask_instruction": "true"}]
    runs = [record(seed, changes={"train.epochs": "1"} | more, **value) for more in arms for seed in (1, 2)]
    found, told = using(*runs, record(3, status="failed", error="boom"))
    assert isinstance(found, Decision) and found.verdict is Verdict.NOT_COMPARABLE
    assert found.reason == (
        "arm was not run as published: altered: train.epochs=1; in some runs prompt=phi3, mask_instruction=true"
    )
    assert told == ("does not speak: seed 3 (failed: boom)",), "whose reason the verdict does not tell is in a note"
    assert speaking.together(["b", "altered: x=1, 2, y=3", "b"]) == "altered: x=1, 2, y=3; b"
    assert speaking.together(["altered: x=1", "altered: y=2"]) == "altered: in some runs x=1, y=2"


def test_a_record_without_its_experiment_is_told_by_its_own_changes() -> None:
    run = record(changes={"train.lr": "0.1\n  0.2" + "x" * 100, "judge.model": "m", "compute.device": "cuda"})
    told = speaking.otherwise(run, None, None)
    assert told == f"altered: train.lr={('0.1 0.2' + 'x' * 100)[:80]}"
    precise = record(changes={"compute.precision": "bfloat16"})
    assert speaking.otherwise(precise, None, None, claim()) == speaking.otherwise(precise, None, None) == ""
    score = claim(kind="score", metric="test_accuracy", value=0.9)
    assert speaking.otherwise(precise, None, None, score) == "altered: compute.precision=bfloat16"


def test_what_can_be_held_against_runs_in_any_format() -> None:
    assert speaking.any_format(claim()) and speaking.any_format(claim(kind="exact", metric="train_entries"))
    assert speaking.any_format(claim(kind="ratio", metric="tokens", versus="base"))
    assert not speaking.any_format(claim(kind="exact", metric="test_loss"))
    assert not speaking.any_format(claim(kind="score", metric="train_entries"))


def test_numbers_are_equal_whatever_yaml_made_of_them() -> None:
    assert speaking._same(0.0005, "5e-4") and speaking._same(1, 1.0) and speaking._same("a", "a")
    assert not speaking._same(0.0005, "5e-3") and not speaking._same(1, "text") and not speaking._same("1", 1)
    assert not speaking._same(1, None)


def test_weights_that_are_random_by_hash_alone_are_told() -> None:
    stated = {"config": {"weights.source": "gpt2"}}
    assert speaking._other_start(record(hashes={"weights": "random"}, **stated)) == (
        "config.yaml says weights.source=gpt2, the hash of the weights says random"
    )
    assert speaking._other_start(record(hashes={"weights": "abc"}, **stated)) == ""
    assert speaking._other_start(record(hashes={"weights": "random"})) == speaking._other_start(record(**stated)) == ""
