"""Who speaks about a claim: decided from what a record is, whatever it says of itself."""

import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import GENERATED, TINY, command
from synthetic import repacked, write_run

from scratchlab.__main__ import run
from scratchlab.assets import catalogue
from scratchlab.book import claims, experiments
from scratchlab.evidence import bundle, compare
from scratchlab.evidence.configuration import differences, misprint, typed
from scratchlab.evidence.gather import gather
from scratchlab.evidence.runs import arms, by_name, read_run, read_runs
from scratchlab.evidence.verdicts import Decision, Verdict, decide
from scratchlab.evidence.verify import verify
from scratchlab.launch import compose
from scratchlab.launch.published import Compositions
from scratchlab.runs.identity import fingerprint, plain

ROW10 = "ch06_row10_random"
SPLITS = {f"{name}_split": name[0] * 64 for name in ("train", "val", "test")}
PUBLISHED = Compositions()


def recorded(out: Path, seed: int, *overrides: str, name: str = ROW10, **more: Any) -> Path:
    """A record as a run with these overrides would leave it, on the published data; it claims that nothing changed."""
    config = compose.compose([f"experiment={name}", f"seed={seed}", *overrides])
    more.setdefault("hashes", {"data": catalogue.SMS_SPAM.sha256, "weights": "random"} | SPLITS)
    accuracy = more.pop("accuracy", 0.9367)
    if "metrics" not in more:
        more["accuracy"] = (281 if accuracy > 0.9 else 240) / 300
    mark = more.pop("fingerprint", fingerprint(config))
    return write_run(out, name, seed, task=config.task, config=plain(config), fingerprint=mark, **more)


def verdict(out: Path, name: str = ROW10, **claim: Any) -> Decision:
    entry = {"metric": "test_accuracy", "source": "made up", "kind": "score", "value": 0.9367, "n": 300} | claim
    stated = claims.Stated(name, claims.parse(entry, "test"))
    return decide(stated, by_name(read_runs(out)), experiments.read_all(), PUBLISHED)


def test_the_published_run_speaks(tmp_path: Path) -> None:
    for seed in (123, 124, 125):
        recorded(tmp_path, seed)
    assert verdict(tmp_path).verdict is Verdict.REPRODUCED


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model.emb_dim=60"], "model.emb_dim=60"),
        (["train.epochs=1"], "train.epochs=1"),
        (["data.split=notebook"], "data.split=notebook"),
        (["position=first", "tune=last_block"], "position=first"),
        (["compute.compile=true"], "compute.compile=True"),
        (["compute.precision=bfloat16"], "compute.precision=bfloat16"),
    ],
)
@pytest.mark.parametrize("changes", [{}, None])
def test_a_record_of_other_settings_does_not_speak_although_it_says_that_nothing_was_changed(
    tmp_path: Path, overrides: list[str], said: str, changes: dict[str, Any] | None
) -> None:
    for seed in (123, 124, 125):
        recorded(tmp_path, seed, *overrides, changes=changes)
    found = verdict(tmp_path)
    assert found.verdict is Verdict.NOT_COMPARABLE and said in found.reason


def test_a_configuration_that_was_put_right_is_given_away_by_its_fingerprint(tmp_path: Path) -> None:
    for seed in (123, 124, 125):
        altered = compose.compose([f"experiment={ROW10}", f"seed={seed}", "model.emb_dim=60"])
        recorded(tmp_path, seed, fingerprint=fingerprint(altered))
    found = verdict(tmp_path)
    assert found.verdict is Verdict.NOT_COMPARABLE and "its config.yaml gives" in found.reason


def test_a_configuration_that_says_too_little_or_no_longer_fits_does_not_speak(tmp_path: Path) -> None:
    for change, said in (({"model": None}, "config.yaml: "), ({"made_up": 1}, "has no made_up")):
        folder = recorded(tmp_path / said.strip(": "), 123)
        content = yaml.safe_load((folder / "config.yaml").read_text()) | change
        (folder / "config.yaml").write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))
        found = verdict(tmp_path / said.strip(": "))
        assert found.verdict is Verdict.NOT_COMPARABLE and said in found.reason


CONTINUED = "ch05_4_continue"


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("as published", ""),
        ("train.epochs=1", "went on from"),
        ("seed=124", "went on from"),
        (None, "went on from a run that it does not name"),
    ],
)
def test_a_run_that_went_on_from_another_speaks_if_that_one_was_as_published(
    tmp_path: Path, base: str | None, said: str
) -> None:
    went_on_from = {} if base is None else {"continue_run": _base(base)}
    recorded(
        *(tmp_path, 123),
        name=CONTINUED,
        hashes={"data": catalogue.VERDICT.sha256} | went_on_from,
        metrics={"last_val_loss": 6.614},
    )
    found = verdict(tmp_path, CONTINUED, metric="last_val_loss", kind="close", value=6.614, n=None)
    if said:
        assert found.verdict is Verdict.NOT_COMPARABLE and said in found.reason
    else:
        assert found.verdict is Verdict.REPRODUCED


def _base(override: str) -> str:
    words = [] if override == "as published" else [override]
    return fingerprint(compose.compose(["experiment=ch05_main", "seed=123", *words]))


def test_a_run_made_from_python_is_held_against_the_experiment_like_any_other(tmp_path: Path) -> None:
    tiny = [word for word in (*TINY, *GENERATED) if word != "weights=random"]
    config = compose.compose([f"experiment={ROW10}", *tiny, f"out={tmp_path}"])
    record = read_run(Path(run(config)["folder"]))
    assert record.changes == {} and misprint(record) == "" and typed(record).name == ROW10
    assert {"model.emb_dim", "data.source", "train.epochs"} <= set(differences(record, PUBLISHED(ROW10)))  # type: ignore[arg-type]
    assert verdict(tmp_path).verdict is Verdict.NOT_COMPARABLE


def test_where_and_in_which_format_it_was_computed_alters_no_exact_count_and_no_close_number(tmp_path: Path) -> None:
    counted: dict[str, Any] = {"metrics": {"trainable_parameters": 1000, "train_loss": 0.5}}
    count: dict[str, Any] = {"metric": "trainable_parameters", "kind": "exact", "value": 1000}
    close: dict[str, Any] = {"metric": "train_loss", "kind": "close", "value": 0.505}
    for device, precision, name in (("cpu", "float32", "cpu"), ("mps", "float32", "mps"), ("cpu", "bfloat16", "cpu")):
        out = tmp_path / f"{device}-{precision}"
        said = {"compute.device": device} | ({"compute.precision": precision} if precision != "float32" else {})
        words = [f"{key}={value}" for key, value in said.items()]
        recorded(out, 123, *words, device=name, changes=said, **counted)
        assert verdict(out, **count).verdict is Verdict.REPRODUCED, out.name
        wanted = Verdict.REPRODUCED if precision == "bfloat16" else Verdict.NOT_REPRODUCED
        assert verdict(out, **close).verdict is wanted, out.name


def test_the_device_that_auto_takes_and_the_same_one_by_name_are_one_arm(tmp_path: Path) -> None:
    recorded(tmp_path, 123)
    recorded(tmp_path, 124, "compute.device=cpu", device="cpu AVX2 4 threads")
    recorded(tmp_path, 125, "compute.device=cpu")
    found = verdict(tmp_path)
    assert found.verdict is Verdict.REPRODUCED and found.seeds == (123, 124, 125)
    assert [arm.seeds for arm in arms(read_runs(tmp_path))] == [[123, 124, 125]]


@pytest.mark.parametrize("how", ["split", "hash", "labels"])
def test_runs_on_other_test_items_are_neither_pooled_nor_compared(tmp_path: Path, how: str) -> None:
    for name, other in (("baseline", False), ("variant", True)):
        for seed in (1, 2, 3):
            config = {"data": {"source": "spam", "split": "notebook" if other and how == "split" else "script"}}
            hashes = {"test_split": "b" * 64 if other and how == "hash" else "a" * 64}
            folder = write_run(tmp_path / how, name, seed, 0.95, config=config, hashes=hashes)
            if other and how == "labels":
                text = (folder / "predictions.csv").read_text()
                (folder / "predictions.csv").write_text(text.replace("test,0,", "test,900,"))
    found = verdict(tmp_path / how, "variant", kind="relation", value=None, versus="baseline", direction="lower")
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert "other test items" in found.reason or "test examples differ" in found.reason
    variant, baseline = (
        next(a for a in arms(read_runs(tmp_path / how)) if a.name == n) for n in ("variant", "baseline")
    )
    row = compare.rows([baseline, variant], baseline, "test_accuracy")[1]
    assert "other test items" in row["not_comparable"] and row["delta"] is None


def test_seeds_of_one_arm_with_other_test_items_are_not_pooled(tmp_path: Path) -> None:
    for seed in (123, 124, 125):
        hashes = {"data": catalogue.SMS_SPAM.sha256} | SPLITS | ({"test_split": "x" * 64} if seed == 125 else {})
        recorded(tmp_path, seed, hashes=hashes)
    found = verdict(tmp_path)
    assert found.verdict is Verdict.NOT_COMPARABLE and "seeds 123 and 125" in found.reason
    (arm,) = arms(read_runs(tmp_path))
    assert "other test items" in compare.unlike(arm, arm, "test_accuracy")


def test_padding_makes_no_other_items(tmp_path: Path) -> None:
    write_run(tmp_path, "a", 1, 0.95, config={"data": {"pad_to": "longest"}}, hashes={"test_split": "a" * 64})
    write_run(tmp_path, "b", 1, 0.95, config={"data": {"pad_to": "context"}}, hashes={"test_split": "b" * 64})
    ours, theirs = arms(read_runs(tmp_path))
    assert compare.unlike(ours, theirs, "test_accuracy") == ""


def test_an_accuracy_that_its_own_predictions_do_not_give_is_said_and_judged_by_no_test(tmp_path: Path) -> None:
    for seed in (123, 124, 125):
        folder = recorded(tmp_path, seed, accuracy=0.8)
        content = json.loads((folder / "result.json").read_text())
        content["metrics"]["test_accuracy"] = 0.9367
        (folder / "result.json").write_text(json.dumps(content))
    found = verdict(tmp_path)
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert "said to be 0.9367, its predictions give 0.8" in found.reason
    assert arms(read_runs(tmp_path))[0].values("test_accuracy") == []


def test_a_file_of_one_s_own_with_a_built_in_name_is_refused_and_its_claims_are_labelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "experiments").mkdir()
    own = tmp_path / "experiments" / "mine.yaml"
    entry = {"metric": "test_accuracy", "kind": "score", "value": 0.95, "n": 300, "source": "me"}
    own.write_text(yaml.safe_dump({"defaults": [{"override /task": "classify"}], "claims": [entry]}))
    monkeypatch.chdir(tmp_path)
    found = gather(tmp_path / "out", experiments.read_all(), select="mine", published=PUBLISHED)
    assert any("a file of your own" in note and "mine.yaml" in note for note in found.verdicts[0]["notes"])
    own.rename(tmp_path / "experiments" / f"{ROW10}.yaml")
    said = f"{ROW10}: .*experiments/{ROW10}.yaml has the name of .*{ROW10}.yaml"
    with pytest.raises(ValueError, match=said):
        experiments.read_all()
    ended = command(f"experiment={ROW10}", cwd=tmp_path)
    assert ended.returncode == 1 and re.search(said, ended.stderr) and "Traceback" not in ended.stderr


@pytest.fixture(scope="module")
def consistent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of three runs."""
    folder = tmp_path_factory.mktemp("bundle")
    for seed in (123, 124, 125):
        recorded(folder / "out", seed)
    files = experiments.read_all()
    options: dict[str, Any] = {"select": ROW10, "seeds": (), "baseline": "", "published": PUBLISHED}
    bundle.pack(folder / "out", files, folder / "bundle.zip", **options)
    assert verify(folder / "bundle.zip", files, PUBLISHED) == []
    return folder / "bundle.zip"


@pytest.fixture
def packed(consistent: Path, tmp_path: Path) -> Path:
    """A copy, to be changed."""
    return Path(shutil.copy(consistent, tmp_path / "bundle.zip"))


def forged(path: Path, change: Any, name: str) -> list[str]:
    """What verify says of a copy with one JSON file changed and its hash put right."""
    with zipfile.ZipFile(path) as archive:
        found = json.loads(archive.read(name))
    change(found)
    manifest = "" if name == bundle.MANIFEST else bundle.MANIFEST
    other = repacked(path, name, json.dumps(found).encode(), manifest)
    return verify(other, experiments.read_all(), PUBLISHED)


def test_an_experiment_left_out_of_a_bundle_is_told_and_the_installed_claims_are_judged(packed: Path) -> None:
    lines = forged(packed, lambda content: content.pop(ROW10), bundle.EXPERIMENTS)
    assert f"{ROW10}: the bundle leaves out this experiment, which is installed" in lines


def test_doctored_settings_of_an_experiment_are_told(packed: Path) -> None:
    lines = forged(packed, lambda c: c[ROW10]["content"].update(train={"epochs": 1}), bundle.EXPERIMENTS)
    assert f"{ROW10}: the bundle's train are not those of the installed experiment file" in lines
    lines = forged(packed, lambda c: c[ROW10]["published"].update({"train.epochs": 1}), bundle.EXPERIMENTS)
    assert any(line.startswith(f"{ROW10} as published.train.epochs: was 1, is 5") for line in lines)


def test_a_configuration_that_its_fingerprint_does_not_fit_is_told(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        results = [n for n in archive.namelist() if n.endswith("result.json")]
        name = next(n for n in results if json.loads(archive.read(n))["seed"] == 123)
    lines = forged(packed, lambda content: content.update(fingerprint="0" * 12), name)
    assert any("its fingerprint is 000000000000, its config.yaml gives" in line for line in lines)
    assert f"{ROW10} seed 123: its record has no fingerprint" in forged(packed, lambda c: c.pop("fingerprint"), name)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["options"].update(colour="red"), "the options must be select, seeds, baseline, found"),
        (lambda m: m["options"].pop("seeds"), "the options must be select, seeds, baseline"),
        (lambda m: m["options"].update(seeds="all"), "seeds a list of whole numbers"),
        (lambda m: m.pop("options"), "the options must be"),
        (lambda m: m.pop("sha256"), "sha256 must be a mapping of file to hash"),
    ],
)
def test_a_manifest_that_is_none_is_refused_in_one_line(packed: Path, change: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        forged(packed, change, bundle.MANIFEST)
    assert "\n" not in str(error.value)


def test_a_missing_hash_is_a_line(packed: Path) -> None:
    lines = forged(packed, lambda m: m["sha256"].pop(bundle.VERDICTS), bundle.MANIFEST)
    assert f"{bundle.VERDICTS}: is not in the manifest" in lines


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("verdicts.json", "stands there more than once"),
        ("/etc/passwd", "lies outside"),
        ("records/../../x", "lies outside"),
        ("C:\\x", "lies outside"),
    ],
)
def test_a_name_twice_or_outside_is_refused(packed: Path, name: str, said: str) -> None:
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(name, "{}")
    with pytest.raises(ValueError, match=said):
        verify(packed, experiments.read_all(), PUBLISHED)
