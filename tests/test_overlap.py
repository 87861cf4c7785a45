"""Metrics that need no judge, on the author's published answers and on texts whose overlap is known."""

import json

import pytest
from conftest import real

from scratchlab.assets import catalogue
from scratchlab.judging.overlap import overlap


def test_17_of_the_author_s_110_answers_are_the_reference_to_the_letter() -> None:
    # counted in instruction-data-with-response.json, which chapter 7's script wrote
    entries = json.loads(real(catalogue.ANSWERED).read_text(encoding="utf-8"))
    found = overlap([entry["model_response"] for entry in entries], [entry["output"] for entry in entries])
    assert found["exact_match"] == 17 / 110 and found["empty_responses"] == 0
    assert 0.5 < found["rouge_l"] < 0.9 and 0.5 < found["chrf"] < 0.9


def test_equal_texts_score_1_and_unlike_ones_0() -> None:
    same = overlap(["a red house", " one "], ["a red house", "one"])
    assert (same["exact_match"], same["rouge_l"], same["chrf"]) == pytest.approx((1, 1, 1))
    other = overlap(["xyz", ""], ["abc", "abc"])
    assert (other["exact_match"], other["rouge_l"], other["chrf"], other["empty_responses"]) == (0, 0, 0, 1)


def test_rouge_l_is_the_f_measure_of_the_longest_common_subsequence() -> None:
    # Lin 2004, section 3: reference "police killed the gunman", candidate "police kill the gunman": LCS of 3 in 4 and 4
    found = overlap(["police kill the gunman"], ["police killed the gunman"])
    assert found["rouge_l"] == pytest.approx(0.75)
    assert (found["response_words"], found["reference_words"]) == (4, 4)


def test_as_many_references_as_responses_are_needed() -> None:
    with pytest.raises(ValueError, match="1 responses and 2 references"):
        overlap(["a"], ["a", "b"])
