"""How far two judges agree about the same responses."""

from collections.abc import Sequence
from typing import Any


def agreement(scores: Sequence[int | None], others: Sequence[int | None]) -> dict[str, float]:
    """Compare two judges over the responses that both scored.

    `bias`: mean difference in points. `same`: share of equal scores. Correlations are NaN where a judge gives
    everything the same score.
    """
    from scipy import stats

    pairs = [(a, b) for a, b in zip(scores, others, strict=True) if a is not None and b is not None]
    if len(pairs) < 2:
        return {"pairs": len(pairs), "bias": float("nan"), "same": float("nan")}
    a, b = ([pair[side] for pair in pairs] for side in (0, 1))
    constant = len(set(a)) == 1 or len(set(b)) == 1
    correlations: dict[str, Any] = {
        "pearson": stats.pearsonr,
        "spearman": stats.spearmanr,
        "kendall": stats.kendalltau,
    }
    return {
        "pairs": len(pairs),
        "bias": sum(x - y for x, y in pairs) / len(pairs),
        "same": sum(x == y for x, y in pairs) / len(pairs),
    } | {name: float("nan") if constant else float(of(a, b).statistic) for name, of in correlations.items()}
