"""Make a folder of results from records: a bundle, and pages that are made from the bundle alone.

    python tests/results.py NAME OUTPUTS

Packs the runs below OUTPUTS that belong to results/NAME, and writes its pages. `test_results.py` makes the pages again
from every bundle and holds them against those that are there.
"""

import os
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from unittest.mock import patch

from scratchlab.launch import compose
from scratchlab.launch.execute import run
from scratchlab.matching import matches

RESULTS = Path(__file__).resolve().parents[1] / "results"
SELECT = {
    "smol_ch06": "smol_ch06_*",
    "smol_ch07": "smol_ch07_*",
    "numbers": "ch0[2-5]*,ch06_row10*,ch07_bonus*,ch[ADE]*",
}
"""What a folder of results is about."""
BASELINE = {"smol_ch06": "smol_ch06_row01_baseline", "smol_ch07": "smol_ch07_main"}
"""Of those that compare arms."""
BUNDLE = "bundle.zip"


def pages(bundle: Path, name: str, folder: Path) -> dict[str, str]:
    """The pages of a bundle, by file; `folder` is an empty one to work in."""
    with zipfile.ZipFile(bundle) as packed:
        for member in packed.namelist():
            if member.startswith("records/"):
                place = folder / "outputs" / member.removeprefix("records/")
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(packed.read(member))
    words = [f"select='{SELECT[name]}'", f"out={folder / 'outputs'}"]
    # from the bundle alone: what is told with the data at hand would differ from machine to machine
    with patch.dict(os.environ, {"SCRATCHLAB_MIRROR": "", "SCRATCHLAB_CACHE": str(folder / "cache")}):
        reproduced = Path(run(compose.compose(["task=reproduce", *words]))["folder"])
        if name not in BASELINE:
            return {page: (reproduced / page).read_text(encoding="utf-8") for page in ("experiments.md", "verdicts.md")}
        compared = Path(run(compose.compose(["task=compare", f"baseline={BASELINE[name]}", *words]))["folder"])
    made = {page: (compared / page).read_text(encoding="utf-8") for page in ("table.md", "table.csv")}
    return made | {"findings.md": (reproduced / "findings.md").read_text(encoding="utf-8")}


def main() -> None:
    name, made = sys.argv[1], Path(sys.argv[2])
    place = RESULTS / name
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder) / "packed" / "outputs"
        for record in sorted(path for path in made.iterdir() if matches(path.name, SELECT[name])):
            shutil.copytree(record, outputs / record.name)
        for config in outputs.rglob("config.yaml"):  # where they were made is nobody's business, and no part of a run
            config.write_text(re.sub(r"^out: .*$", "out: outputs", config.read_text(), flags=re.MULTILINE))
        words = [f"select='{SELECT[name]}'", f"baseline={BASELINE.get(name, '')}", f"out={outputs}"]
        shutil.copyfile(Path(run(compose.compose(["task=bundle", *words]))["folder"]) / BUNDLE, place / BUNDLE)
        for file, text in pages(place / BUNDLE, name, Path(folder) / "pages").items():
            (place / file).write_text(text, encoding="utf-8")
            print(place / file)


if __name__ == "__main__":
    main()
