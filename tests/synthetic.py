"""Records with a known truth, written as the contract says, so that verdicts and tables can be held against it."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ITEMS = 300


def outcomes(accuracy: float, *, seed: int, items: int = ITEMS) -> np.ndarray:
    """Right (1) and wrong (0) with exactly round(accuracy * items) right; items differ in difficulty."""
    right = round(accuracy * items)
    difficulty = np.random.default_rng(0).normal(size=items) + 0.5 * np.random.default_rng(seed).normal(size=items)
    found = np.zeros(items, dtype=int)
    found[np.argsort(difficulty)[:right]] = 1
    return found


def write_run(
    out: Path,
    name: str,
    seed: int,
    accuracy: float | None = None,
    *,
    correct: np.ndarray | None = None,
    config: dict[str, Any] | None = None,
    metrics: dict[str, Any] | None = None,
    losses: list[float] | None = None,
    **result: Any,
) -> Path:
    """Write one finished run; `result` replaces or adds fields, a field given as None is left out."""
    config = {"name": name, "seed": seed} | (config or {})
    content = json.dumps([name, seed, config], sort_keys=True, default=str)
    folder = out / name / hashlib.sha256(content.encode()).hexdigest()[:12]
    folder.mkdir(parents=True)
    if correct is None and accuracy is not None:
        correct = outcomes(accuracy, seed=seed)
    metrics = dict(metrics or {})
    if correct is not None:
        metrics.setdefault("test_accuracy", float(correct.mean()))
        write_predictions(folder, correct)
    fields: dict[str, Any] = {
        "name": name, "task": "classify", "status": "done", "error": "", "fingerprint": folder.name, "changes": {},
        "seed": seed, "metrics": metrics, "claims": [], "seconds": 1.0, "started": "2026-01-01T00:00:00+00:00",
        "versions": {"python": "3.11", "torch": "2.13"}, "git": {"commit": None, "dirty": None},
        "hashes": {"data": "d" * 64, "weights": "random"}, "device": "cpu",
    } | result  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "result.json").write_text(json.dumps({k: v for k, v in fields.items() if v is not None}))
    if losses is None:
        losses = list(np.random.default_rng([seed, len(name)]).normal(1, 0.1, 5))
    lines = [json.dumps({"step": step, "batch_loss": float(loss)}) for step, loss in enumerate(losses)]
    (folder / "history.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def repacked(path: Path, name: str, content: bytes, manifest: str = "") -> Path:
    """A copy of a bundle with one file changed; with `manifest`, the name of that file, its hash is put right there."""
    with zipfile.ZipFile(path) as archive:
        contents = {member: archive.read(member) for member in archive.namelist()}
    contents[name] = content
    if manifest:
        listed = json.loads(contents[manifest])
        listed["sha256"][name] = hashlib.sha256(content).hexdigest()
        contents[manifest] = json.dumps(listed).encode()
    other = path.with_name("changed.zip")
    with zipfile.ZipFile(other, "w") as archive:
        for member, data in contents.items():
            archive.writestr(member, data)
    return other


def write_predictions(folder: Path, correct: np.ndarray) -> None:
    label = np.arange(len(correct)) % 2
    prediction = np.where(correct == 1, label, 1 - label)
    rows = [f"test,{i},{a},{b},{0.9 if b else 0.1}" for i, (a, b) in enumerate(zip(label, prediction, strict=True))]
    (folder / "predictions.csv").write_text("\n".join(["split,index,label,prediction,probability", *rows]) + "\n")
