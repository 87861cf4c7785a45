"""The page of evidence: made from records alone, whole without the network, and opened in a real browser."""

import html as markup
import json
import re
import shlex
import shutil
import subprocess
from itertools import product
from pathlib import Path

import pytest
from synthetic import write_run

from scratchlab.__main__ import run
from scratchlab.evidence.runs import read_runs
from scratchlab.launch import jobs
from scratchlab.runs import identity, record
from scratchlab.runs.config import TrackingConfig as none
from scratchlab.runs.tracking import Tracker
from scratchlab.tasks.report import Report

SEEDS = (123, 124, 125)
PROBE = """<script>
window.addEventListener("load", () => {
  const outside = performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith("data:"));
  const broken = [...document.images].filter(i => !i.complete || i.naturalWidth === 0).length;
  for (const part of document.querySelectorAll("details")) part.open = true;
  const edge = document.documentElement.clientWidth + 1;
  const hides = e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== "visible";
  const cut = [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > edge || hides(e));
  document.title = JSON.stringify({outside, broken, images: document.images.length,
    tables: document.querySelectorAll("table").length, cut: cut.map(e => e.outerHTML.slice(0, 200)),
    wide: document.documentElement.scrollWidth > window.innerWidth});
});
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two experiments with claims, a grid of four classification arms, and four instruction arms with answers."""
    out = tmp_path_factory.mktemp("records")
    for name, right in (("baseline", 285), ("<b>variant</b>", 270)):
        for place, seed in enumerate(SEEDS):
            claims = [{"metric": "test_accuracy", "kind": "score", "value": 0.95, "n": 300, "source": "made up"}]
            folder = write_run(out, name.replace("/", ""), seed, (right + place) / 300, claims=claims)
            lines = [
                {"step": step, "train_loss": 1 / (step + 1), "val_loss": right / (step + seed)} for step in range(4)
            ]
            (folder / "history.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    for number, (prompt, mask) in enumerate(product(("alpaca", "phi3"), ("false", "true"))):
        for seed in SEEDS:
            choices = {"prompt": prompt, "mask_instruction": mask}
            folder = write_run(
                *(out, "a_rather_long_name_for_an_instruction_run", seed),
                **{"task": "instruct", "choices": choices, "changes": choices, "config": choices},
                metrics={"chrf": 0.3 + 0.02 * number + (seed * (number + 1) % 5) / 1e3, "train_seconds": 3.0},
                losses=[number, seed],
            )
            entry = {"instruction": "Name a <colour>.", "input": "", "output": "Red"}
            answers = [entry | {"model_response": f"answer {number} " + "long" * 40}]
            (folder / "responses.json").write_text(json.dumps(answers))
    result = run(Report(name="report", out=str(out)))
    return Path(result["folder"]) / "report.html"


def test_the_page_holds_everything_and_asks_for_nothing(page: Path) -> None:
    html = page.read_text()
    assert not re.search(r'(src|href)="(https?:)?//', html) and "@import" not in html and "<script" not in html
    for section in ("claims", "compare-classify", "cost", "environment"):
        assert f'id="{section}"' in html
    assert html.count("data:image/png;base64,") >= 3
    assert "prefers-color-scheme: dark" in html and "@media print" in html
    assert "mask" in html and "interaction" in html and "All 6 pairs" in html
    assert "Name a &lt;colour&gt;." in html and "answer 3 long" in html


def test_names_from_records_cannot_break_the_page(page: Path) -> None:
    html = page.read_text()
    assert "&lt;b&gt;variant" in html and "<b>variant" not in html


def test_every_table_lies_beside_the_page_in_four_formats(page: Path) -> None:
    for stem in ("verdicts", "table_classify", "pairs_instruct", "effects_instruct", "cost", "environment"):
        for ending in ("md", "tex", "csv", "json"):
            assert (page.parent / f"{stem}.{ending}").stat().st_size > 0
    assert {path.name for path in page.parent.glob("*.png")} >= {"forest_classify.png", "val_loss_classify.png"}


def test_the_headline_says_in_words_what_was_found(page: Path) -> None:
    html = page.read_text()
    assert "baseline beats &lt;b&gt;variant&lt;b&gt; by 5.0 points [3.3, 6.7], p &lt; .001" in html
    assert re.search(r"phi3, mask beats phi3, no mask by \d\.\d points \[", html)


def test_a_page_of_runs_without_claims_speaks_of_none(tmp_path: Path) -> None:
    for name in ("one", "two"):
        for seed in SEEDS:
            write_run(tmp_path, name, seed, 0.9)
    html = (Path(run(Report(name="report", out=str(tmp_path), select="one,two"))["folder"]) / "report.html").read_text()
    assert 'id="compare-classify"' in html and 'id="claims"' not in html and ">REPRODUCED" not in html


def test_claims_that_the_runs_cannot_speak_about_come_last_and_say_why_once(tmp_path: Path) -> None:
    kinds = ("test_accuracy", "val_accuracy", "train_accuracy")
    claims = [{"metric": of, "kind": "score", "value": 0.95, "n": 300, "source": "made up"} for of in kinds]
    altered = {f"train.key_{number}": "a value of some length" for number in range(5)}
    for name, right in (("one", 0.9), ("two", 0.8)):
        for seed in SEEDS:
            write_run(tmp_path, name, seed, right, claims=claims, changes=altered)
    folder = Path(run(Report(name="report", out=str(tmp_path), select="one,two"))["folder"])
    html = (folder / "report.html").read_text()
    assert html.index('id="compare-classify"') < html.index('id="claims"')
    assert html.count("was not run as published") == 2 and html.count("as for test_accuracy (score)") == 4
    assert (folder / "verdicts.md").read_text().count("was not run as published") == 6, "files say it in every line"


def test_claims_that_are_decided_come_first(page: Path) -> None:
    html = page.read_text()
    assert html.index('id="claims"') < html.index('id="compare-classify"')


def test_many_reproduced_claims_are_a_line_an_experiment_before_they_are_unfolded(tmp_path: Path) -> None:
    made_up = {"metric": "test_accuracy", "kind": "close", "value": 0.9, "source": "made up"}
    write_run(tmp_path, "one", 123, 0.9, claims=[made_up | {"tolerance": 0.1 + place / 100} for place in range(21)])
    folder = Path(run(Report(name="mine", out=str(tmp_path), select="one,mine"))["folder"])
    html = (folder / "report.html").read_text()
    assert html.index("experiments.csv") < html.index("<summary>21 reproduced")
    assert "| one | 21 | 21 REPRODUCED |" in (folder / "experiments.md").read_text()
    assert "records of 1 run," in html and "unfinished" not in html, "a report is no run of its own page"


def test_every_command_on_the_page_composes_to_the_record_of_its_row(tmp_path: Path) -> None:
    lines = (["position=first"], ["position=mean", "train.lr=1e-3"], ["data.size=200", "name=my own"])
    for seed, words in product((123, 124), lines):
        job = jobs.job(["experiment=quickstart", *words, f"seed={seed}", f"out={tmp_path}"])
        found = {"test_accuracy": 0.5 + seed / 1e3 + len(words) / 10}
        # what training would leave: the record is real, the numbers are not
        record.keep(job.config, lambda *_, m=found: m, changes={}, tracker=Tracker(none()), choices=job.choices)
    html = (
        Path(run(Report(name="report", out=str(tmp_path), select="quickstart,my own"))["folder"]) / "report.html"
    ).read_text()
    commands = [markup.unescape(text) for text in re.findall(r"<code>(.*?)</code>", html, re.DOTALL)]
    made = set()
    for line in commands:
        words = shlex.split(line)
        assert words[0] == "scratchlab"
        if "task=report" not in words:
            made |= {identity.fingerprint(job.config) for job in jobs.expand([w for w in words[1:] if w != "-m"])}
    assert made == {one.fingerprint for one in read_runs(tmp_path)} and len(made) == 6


@pytest.mark.parametrize("width", [390, 1280])
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
        "<script>setInterval(() => document.title = frames[0].document.title, 100)</script>"
    )
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=10000"]
    done = subprocess.run(
        [*command, "--window-size=1600,1000", "--dump-dom", frame.as_uri()], capture_output=True, text=True, timeout=120
    )
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title, done.stderr[-2000:]
    found = json.loads(markup.unescape(title[1]))
    assert found == {"outside": [], "broken": 0, "images": 4, "tables": found["tables"], "wide": False, "cut": []}
    assert found["tables"] >= 5
    assert "CONSOLE" not in done.stderr
