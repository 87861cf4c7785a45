"""The page of evidence: made from records alone, whole without the network, and opened in a real browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from synthetic import write_run

from scratchlab.__main__ import run
from scratchlab.tasks.report import Report

SEEDS = (123, 124, 125)
PROBE = """<script>
window.addEventListener("load", () => {
  const outside = performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith("data:"));
  const broken = [...document.images].filter(i => !i.complete || i.naturalWidth === 0).length;
  document.title = JSON.stringify({outside, broken, images: document.images.length,
    tables: document.querySelectorAll("table").length,
    wide: document.documentElement.scrollWidth > window.innerWidth});
});
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("records")
    for name, right in (("baseline", 285), ("<b>variant</b>", 270)):
        for place, seed in enumerate(SEEDS):
            claims = [{"metric": "test_accuracy", "kind": "score", "value": 0.95, "n": 300, "source": "made up"}]
            folder = write_run(out, name.replace("/", ""), seed, (right + place) / 300, claims=claims)
            lines = [{"step": step, "train_loss": 1 / (step + 1), "val_loss": 2 / (step + 1)} for step in range(4)]
            (folder / "history.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    result = run(Report(name="report", out=str(out)))
    return Path(result["folder"]) / "report.html"


def test_the_page_holds_everything_and_asks_for_nothing(page: Path) -> None:
    html = page.read_text()
    assert not re.search(r'(src|href)="(https?:)?//', html) and "@import" not in html and "<script" not in html
    for section in ("claims", "compare-classify", "cost", "environment"):
        assert f'id="{section}"' in html
    assert html.count("data:image/png;base64,") >= 3
    assert "prefers-color-scheme: dark" in html and "@media print" in html
    assert "scratchlab -m experiment=baseline seed=123,124,125" in html


def test_names_from_records_cannot_break_the_page(page: Path) -> None:
    html = page.read_text()
    assert "&lt;b&gt;variant" in html and "<b>variant" not in html


def test_every_table_lies_beside_the_page_in_four_formats(page: Path) -> None:
    for stem in ("verdicts", "table_classify", "cost", "environment"):
        for ending in ("md", "tex", "csv", "json"):
            assert (page.parent / f"{stem}.{ending}").stat().st_size > 0
    assert {path.name for path in page.parent.glob("*.png")} >= {"forest_classify.png", "val_loss_classify.png"}


@pytest.mark.parametrize("width", [390, 1400])
def test_a_browser_shows_it_without_errors_or_requests(page: Path, tmp_path: Path, width: int) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on the PATH: apt-get install chromium")
    probed = tmp_path / "page.html"
    # an iframe, because a browser window is never narrower than 500 pixels
    probed.write_text(page.read_text().replace("</body>", PROBE + "</body>"))
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe src="page.html" style="width:{width}px;height:900px"></iframe>'
        "<script>setTimeout(() => document.title = frames[0].document.title, 1500)</script>"
    )
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=4000"]
    done = subprocess.run(
        [*command, "--window-size=1600,1000", "--dump-dom", frame.as_uri()], capture_output=True, text=True, timeout=120
    )
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title, done.stderr[-2000:]
    found = json.loads(title[1].replace("&quot;", '"'))
    assert found == {"outside": [], "broken": 0, "images": 3, "tables": found["tables"], "wide": False}
    assert found["tables"] >= 5
    assert "CONSOLE" not in done.stderr
