"""All verdicts of one table together: which misses chance explains."""

from collections.abc import Sequence
from dataclasses import dataclass

from scratchlab import stats
from scratchlab.book.claims import Stated
from scratchlab.evidence.verdicts.outcome import Decision, Verdict


@dataclass(frozen=True)
class Misses:
    """NOT_REPRODUCED, by whether chance has a part in it."""

    certain: int
    """By an equality, a divergence or a gross difference: a claim that holds does not miss these."""
    family: stats.Family

    @property
    def beyond_chance(self) -> int:
        """Those that the exit code rests on: the certain ones, and all others if chance alone does not explain them."""
        return self.certain + (self.family.missed if self.family.beyond else 0)

    def lines(self) -> list[str]:
        """What is to be said of them."""
        one, said = self.family, []
        if one.tests:
            explained = "more than chance explains" if one.beyond else "no more than chance explains"
            said.append(
                f"{one.missed} NOT_REPRODUCED among {one.tests} claims that are tested against chance (scores, "
                f"relations, counts); {one.low} to {one.high} are expected by chance"
                + (f": {explained}" if one.missed else "")
            )
        if self.certain:
            said.append(f"{self.certain} NOT_REPRODUCED in which chance has no part (unequal, diverged, grossly off)")
        return said


def misses(found: Sequence[tuple[Stated, Decision]]) -> Misses:
    """Hold all NOT_REPRODUCED of a table against what chance makes one expect; claims of one experiment share runs.

    A finding that another model does not show is none of them: nothing that was published failed.
    """
    found = [(stated, one) for stated, one in found if not stated.claim.is_finding]
    tested = [
        stats.Outcome(stated.experiment, one.chance, one.verdict is Verdict.NOT_REPRODUCED, one.p)
        for stated, one in found
        if one.chance
    ]
    certain = sum(one.verdict is Verdict.NOT_REPRODUCED and not one.chance for _, one in found)
    return Misses(certain, stats.family(tested))
