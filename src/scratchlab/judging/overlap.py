"""How alike responses and reference outputs are, without a judge."""

import logging
from collections.abc import Sequence


def overlap(responses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Metrics of a whole split, as fractions.

    `exact_match`: share of responses that are the reference, outer whitespace aside. `rouge_l`: mean F-measure of the
    longest common subsequence of words (Lin 2004). `chrf`: F-score of character n-grams over all texts together
    (Popović 2015). `response_words` and `reference_words`: mean lengths. `empty_responses`: a count.
    """
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import CHRF

    logging.getLogger("absl").setLevel(logging.WARNING)  # it announces which tokenizer it takes
    if len(responses) != len(references) or not responses:
        raise ValueError(f"{len(responses)} responses and {len(references)} references; must be as many, and some")
    rouge = RougeScorer(["rougeL"])
    both = list(zip(responses, references, strict=True))
    return {
        "exact_match": sum(response.strip() == reference.strip() for response, reference in both) / len(both),
        "rouge_l": sum(rouge.score(reference, response)["rougeL"].fmeasure for response, reference in both) / len(both),
        "chrf": CHRF().corpus_score(list(responses), [list(references)]).score / 100,
        "response_words": sum(len(response.split()) for response in responses) / len(both),
        "reference_words": sum(len(reference.split()) for reference in references) / len(both),
        "empty_responses": sum(not response.strip() for response in responses),
    }
