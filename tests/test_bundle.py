"""Bundles: everything in them can be computed again, and whatever was changed is found."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from synthetic import repacked, write_run

from scratchlab.book import experiments
from scratchlab.evidence import bundle
from scratchlab.evidence.verify import verify

BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "tensorflow", "tiktoken", "transformers"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
from scratchlab.__main__ import main
main()
"""


@pytest.fixture()
def packed(tmp_path: Path) -> Path:
    out = tmp_path / "records"
    for name, right in (("baseline", 285), ("variant", 270)):
        for place, seed in enumerate((123, 124, 125)):
            claim = {"metric": "test_accuracy", "kind": "score", "value": 0.95, "n": 300, "source": "made up"}
            relation = {"metric": "test_accuracy", "kind": "relation", "versus": "baseline", "direction": "lower"}
            claims = [claim] if name == "baseline" else [relation | {"source": "made up"}]
            write_run(out, name, seed, (right + place) / 300, claims=claims)
    path = tmp_path / "bundle.zip"
    bundle.pack(out, experiments.read_all(), path, select="baseline,variant", seeds=(), baseline="")
    shutil.rmtree(out)
    return path


def rewritten(path: Path, name_ends: str, old: str, new: str, *, forge: bool = False) -> Path:
    """A copy with one text replaced in the first file of that name; `forge`: with its hash put right."""
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in sorted(archive.namelist()) if n.endswith(name_ends))
        content = archive.read(name)
    assert old.encode() in content
    changed = content.replace(old.encode(), new.encode(), 1)
    return repacked(path, name, changed, bundle.MANIFEST if forge else "")


def test_an_untouched_bundle_verifies(packed: Path) -> None:
    assert verify(packed, experiments.read_all()) == []


def test_a_changed_file_is_named(packed: Path) -> None:
    changed = rewritten(packed, "predictions.csv", "0.9", "0.8")
    assert any("predictions.csv: was changed" in line for line in verify(changed, {}))


def test_a_forged_metric_is_found_by_its_own_predictions(packed: Path) -> None:
    changed = rewritten(packed, "result.json", '"test_accuracy": 0.95', '"test_accuracy": 0.99', forge=True)
    lines = verify(changed, {})
    assert any("its predictions give 0.95" in line for line in lines)
    assert any(line.startswith("verdicts[baseline") for line in lines)


def test_a_forged_verdict_is_found(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        old = json.loads(archive.read("verdicts.json"))[0]["verdict"]
    changed = rewritten(packed, "verdicts.json", old, "FORGED", forge=True)
    assert any("was FORGED" in line for line in verify(changed, {}))


def test_a_bundle_with_other_claims_than_the_installed_ones_is_told(packed: Path) -> None:
    changed = rewritten(packed, "experiments.json", "0.9567", "0.9568", forge=True)
    assert any("claims are not those" in line for line in verify(changed, experiments.read_all()))


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    path.write_text("no zip")
    with pytest.raises(ValueError, match="no zip file"):
        verify(path, {})


def test_the_command_verifies_without_torch_weights_or_data(packed: Path, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("SCRATCHLAB_MIRROR", "SCRATCHLAB_CACHE")}

    def command_of(path: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", BLOCKED, "task=verify", f"bundle={path}", f"out={tmp_path / 'out'}"]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120)

    good = command_of(packed)
    assert good.returncode == 0 and "nothing differs" in good.stdout, good.stderr
    bad = command_of(rewritten(packed, "predictions.csv", "0.9", "0.8"))
    assert bad.returncode == 1 and "was changed" in bad.stdout, bad.stderr
