"""What a person sees while a run is under way, in terminals of several widths and in a pipe."""

import fcntl
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from scratchlab.cli import arguments, outcome
from scratchlab.launch import jobs
from scratchlab.report import terminal

SCRIPT = """
import logging, time
from scratchlab.progress import ToConsole, progress
logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[ToConsole()])
log = logging.getLogger("scratchlab")
for number in progress(range(40), total=40, what="a_run_with_a_name_that_is_longer_than_a_narrow_terminal_is_wide [x]"):
    time.sleep(0.02)
    if number % 5 == 0:
        log.info("epoch 1, step %d: train loss 0.123, val loss [0.456]", number)
print("the end")
"""
SAID = re.compile(r"epoch 1, step (\d+): train loss 0\.123, val loss \[0\.456\]")


class Screen:
    """As much of a terminal as rows need: carriage return, line feed, cursor up, erasing, wrapping."""

    def __init__(self, width: int) -> None:
        self.rows, self.row, self.column, self.width = [""], 0, 0, width
        self.shown: list[str] = []
        """Every state that a row of text ever had."""

    def feed(self, text: str) -> None:
        for part in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|\x1b.|[\r\n]|[^\x1b\r\n]+", text):
            if part == "\r":
                self.column = 0
            elif part == "\n":
                self.row += 1
                while len(self.rows) <= self.row:
                    self.rows.append("")
            elif part.startswith("\x1b["):
                count = int(re.sub(r"\D", "", part[2:-1]) or 1)
                if part[-1] == "A":
                    self.row = max(0, self.row - count)
                elif part[-1] == "K":
                    self.rows[self.row] = ""
            elif not part.startswith("\x1b"):
                self.write(part)

    def write(self, text: str) -> None:
        for character in text:
            if self.column >= self.width:
                self.column, self.row = 0, self.row + 1
                while len(self.rows) <= self.row:
                    self.rows.append("")
            line = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1
        self.shown.append(self.rows[self.row])


def in_a_terminal(command: list[str], width: int, cwd: Path) -> tuple[Screen, str]:
    """Run a command in a pseudo-terminal of so many columns; its screen, and all that it wrote."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    variables = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=variables | {"TERM": "xterm-256color"}
    )
    os.close(theirs)
    pieces = []
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(ours)
    assert process.wait(timeout=60) == 0
    text = b"".join(pieces).decode()
    screen = Screen(width)
    screen.feed(text)
    return screen, text


@pytest.mark.parametrize("width", [60, 80, 140])
def test_no_log_line_shares_a_row_with_the_bar(width: int, tmp_path: Path) -> None:
    screen, text = in_a_terminal([sys.executable, "-c", SCRIPT], width, tmp_path)
    assert "━" in text and "/40" in text, "there was a bar"
    for row in [*screen.rows, *screen.shown]:
        assert not ("epoch" in row and ("━" in row or "/40" in row)), row
    rows = [row.rstrip() for row in screen.rows if row.strip()]
    assert [SAID.fullmatch(row)[1] for row in rows[:-1]] == [str(n) for n in range(0, 40, 5)]  # type: ignore[index]
    assert rows[-1] == "the end", "the bar is gone, and nothing else"


def test_a_pipe_gets_plain_lines_and_no_bar(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert len(done.stderr.splitlines()) == 8 and all(SAID.fullmatch(line) for line in done.stderr.splitlines())
    assert "\x1b" not in done.stderr + done.stdout and "━" not in done.stderr


@pytest.mark.vocabulary
def test_the_first_words_come_before_anything_slow_and_the_last_ones_say_what_next(tmp_path: Path) -> None:
    words = ["experiment=ch04_1_block_parameters", "tracking=none"]
    command = [sys.executable, "-X", "importtime", "-m", "scratchlab", *words]
    _, text = in_a_terminal(command, 140, tmp_path)
    first = text.index("scratchlab: reading the command")
    for slow in ("hydra", "omegaconf", "torch", "pandas", "rich"):
        loaded = re.search(rf"\| +{slow}\r?$", text, re.MULTILINE)
        assert loaded is None or loaded.start() > first, f"{slow} is loaded before the first words"
    assert "next: scratchlab task=reproduce select=ch04_1_block_parameters" in text
    assert text.count("result.json") == 1


def test_ctrl_c_says_what_is_kept_and_that_the_same_command_goes_on(tmp_path: Path) -> None:
    code = """
import sys
from scratchlab import __main__
from scratchlab.cli import help
def stopped(words):
    raise KeyboardInterrupt
help.page = stopped
sys.argv[1:] = ["task=list"]
__main__.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 130
    assert done.stderr.startswith("interrupted (Ctrl-C): finished runs are kept")
    assert "the same command goes on from there" in done.stderr and len(done.stderr.splitlines()) == 1


TABLE = [
    ["arm", "position=last_real", "position=mean"],
    ["seeds", "123,124,125", "123,124,125"],
    ["test accuracy", "96.56 ± 0.19", "95.56 ± 1.17"],
    ["difference", "+3.11", "+2.11"],
    ["95% interval", "-2.17 to +8.39", "-0.22 to +4.44"],
    ["p (Holm)", "0.14 (0.14)", "0.062 (0.12)"],
    ["finding", "3 seeds with this spread: cannot tell", "no difference shown"],
]


@pytest.mark.parametrize("width", [40, 60, 80, 110, 140, 300])
def test_a_table_fits_any_width_and_breaks_between_words_where_there_is_room(width: int) -> None:
    widths = terminal._widths(TABLE, width)
    words = [max(len(word) for text in texts for word in text.split()) for texts in TABLE]
    assert sum(widths) <= width - 2 * len(TABLE) and min(widths) > 0
    broken = [word for word, room in zip(words, widths, strict=True) if room < word]
    if width >= 110:
        assert not broken
    if width >= 80:
        assert broken in ([], [max(words)]), "a name may be, no word of the others"
    if width == 300:
        assert widths == [max(map(len, texts)) for texts in TABLE], "no wider than what is there"


def test_a_sweep_ends_in_a_command_that_finds_its_records() -> None:
    at = [Path("my records") / name / "0123456789ab" for name in ("one", "two")]
    words = shlex.split(outcome._more(at, ["one", "two"]).split("more with: ")[1])
    job = jobs.job(arguments.prepare(words[1:]))
    assert (job.config.out, vars(job.config)["select"]) == ("my records", "one,two")
    assert "out=" not in outcome._more([Path("outputs/one/0123456789ab")], ["one"])
