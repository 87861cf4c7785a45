"""Evidence in one file: what anyone needs to compute every table and verdict again, without torch, weights or data."""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scratchlab.book.experiments import Experiment
from scratchlab.evidence.gather import Evidence, gather
from scratchlab.evidence.runs import PREDICTIONS, RunRecord, read_runs
from scratchlab.files import as_json, in_one_step
from scratchlab.runs import record
from scratchlab.runs.metrics import METRICS

MANIFEST, EXPERIMENTS, VERDICTS, TABLES = "manifest.json", "experiments.json", "verdicts.json", "tables.json"
FILES = (record.CONFIG, record.RESULT, record.HISTORY, PREDICTIONS)
"""What is taken of each record."""


def pack(
    out: Path | str,
    experiments: Mapping[str, Experiment],
    path: Path,
    *,
    select: str,
    seeds: Sequence[int],
    baseline: str,
) -> Evidence:
    """Write the bundle; the same records give the same bytes.

    Raises:
        ValueError: no record is selected.
    """
    found = gather(out, experiments, select=select, seeds=seeds, baseline=baseline)
    if not found.runs:
        raise ValueError(f"select={select} out={out}: no record to bundle")
    others = {row["versus"] for row in found.verdicts} - {run.name for run in found.runs}
    runs = [*found.runs, *(run for run in read_runs(out, seeds=seeds) if run.name in others)]
    contents = {f"records/{r.name}/{r.folder.name}/{f.name}": f.read_bytes() for r in runs for f in _files(r)}
    used = {name: {"file": e.path.name, "content": e.content} for name, e in experiments.items()}
    contents |= {
        EXPERIMENTS: as_json(used).encode(),
        VERDICTS: as_json(found.verdicts).encode(),
        TABLES: as_json(tables(found)).encode(),
    }
    manifest = {
        "options": {"select": select, "seeds": list(seeds), "baseline": baseline},
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())},
    }
    contents[MANIFEST] = as_json(manifest).encode()
    with in_one_step(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(contents.items()):
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)  # ZipInfo: no time of today
    return found


def _files(run: RunRecord) -> list[Path]:
    return [run.folder / name for name in FILES if (run.folder / name).is_file()]


def tables(found: Evidence) -> list[dict[str, Any]]:
    return [
        {"task": c.task, "metric": c.metric, "baseline": c.baseline.label, "rows": c.rows, "flips": c.flips}
        for c in found.comparisons
    ]


def verify(path: Path, installed: Mapping[str, Experiment]) -> list[str]:
    """Compute everything in a bundle again and say what differs, in lines; none if nothing does.

    `installed`: the experiments at hand, whose claims must be those of the bundle.

    Raises:
        ValueError: this is no bundle.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(f"bundle={path}: no zip file; make one with: scratchlab task=bundle")
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
        if MANIFEST not in archive.namelist():
            raise ValueError(f"bundle={path}: holds no {MANIFEST}; make one with: scratchlab task=bundle")
        archive.extractall(folder)
        root = Path(folder)
        manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        lines = _changed_files(root, manifest["sha256"])
        stored = json.loads((root / EXPERIMENTS).read_text(encoding="utf-8"))
        experiments = {name: Experiment(name, Path(e["file"]), e["content"]) for name, e in stored.items()}
        lines += _changed_claims(experiments, installed)
        found = gather(root / "records", experiments, **manifest["options"])
        for run in found.runs:
            lines += _accuracies(run)
        for name, now in ((VERDICTS, found.verdicts), (TABLES, tables(found))):
            then = json.loads((root / name).read_text(encoding="utf-8"))
            lines += _differences(name.removesuffix(".json"), then, json.loads(as_json(now)))
        return lines


def _changed_files(root: Path, hashes: Mapping[str, str]) -> list[str]:
    there = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} - {MANIFEST}
    lines = [f"{name}: is missing" for name in sorted(set(hashes) - there)]
    lines += [f"{name}: is not in the manifest" for name in sorted(there - set(hashes))]
    for name in sorted(there & set(hashes)):
        if hashlib.sha256((root / name).read_bytes()).hexdigest() != hashes[name]:
            lines.append(f"{name}: was changed after it was packed")
    return lines


def _changed_claims(bundled: Mapping[str, Experiment], installed: Mapping[str, Experiment]) -> list[str]:
    return [
        f"{name}: the bundle's claims are not those of the installed experiment file"
        for name in sorted(set(bundled) & set(installed))
        if json.loads(as_json(bundled[name].claims)) != json.loads(as_json(installed[name].claims))
    ]


def _accuracies(run: RunRecord) -> list[str]:
    """Accuracies of a record that its own predictions do not give.

    The training accuracy may leave out a last incomplete batch, which another order would choose otherwise.
    """
    lines = []
    for name in (name for name, declared in METRICS.items() if declared.from_predictions):
        said, items = run.metrics.get(name), run.items(METRICS[name].split)
        if isinstance(said, float) and items is not None and abs(items.correct.mean() - said) > 1e-9:
            lines.append(
                f"{run.name} seed {run.seed}: {name} is said to be {said:.6g}, "
                f"its predictions give {items.correct.mean():.6g}"
            )
    return lines


def _differences(where: str, then: Any, now: Any) -> list[str]:
    """Where two JSON values part; numbers may differ in the last digits, which another machine rounds otherwise."""
    if isinstance(then, dict) and isinstance(now, dict):
        keys = dict.fromkeys((*then, *now))
        return [line for key in keys for line in _differences(f"{where}.{key}", then.get(key), now.get(key))]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        pairs = enumerate(zip(then, now, strict=True))
        return [line for i, (a, b) in pairs for line in _differences(f"{where}[{_name(a, i)}]", a, b)]
    if isinstance(then, int | float) and isinstance(now, int | float):
        return [] if abs(then - now) <= 1e-9 * max(1.0, abs(then)) else [f"{where}: was {then}, is {now}"]
    return [] if then == now else [f"{where}: was {str(then)[:120]}, is {str(now)[:120]}"]


def _name(item: Any, index: int) -> str:
    """What a list entry is called in a message."""
    if isinstance(item, dict):
        return ":".join(
            str(item[key]) for key in ("experiment", "name", "task", "metric", "kind") if key in item
        ) or str(index)
    return str(index)
