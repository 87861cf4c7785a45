"""What is read from a judge's answer: a table of answers, and properties over searched ones."""

import json
import os
import time

import pytest
from conftest import real
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchlab.assets import catalogue
from scratchlab.judging.parser import parse

settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))  # a red test has a change to thank, not chance

Case = tuple[str, int | None]

PLAIN: list[Case] = [
    *[("85", 85), (" 85\n", 85), ("Score: 85", 85), ("**85**", 85), ("85/100", 85), ("85 out of 100.", 85)],
    *[("85.0", 85), ("0", 0), ("100", 100), ("100/100", 100), ("I give it an 85, yes 85.", 85), ("85%", 85)],
    *[("85.", 85), ("# 85", 85), ("_85_", 85), ("__85__", 85), ("(85)", 85), ("85 points", 85), ("'85'", 85)],
    *[("85 (out of 100)", 85), ('"85"', 85), ("`85`", 85), ("```\n85\n```", 85), ("“85”", 85), ("85\r\n", 85)],
    *[("Score: 85.0", 85), ("score=85", 85), ("Score - 85", 85), ("Score 85", 85), ("SCORE：85", 85), ("Rating: 0", 0)],
    *[("", None), ("eighty", None), ("850", None), ("101", None), ("1,000", None), ("-5", None), ("²", None)],
    *[("85.5", None), ("0.85", None), ("1,5", None), ("-85", None), ("+85", None), ("− 85", None), ("- 85", None)],
    *[
        ("$85", None),
        ("85°", None),
        ("= 85", None),
        ("~85", None),
        ("85+", None),
        ("12:30", None),
        ("2024-05-12", None),
    ],
    *[("٨٥", None), ("８５", None), ("85分", None), ("85th", None), ("1 000", None), ("99999999999999999999", None)],
]
SAID: list[Case] = [
    ("Score: 85\n\nIt names 2 of 3 animals.", 85),
    ("85\n\nBecause 1 of 2 is right.", 85),
    ("The response is right.\n\n85", 85),
    ("The score is **85**; 15 points off.", 85),
    ("I would give a score of 85. 2 are wrong.", 85),
    ("I score it 85 since 1 is wrong.", 85),
    ("I'd rate the response as 85 because it is short.", 85),
    ("I would rate this response a 70.", 70),
    ("I would give this response a perfect score of 100.", 100),
    ("It deserves 85/100.", 85),
    ("This response deserves a score of 20 out of a possible 100 points.", 20),
    ("My rating is 85 because the capital is right.", 85),
    ("The overall score would be 60.", 60),
    ("The score for the model response is 45.", 45),
    ('My score is "85".', 85),
    ("Score: 85 points", 85),
    ("Score: 85%", 85),
    ("Score: 85 - well done", 85),
    ("Score:\n85", 85),
    ("**Score:**\n\n85 because it is right", 85),
    ("## Final score\n\n**85**", 85),
    ("Here is my score.\n\n85", 85),
    ("Here is my evaluation of the response:\n\n85", 85),
    ("Based on the correct output, I would score the model response:\n\n85", 85),
    ("Score: 85. It took 12 May 2024 for a date, and 1,000 for 10 percent.", 85),
    ("I would not give it 100. Score: 85", 85),
    ("I would deduct 15 points. Score: 85", 85),
    ("The maximum score is 100. Score: 85", 85),
    ("I cannot score it.", None),
    ("Convert 3 kilometers to meters.", None),
    ("if n < 2", None),
    ("Give 3.", None),
    ("The average score is 85.", None),
    ("He is in grade 8.", None),
    ("I would give 3 examples.", None),
    ("Multiplying them will give 42.", None),
    ("If I give you 20, what is left?", None),
    ("I would give 40 for style and 30 for facts.", None),
    ("I would not give it 100.", None),
    ("I would give it at least 80.", None),
    ("I would rate it about 85.", 85),
    ("I would assign a score of 85 to this response.", 85),
    ("It deserves a score of 85 for the model response.", 85),
    ("The student got a score of 95.", None),
    ("The response gets a score of 95.", 95),
    ("I don't think it deserves a score of 85.", None),
    ("Not a score of 85.", None),
    ("The fraction is 85/100.", None),
    ("85/100 people agree.", None),
    ("Then I give you 20.", None),
    ("The team had a final score of 3.", None),
    ("The area is:\n\n20", None),
    ("The year is 2024.", None),
    ("Score: eighty-five", None),
    ("Score: 3rd", None),
    ("Score: ٨٥", None),
    ("Score: -5", None),
    ("Score: 85.5", None),
    ("Score: 85,5", None),
    ("Score: 1,000", None),
    ("Score: <85", None),
    ("Score: 120", None),
]
QUOTED: list[Case] = [
    ("Model response:\n100\n\nScore: 40", 40),
    ("Model response: 100\nCorrect answer: 90\nScore: 40", 40),
    ("**Model response:**\n\n100\n\n**Score:** 40", 40),
    ("## Response\n100\n\n## Score\n40", 40),
    ("Response:\n1. A dog\n2. A cat\n\n3\n\nScore: 40", 40),
    ("Model response:\nI rate this film 90/100.\n\nScore: 40", 40),
    ("Model response:\nScore: 100\n\nScore: 40", 40),
    ("The response was:\n```\n100\n```\nScore: 40", 40),
    ("~~~\nScore: 100\n~~~\nScore: 40", 40),
    ("> 100\n\nScore: 40", 40),
    ('The response "Score: 100" is wrong. Score: 40', 40),
    ("The response `100` is wrong. Score: 40", 40),
    ("The response '100\n\nScore: 100' isn't right. Score: 40", 40),
    ("The response “Score: 100” is wrong. Score: 40", 40),
    ("<response>\n100\n</response>\nScore: 40", 40),
    ("<answer>100</answer>\n<score>40</score>", 40),
    ('Score: 40. The response says "100', 40),
    ("Model response:\n```\nScore: 100\n```\nI would give it 40.", 40),
    ('Model response: "100"\n\n40', 40),
    ("Model response:\n> 100\n> 90\n\nI would give it 40.", 40),
    ("Model response: 100\n\nI would give it 40.", None),
    ("Model response:\n100", None),
    ("Model response: I rate this film 90/100.", None),
    ("Response:\n\nScore: 100", None),
    ("Answer: 42", None),
    ("Correct output: 42\n\n42", None),
    ('The response says "Score: 100".', None),
    ('The response says "Score: 100', None),
    ('It is 5" long. Score: 40', None),
    ("```\nScore: 100\n```\nThat is wrong.", None),
    ("<think>maybe 20 or 30</think>\n85", 85),
    ("<think>Score: 20</think>\nScore: 85", 85),
    ("Score: 20, or rather\n</think>\n85", 85),
    ("<thinking>20</thinking>85", 85),
    ("<think>a <think> b </think> 20 </think>\n85", 85),
    ("<think>20", None),
]
SEVERAL: list[Case] = [
    ("Score: 85\nI give it 85.", 85),
    ("Score: 85\n\n**85**\n\n85/100", 85),
    ("Score: 70. Final score: 80", None),
    ("Score: 40\n\nOn second thought, final score: 60", None),
    ("Score: 40\n\n100", None),
    ("40/100, no, 60/100", None),
    ("Initial score: 40\nFinal score: 60", None),
    ("Score 1: 40\nScore 2: 60", None),
    ("40\n60", None),
    ("Score: 85. Score: 85.5", None),
    ("Score: 85. Rating: eighty", None),
    ("Score: 60. Correction: 85", None),
    ("I give it 60, no, 85.", None),
    ("Score A: 85, Score B: 60", None),
    ("I rate response A 85 and response B 60.", None),
    ("Not complete: score 90. It is not clear either, so my score is 60.", None),
    ("Score: 80-90", None),
    ("Score: 80 to 90", None),
    ("Score: 80, 90", None),
    ("Score: 85±5", None),
    ("Score: 40 → 60", None),
    ("I would give it 60, but I would give it 70 now.", None),
    ("Score: 80's", None),
    ("80 to 90", None),
    ("80–90", None),
    ("a score between 80 and 90", None),
    ("I would rate it 80 to 90.", None),
    ("Accuracy: 30/40\nClarity 8/10\nScore: 85", 85),
    ("Accuracy: 90/100\nClarity: 80/100\nOverall: 85/100", None),
    ("Accuracy: 90/100", None),
    ("Accuracy score: 90", None),
    ("Accuracy: 90\nClarity: 80", None),
    ("Accuracy:\n90", None),
    ("Overall: 85/100", 85),
    ("1. A dog\n2. A cat", None),
    ("1.\nA dog", None),
    ("Animals\n\n1.", None),
    ("Score:\n1. A dog", None),
    ("* 85\n", None),
    ("1. The capital is right.\n2. It is short.\n\nScore: 85", 85),
    ("1. **Score: 85**\n2. It is short.", 85),
]
SCALES: list[Case] = [
    ("On a scale from 0 to 100: 85", 85),
    ("On a scale of 0-100, I'd give it 85.", 85),
    ("On the 1 to 100 scale, 85", 85),
    ("0-100: 40", 40),
    ("Rating (0-100): 40", 40),
    ("Score (out of 100): 85", 85),
    ("Score: 85 (out of 100)", 85),
    ("85/200", None),
    ("8/10", None),
    ("4 of 5", None),
    ("Score: 8/10", None),
    ("Score: 4 of 5", None),
    ("Score: **4** out of 5", None),
    ("Score: 8/10. Score: 85", None),
    ("3 stars out of 5", None),
    ("I give it 3 stars out of 5.", None),
    ("Rating: 4 stars", None),
    ("Rating: 4-star", None),
    ("★★★☆☆ 3", None),
    ("On a scale of 1-10, I give it an 8.", None),
    ("On a scale of one to ten, my score is 8.", None),
    ("Score (1-10): 8", None),
    ("Score (1-10):\n8", None),
    ("On a 5-point scale:\n4", None),
    ("Maximum score: 10\nScore: 8", None),
    ("I rate it from 1 to 5.\n\n4", None),
    ("Score: 17/20 = 85/100", None),
    ("Out of 10, I'd give it an 8.", None),
    ("Score: 8 [out of 10]", None),
    ("0 is worst and 10 is best. Score: 8", None),
    ("Rating: 4／5", None),
    ("Score: 85 points out of 100", 85),
    ("Out of 100, I'd give it 85.", 85),
]
MARKUP: list[Case] = [
    (r"\boxed{85}", 85),
    (r"The final score is $\boxed{85}$.", 85),
    ("$$\\boxed{85}$$", 85),
    ("$85$", 85),
    (r"The answer is $\boxed{42}$.", None),
    ('{"score": 85}', 85),
    ('{"score": "85"}', 85),
    ('{"reasoning": "It names 2, Score: 100.", "score": 85}', 85),
    ('{\n  "response": "100",\n  "score": 85\n}', 85),
    ('```json\n{"score": 85, "max_score": 100}\n```', 85),
    ('{"score": 8.5}', None),
    ('{"score": 85, "final_score": 60}', None),
    ('{"score": null}', None),
    ("| Score | 85 |", 85),
    ("| Score |\n|---|\n| 85 |", 85),
    ("| Response | Score |\n|---|---|\n| 1 | 85 |", None),
    ("| Score | 85 | 90 |", None),
    ("<score>85</score>", 85),
    ("**Score**: **85**/100", 85),
    ("### Score: 85", 85),
]


@pytest.mark.parametrize(("answer", "score"), [*PLAIN, *SAID, *QUOTED, *SEVERAL, *SCALES, *MARKUP])
def test_a_score_is_read_only_where_it_is_clear(answer: str, score: int | None) -> None:
    assert parse(answer) == score


SCORES = st.integers(0, 100)
CLEAR = st.sampled_from(["Score: {}", "**Score:** {}", "{}", "**{}**", "{}/100", "I give it {}.", "My rating is {}."])
"""Ways to give a score that nobody would read otherwise."""
WORDS = "the response names a colour that model correct is right wrong and short clear but it I would please".split()
SENTENCES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(lambda words: " ".join(words) + ".")
TALK = st.lists(SENTENCES, max_size=4).map("\n\n".join)
"""What a judge says without numbers."""
ELSE = st.one_of(
    st.builds("It names {} of {} animals.".format, st.integers(0, 9), st.integers(1, 9)),
    st.builds("Clarity: {}/{}".format, st.integers(0, 40), st.sampled_from([5, 10, 20, 40, 50])),
    st.builds("{} stars".format, st.integers(0, 5)),
    st.builds("It is {} km long.".format, st.integers(0, 100)),
    st.builds("{}. It is clear.".format, st.integers(1, 9)),
    st.builds("In {} it was so.".format, st.integers(1900, 2030)),
)
"""Numbers that are no scores from 0 to 100."""
ANOTHER_SCALE = st.builds(
    str.format,
    st.sampled_from(["{}/{}", "Score: {}/{}", "I give it {} out of {}.", "Rating: {} stars out of {}", "{} of {}"]),
    SCORES,
    st.sampled_from([5, 10, 20, 50, 200, 1000]),
)
QUOTATIONS = [
    *["Model response:\n{}", "Response: {}", "**Output**:\n\n{}", "## Model answer\n{}", "It says `{}`.", "> {}"],
    *["```\n{}\n```", "<response>{}</response>", '"{}"', "“{}”", "The answer is '{}'.", "Input: 3\nOutput:\n{}"],
]


@given(TALK, SCORES, TALK)
def test_a_single_clear_score_is_read_from_any_talk_around_it(before: str, score: int, after: str) -> None:
    assert parse(f"{before}\n\nScore: {score}\n\n{after}") == score


@given(TALK, CLEAR, SCORES, TALK)
def test_every_clear_way_to_give_a_score_is_read(before: str, way: str, score: int, after: str) -> None:
    assert parse(f"{before}\n\n{way.format(score)}\n\n{after}") == score


@given(CLEAR, SCORES, TALK, CLEAR, SCORES)
def test_two_clear_scores_give_one_only_if_they_agree(one: str, score: int, talk: str, other: str, second: int) -> None:
    found = parse(f"{one.format(score)}\n\n{talk}\n\n{other.format(second)}")
    assert found == (score if score == second else None)


@given(TALK, st.lists(ELSE, max_size=4), SCORES, st.lists(ELSE, max_size=4))
def test_numbers_about_the_matter_change_no_score(before: str, some: list[str], score: int, more: list[str]) -> None:
    assert parse("\n".join([before, *some, f"Score: {score}", *more])) == score


@given(CLEAR, SCORES, ANOTHER_SCALE, st.booleans())
def test_a_number_on_another_scale_never_becomes_the_score(way: str, score: int, other: str, first: bool) -> None:
    given_score = way.format(score)
    assert parse("\n\n".join([other, given_score] if first else [given_score, other])) in (score, None)
    assert parse(other) is None


@given(st.sampled_from(QUOTATIONS), CLEAR, SCORES, SCORES)
def test_a_quoted_score_is_never_the_judge_s(quotation: str, way: str, quoted: int, score: int) -> None:
    quotation = quotation.format(way.format(quoted))
    assert parse(f"{quotation}\n\nScore: {score}") in (score, None)
    assert parse(f"{quotation}\n\nThat is wrong.") is None


@given(st.lists(st.integers(0, 100), min_size=1, max_size=4), st.sampled_from([".", ")", ":"]), SCORES)
def test_the_numbers_of_a_list_are_no_scores(items: list[int], mark: str, score: int) -> None:
    listed = "\n".join(f"{item}{mark} A dog" for item in items)
    assert parse(listed) is None
    assert parse(f"{listed}\n\nScore: {score}") == score


@pytest.mark.parametrize(
    "answer",
    [
        "Model response:\n{}\n\nScore: 40",
        "The response is:\n```\n{}\n```\nI would give it 40.",
        "Correct answer: {}\n\n**Score: 40**",
        "Score: 40\n\nA better response:\n{}",
        "Score: 40\n\n{}",
    ],
)
def test_no_number_of_a_real_response_is_taken_for_the_score(answer: str) -> None:
    entries = json.loads(real(catalogue.JUDGED["examples"]).read_text(encoding="utf-8"))
    texts = [entry[key] for entry in entries for key in ("output", "model 1 response", "model 2 response")]
    assert {parse(answer.format(text)) for text in texts} == {40}


PIECES = st.sampled_from(
    [
        *"\n\n *_#:.,-–/%()[]{}<>|$\"'`’“”",
        "85",
        "100",
        "3",
        "1,000",
        "8.5",
        "٨٥",
        "²",
        "score",
        "Score:",
        "I give",
        "out of",
    ]
    + [
        "scale",
        "response:",
        "```",
        "<think>",
        "</think>",
        "\\boxed{",
        "stars",
        "to",
        "not",
        "eighty",
        "\r\n",
        "\x85",
        "：",
    ]
)


@given(st.text() | st.lists(PIECES, max_size=40).map("".join))
def test_any_text_gives_none_or_a_whole_number_from_0_to_100(text: str) -> None:
    score = parse(text)
    assert score is None or (type(score) is int and 0 <= score <= 100)


@pytest.mark.parametrize(
    "piece", ["\n", " ", "-", "**", '"', "'", "`", "<think>", "score ", "1 ", "Score: 1\n", "a: ", "|", "9"]
)
def test_a_long_answer_is_read_in_no_time(piece: str) -> None:
    start = time.process_time()
    parse(piece * 5000)
    assert time.process_time() - start < 5


def read(before: str, beginning: str, far: int) -> int | None:
    """What is read where a sentence with `beginning` reaches so many characters back from the number."""
    filling = "a" * (far - len(beginning) - len("  give it "))
    return parse(f"{before}{beginning} {filling} give it 85")


def test_who_gives_a_score_stands_within_two_hundred_characters_before_it() -> None:
    # `will` speaks for the judge at the beginning of a line only, so that the beginning must be in sight
    assert read("", "Will", 200) == 85 and read("", "Will", 201) is None
    # in the middle of a line, `I` must be seen to be a word: with the space before it
    assert read("Well then, ", "I", 199) == 85 and read("Well then, ", "I", 200) is None
