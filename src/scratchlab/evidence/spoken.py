"""What is said now of the claims about one experiment, in a word each: for trackers."""

from pathlib import Path

from scratchlab.book import experiments
from scratchlab.evidence.configuration import Published
from scratchlab.evidence.gather import claims_about
from scratchlab.evidence.records import Records
from scratchlab.evidence.verdicts import decide, row


def verdicts(out: Path | str, name: str, published: Published) -> dict[str, str]:
    """By claim, as `test_accuracy:score`, its verdict from all records below `out`; the last of two of one label."""
    files, runs = experiments.read_all(), Records(out)
    about = claims_about(name, files, runs)
    rows = [(stated, row(stated, decide(stated, runs, files, published))) for stated in about]
    return {stated.label.partition(":")[2]: found["verdict"] for stated, found in rows}
