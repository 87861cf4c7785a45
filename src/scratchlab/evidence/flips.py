"""Which test items an arm gets right that its baseline gets wrong, and the other way round."""

from typing import Any

from scratchlab.evidence.compare import item_pairs
from scratchlab.evidence.runs import Arm


def flips(arm: Arm, baseline: Arm, metric: str) -> list[dict[str, Any]]:
    """The items that changed from right to wrong and back, those that did so on most seeds first.

    Probabilities are means over the seeds, of class 1.
    """
    seeds = sorted(set(arm.seeds) & set(baseline.seeds))
    pairs = item_pairs(arm, baseline, seeds, metric)
    if not pairs or isinstance(pairs, str):
        return []
    import numpy as np

    lost = np.sum([y.correct > x.correct for x, y in pairs], axis=0)
    gained = np.sum([x.correct > y.correct for x, y in pairs], axis=0)
    ours = np.mean([x.probability for x, _ in pairs], axis=0)
    theirs = np.mean([y.probability for _, y in pairs], axis=0)
    first = pairs[0][0]
    changed = [
        {
            "index": int(first.index[i]),
            "label": int(first.label[i]),
            "seeds_lost": int(lost[i]),
            "seeds_gained": int(gained[i]),
            "seeds": len(pairs),
            "probability_baseline": round(float(theirs[i]), 6),
            "probability": round(float(ours[i]), 6),
        }
        for i in range(len(first.index))
        if lost[i] or gained[i]
    ]
    return sorted(changed, key=lambda item: (-abs(item["seeds_lost"] - item["seeds_gained"]), item["index"]))
