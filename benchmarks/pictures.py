"""The pictures of the README: python benchmarks/pictures.py OUT; needs chromium, and a Unix terminal.

docs/report.png is a part of the page that task=report makes of the records below OUT; docs/terminal.svg is how a sweep
over the same experiments ends. Both show records, so nothing in them is made up.
"""

import argparse
import fcntl
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

EXPERIMENTS = [f"smol_ch06_{row}" for row in ("row01_baseline", "3_first_token", "row16_last_real", "row19_mean")]
DOCS = Path(__file__).parents[1] / "docs"
LEFT_OUT = "#claims, #findings { display: none; }"
COLUMNS, WIDTH, HEIGHT = 124, 1100, 1150
"""Of the terminal in letters, of the page in pixels."""


def said(words: list[str], cwd: Path) -> str:
    """What a command says on a terminal, colours included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    surroundings = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-m", "scratchlab", *words]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=surroundings | {"TERM": "xterm-256color"}
    )
    os.close(theirs)
    found = b""
    while True:
        try:
            more = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not more:
            break
        found += more
    if process.wait():
        raise SystemExit(f"{shlex.join(command)}: exit code {process.returncode}\n{found.decode()}")
    return found.decode().replace("\r\n", "\n")


def draw_terminal(typed: str, text: str) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    console.print(Text(f"$ {typed}", style="bold"))
    paragraphs = re.split(r"\n\s*\n", text)  # the title, the table, the headline, and then notes on each arm
    console.print(Text.from_ansi("\n\n".join(paragraphs[:3])))
    svg = console.export_svg(title="scratchlab")
    # no font is fetched: a picture asks nobody
    (DOCS / "terminal.svg").write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL), encoding="utf-8")


def draw_page(page: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("no chromium on the PATH: apt-get install chromium")
    # the picture is of the comparison: what stands above it on the page is left out
    shown = page.with_name("shown.html")
    shown.write_text(page.read_text(encoding="utf-8").replace("</head>", f"<style>{LEFT_OUT}</style></head>"))
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        options += ["--hide-scrollbars", f"--user-data-dir={profile}", f"--window-size={WIDTH},{HEIGHT}"]
        options += ["--blink-settings=preferredColorScheme=1", f"--screenshot={DOCS / 'report.png'}"]
        subprocess.run([browser, *options, shown.as_uri()], check=True, capture_output=True, timeout=300)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="where the records are")
    parser.add_argument("--experiments", default=",".join(EXPERIMENTS))
    parser.add_argument("--seeds", default="123,124,125")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        records = Path(work) / "outputs"
        for name in given.experiments.split(","):
            shutil.copytree(given.out / name, records / name)
        words = [f"experiment={given.experiments}", f"seed={given.seeds}"]
        typed = shlex.join(["scratchlab", "-m", *words])
        draw_terminal(typed, said(["-m", *words, "tracking=none"], Path(work)))
        said(["task=report", f"select={given.experiments}", "name=page"], Path(work))
        (page,) = records.glob("page/*/report.html")
        draw_page(page)


if __name__ == "__main__":
    main()
