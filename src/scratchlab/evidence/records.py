"""The records below a folder by name, each opened only when it is asked for."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from scratchlab.evidence import index
from scratchlab.evidence.index import Found
from scratchlab.evidence.runs import RunRecord, read_runs
from scratchlab.matching import matches


class Records(Mapping[str, Sequence[RunRecord]]):
    """Every run below `out`, by the name that its record has; those of tasks that only report on others are left out.

    `seeds`: only these; `keep`: as in `index.below`. What was read once is not read again.
    """

    def __init__(self, out: Path | str, seeds: Sequence[int] = (), *, keep: bool = True) -> None:
        self.found = _chosen(index.below(out, keep=keep), seeds)
        """In order of folders."""
        self._by_name: dict[str, list[Found]] = {}
        for one in self.found:
            self._by_name.setdefault(one.entry.name, []).append(one)
        self._read: dict[str, list[RunRecord]] = {}

    def __getitem__(self, name: str) -> list[RunRecord]:
        if name not in self._read:
            self._read[name] = [one.read() for one in self._by_name[name]]
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def with_claims(self, name: str) -> RunRecord | None:
        """The first run of a name whose record states claims of its own."""
        first = next((one for one in self._by_name.get(name, ()) if one.entry.claims), None)
        return first.read() if first else None

    def matching(self, select: str) -> list[RunRecord]:
        """The runs whose names match one of the comma-separated globs, in order of folders."""
        wanted = {name for name in self if matches(name, select)}
        runs = {run.folder: run for name in wanted for run in self[name]}
        return [runs[one.folder] for one in self.found if one.entry.name in wanted]


def read(out: Path | str, select: str = "*", seeds: Sequence[int] = ()) -> list[RunRecord]:
    """What `runs.read_runs` reads; where seeds are asked for, only their records are opened."""
    if not seeds:  # all of them are opened
        return read_runs(out, select)
    return [one.read() for one in _chosen(index.below(out, select), seeds)]


def _chosen(found: Sequence[Found], seeds: Sequence[int]) -> list[Found]:
    return [one for one in found if not one.about_records and (not seeds or one.entry.seed in seeds or one.problems)]
