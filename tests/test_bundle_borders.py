"""Bundles at their borders, of a few records of small runs: what goes in, and each way in which one is none."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import repacked, write_run

from scratchlab.book.experiments import Experiment
from scratchlab.evidence import bundle, verify
from scratchlab.evidence.gather import Evidence

LOWER = {"metric": "test_accuracy", "kind": "relation", "versus": "base", "direction": "lower", "source": "made up"}


def experiment(name: str, *claims: dict[str, Any], local: bool = False, **content: Any) -> Experiment:
    whole = {"defaults": [{"override /task": "classify"}], "claims": list(claims)} | content
    return Experiment(name, Path(f"{name}.yaml"), whole, local)


FILES = {name: experiment(name, *([LOWER] if name == "variant" else [])) for name in ("base", "variant", "unrun")}


def published(name: str) -> dict[str, Any]:
    """No record here is of that: with it, none speaks."""
    return {"position": {"base": "first", "variant": "last", "unrun": "mean"}[name]}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    for name, right in (("base", [1, 1, 1, 0]), ("variant", [1, 0, 0, 0]), ("other", [1, 1, 0, 0])):
        for seed in (1, 2, 3):
            write_run(folder, name, seed, correct=np.array(right))
    # of a run that came to no end nothing is asked
    write_run(folder, "variant", 4, status="failed", error="lost", fingerprint=None)
    return folder


def pack(out: Path, path: Path, select: str = "variant", **more: Any) -> Evidence:
    options: dict[str, Any] = {"select": select, "seeds": (), "baseline": ""} | more
    return bundle.pack(out, FILES, path, **options)


def read(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def named(path: Path) -> set[tuple[str, str]]:
    """The names of the runs in a bundle, each with the name of a file."""
    parts = [name.split("/") for name in read(path) if name.startswith("records/")]
    assert all(len(part) == 4 for part in parts)
    return {(part[1], part[3]) for part in parts}


def test_a_bundle_holds_the_selected_records_and_those_that_a_claim_names(out: Path, tmp_path: Path) -> None:
    found = pack(out, tmp_path / "one.zip")
    assert {run.name for run in found.runs} == {"variant"} and [row["versus"] for row in found.verdicts] == ["base"]
    kept = ("config.yaml", "result.json", "history.jsonl", "predictions.csv")
    assert named(tmp_path / "one.zip") == {(name, file) for name in ("base", "variant") for file in kept}
    seeds = [
        json.loads(data)["seed"] for name, data in read(tmp_path / "one.zip").items() if name.endswith("result.json")
    ]
    assert sorted(seeds) == [1, 1, 2, 2, 3, 3, 4]
    pack(out, tmp_path / "some.zip", seeds=(2,))
    seeds = [
        json.loads(data)["seed"] for name, data in read(tmp_path / "some.zip").items() if name.endswith("result.json")
    ]
    assert seeds == [2, 2]
    pack(out, tmp_path / "base.zip", "base,other")
    assert {name for name, _ in named(tmp_path / "base.zip")} == {"base", "other"}
    with pytest.raises(ValueError, match=r"select=nothing out=.*: no record to bundle"):
        pack(out, tmp_path / "none.zip", "nothing")
    assert not (tmp_path / "none.zip").exists()


def test_only_the_files_that_show_something_are_taken(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "out", "base", 1, metrics={"judge_score": 5.0})
    (folder / "scores.json").write_text(json.dumps({"items": [{"score": 5.0}]}))
    (folder / "model.safetensors").write_text("large")
    pack(tmp_path / "out", tmp_path / "one.zip", "base")
    kept = ("config.yaml", "result.json", "history.jsonl", "scores.json")
    assert named(tmp_path / "one.zip") == {("base", file) for file in kept}


def test_the_sweep_that_made_a_packed_run_goes_along(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "out", "base", 1, 0.5)
    for name, runs in (("mine", [folder.name, "0" * 12]), ("others", ["0" * 12])):
        place = tmp_path / "out" / ".sweeps" / name
        place.mkdir(parents=True)
        (place / "sweep.json").write_text(json.dumps({"runs": runs, "baselines": {}}))
    pack(tmp_path / "out", tmp_path / "one.zip", "base")
    assert [name for name in read(tmp_path / "one.zip") if "sweep" in name] == ["records/.sweeps/mine/sweep.json"]


def test_the_same_records_give_the_same_bytes_with_no_time_in_them(out: Path, tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        pack(out, tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        entries = archive.infolist()
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_DEFLATED}
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)


def test_a_manifest_has_the_options_and_the_hash_of_every_other_file(out: Path, tmp_path: Path) -> None:
    pack(out, tmp_path / "one.zip", "variant,base", seeds=(1, 2), baseline="base")
    contents = read(tmp_path / "one.zip")
    manifest = json.loads(contents.pop("manifest.json"))
    assert manifest["options"] == {"select": "variant,base", "seeds": [1, 2], "baseline": "base"}
    assert manifest["sha256"] == {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    (comparison,) = json.loads(contents["tables.json"])
    assert (comparison["task"], comparison["metric"], comparison["baseline"]) == ("classify", "test_accuracy", "base")
    assert [row["name"] for row in comparison["rows"]] == ["base", "variant"] and comparison["flips"]


def test_what_experiments_are_as_published_is_kept_of_those_that_ran(out: Path, tmp_path: Path) -> None:
    pack(out, tmp_path / "one.zip", "variant", published=published)
    stored = json.loads(read(tmp_path / "one.zip")["experiments.json"])
    assert stored["variant"] == {"file": "variant.yaml", "local": False, "content": FILES["variant"].content,
                                 "published": {"position": "last"}}  # fmt: skip
    assert stored["base"]["published"] == {"position": "first"} and "published" not in stored["unrun"]
    pack(out, tmp_path / "two.zip", "variant")
    stored = json.loads(read(tmp_path / "two.zip")["experiments.json"])
    assert not any("published" in entry for entry in stored.values()) and len(stored) == 3


# opened again


@pytest.fixture(scope="module")
def plain(out: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plain") / "bundle.zip"
    pack(out, path)
    return path


@pytest.fixture(scope="module")
def composed(out: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that says what the experiments are as published."""
    path = tmp_path_factory.mktemp("composed") / "bundle.zip"
    pack(out, path, published=published)
    return path


def forged(path: Path, name: str, change: Callable[[Any], Any], *given: Any) -> list[str]:
    """What is said of a copy with one JSON file changed and its hash put right; `change` may give another content."""
    content = json.loads(read(path)[name])
    changed = change(content)
    data = json.dumps(content if changed is None else changed).encode()
    other = repacked(path, name, data, "" if name == bundle.MANIFEST else bundle.MANIFEST)
    try:
        return verify.verify(other, *(given or (FILES,)))
    finally:
        other.unlink()


def test_bundles_as_they_were_packed_verify(plain: Path, composed: Path) -> None:
    assert verify.verify(plain, FILES) == verify.verify(plain, {}) == []
    assert verify.verify(composed, FILES, published) == verify.verify(composed, FILES) == []


def test_where_settings_are_in_no_bundle_those_at_hand_are_taken(plain: Path) -> None:
    asked: list[str] = []

    def at_hand(name: str) -> dict[str, Any]:
        asked.append(name)
        return published(name)

    lines = verify.verify(plain, {"base": FILES["base"]}, at_hand)
    # of an experiment that is not installed either nothing is known
    assert any("is variant was not run as published: the bundle does not say what variant is" in line for line in lines)
    assert asked == ["base"] * len(asked)
    lines = verify.verify(plain, FILES, at_hand)
    assert "variant" in asked and any("is variant was not run as published: config.yaml" in line for line in lines)


def test_settings_that_are_composed_otherwise_are_told(composed: Path) -> None:
    def other(name: str) -> dict[str, Any]:
        return published(name) | ({"tune": "all"} if name == "base" else {})

    assert verify.verify(composed, FILES, other) == ["base as published.tune: was None, is all"]
    lines = verify.verify(composed, {"base": FILES["base"]}, published)
    assert lines == ["variant: the bundle calls it an experiment of the package, and it is not installed"]
    own = forged(composed, "experiments.json", lambda c: c["variant"].update(local=True), {}, published)
    assert "base: the bundle calls it an experiment of the package, and it is not installed" in own
    assert not any(line.startswith("variant: the bundle calls") for line in own)
    with pytest.raises(ValueError, match=r"experiments.json: base: published must be a mapping"):
        forged(composed, "experiments.json", lambda c: c["base"].update(published=5), FILES, published)


def test_experiments_that_are_left_out_or_say_less_are_told(plain: Path) -> None:
    def told(change: Callable[[Any], Any], *given: Any) -> list[str]:
        return [line for line in forged(plain, "experiments.json", change, *given) if ": the bundle" in line]

    left_out = "base: the bundle leaves out this experiment, which is installed"
    assert (
        told(lambda c: c.pop("base") and None, FILES) == [left_out] and told(lambda c: c.pop("base") and None, {}) == []
    )
    assert told(lambda c: c.pop("unrun") and None, FILES) == []  # there is no record of it
    assert forged(plain, "experiments.json", lambda c: [e.pop("local") for e in c.values()] and None, FILES) == []
    assert forged(plain, "experiments.json", lambda c: [e.pop("local") for e in c.values()] and None, {}) == []
    wrong: Any
    for wrong in ("text", {"content": {}}, {"file": "x"}, {"file": "x", "content": []}):
        with pytest.raises(ValueError, match=r"experiments.json: unrun must be a mapping with its file and content"):
            forged(plain, "experiments.json", lambda c, wrong=wrong: c.update(unrun=wrong))  # type: ignore[misc]


def test_what_cannot_be_computed_is_a_line(plain: Path) -> None:
    lines = forged(plain, "experiments.json", lambda c: c["variant"]["content"].update(claims=[5]), {})
    assert len(lines) == 1 and lines[0].startswith("nothing can be computed from what the bundle holds: ")


def test_a_finished_record_without_its_fingerprint_is_told(plain: Path) -> None:
    results = [name for name in read(plain) if name.endswith("result.json")]
    name = next(n for n in results if "/base/" in n and json.loads(read(plain)[n])["seed"] == 2)
    lines = forged(plain, name, lambda c: c.pop("fingerprint") and None)
    assert lines == ["base seed 2: its record has no fingerprint"]
    assert forged(plain, name, lambda c: c.update(fingerprint="", status="failed"))  # other numbers, and that is told
    lines = forged(plain, name, lambda c: c["metrics"].update(test_accuracy=0.5))
    assert "its predictions give 0.75" in lines[0] and lines[0].startswith("spoilt record base/")


@pytest.mark.parametrize("name", ["manifest.json", "experiments.json", "verdicts.json", "tables.json"])
def test_a_file_of_another_form_is_told(plain: Path, name: str) -> None:
    mapping = name in ("manifest.json", "experiments.json")
    right, wrong = ("mapping", "list") if mapping else ("list", "dict")
    with pytest.raises(ValueError, match=f"{name} must be a {right}, found {wrong}; make one with"):
        forged(plain, name, lambda _: [] if mapping else {})
    damaged = repacked(plain, name, b"{")
    with pytest.raises(ValueError, match=f"{name} is no JSON: "):
        verify.verify(damaged, FILES)
    if name != "manifest.json":
        with zipfile.ZipFile(damaged, "w") as archive:
            for member, data in read(plain).items():
                if member != name:
                    archive.writestr(member, data)
        with pytest.raises(ValueError, match=f"holds no {name}; make one with"):
            verify.verify(damaged, FILES)
    damaged.unlink()


RIGHT = {"select": "*", "seeds": [1], "baseline": ""}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (RIGHT, ""),
        (RIGHT | {"seeds": []}, ""),
        ({}, "found none"),
        (None, "found NoneType"),
        ([], "found list"),
        ({"select": "*"}, "the options must be select, seeds, baseline, found select"),
        (RIGHT | {"more": 1}, "found select, seeds, baseline, more"),
        (RIGHT | {"select": 1}, "select and baseline must be texts, seeds a list of whole numbers"),
        (RIGHT | {"baseline": 1}, "select and baseline must be texts"),
        (RIGHT | {"seeds": "1"}, "seeds a list of whole numbers"),
        (RIGHT | {"seeds": [1, "2"]}, "seeds a list of whole numbers"),
        (RIGHT | {"seeds": [1.5]}, "seeds a list of whole numbers"),
    ],
)
def test_the_options_of_a_bundle_are_those_of_the_task(options: Any, said: str) -> None:
    if not said:
        verify._check_options(options)
        return
    with pytest.raises(ValueError, match=said):
        verify._check_options(options)


def test_an_archive_that_cannot_be_unpacked_is_refused(plain: Path, tmp_path: Path) -> None:
    data = bytearray(plain.read_bytes())
    data[60] ^= 0xFF  # in the first entry's content
    (tmp_path / "bundle.zip").write_bytes(data)
    with pytest.raises(ValueError, match=r"bundle.zip: cannot be unpacked: .*; make one with"):
        verify.verify(tmp_path / "bundle.zip", FILES)
    with pytest.raises(ValueError, match="manifest.json: sha256 must be a mapping of file to hash"):
        forged(plain, "manifest.json", lambda c: c.update(sha256=[]))


@pytest.mark.parametrize(("then", "now"), [({"a": 1}, [1]), ([1], {"a": 1}), (1, {"a": 1}), ([1], 1), (1, "1")])
def test_values_of_two_kinds_part_as_a_whole(then: Any, now: Any) -> None:
    assert verify._differences("w", then, now) == [f"w: was {then}, is {now}"]


def test_a_difference_of_the_very_size_that_rounding_may_have_is_none() -> None:
    assert verify._differences("w", 0.0, 1e-9) == []
