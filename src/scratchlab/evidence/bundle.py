"""Evidence in one file: what anyone needs to compute every table and verdict again, without torch, weights or data.

That a bundle verifies says that it is consistent: with itself, and with the experiments installed here. Whoever makes
records up, predictions and all, makes a consistent bundle.
"""

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scratchlab.book.experiments import Experiment
from scratchlab.evidence import sweeps
from scratchlab.evidence.configuration import Published
from scratchlab.evidence.gather import Evidence, gather
from scratchlab.evidence.predictions import PREDICTIONS, SCORES
from scratchlab.evidence.records import Records
from scratchlab.evidence.runs import RunRecord
from scratchlab.files import as_json, in_one_step
from scratchlab.runs import record

MANIFEST, EXPERIMENTS, VERDICTS, TABLES = "manifest.json", "experiments.json", "verdicts.json", "tables.json"
FILES = (record.CONFIG, record.RESULT, record.HISTORY, PREDICTIONS, SCORES)
"""What is taken of each record."""


def pack(
    out: Path | str,
    experiments: Mapping[str, Experiment],
    path: Path,
    *,
    select: str,
    seeds: Sequence[int],
    baseline: str,
    published: Published | None = None,
) -> Evidence:
    """Write the bundle; the same records give the same bytes.

    Raises:
        ValueError: no record is selected.
    """
    found = gather(out, experiments, select=select, seeds=seeds, baseline=baseline, published=published)
    if not found.runs:
        raise ValueError(f"select={select} out={out}: no record to bundle")
    others = {row["versus"] for row in found.verdicts} - {run.name for run in found.runs}
    named = Records(out, seeds)
    runs = [*found.runs, *(run for name in named if name in others for run in named[name])]
    contents = {
        f"records/{r.folder.parent.name}/{r.folder.name}/{f.name}": f.read_bytes() for r in runs for f in _files(r)
    }
    # the order of a sweep decides which arm is the baseline
    contents |= {f"records/{p.relative_to(out)}": p.read_bytes() for p in sweeps.of(Path(out), runs)}
    there = {run.name for run in runs}
    used = {
        name: {"file": e.path.name, "local": e.local, "content": e.content}
        | ({"published": published(name)} if published and name in there else {})
        for name, e in experiments.items()
    }
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
