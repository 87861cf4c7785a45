"""Every template in conf/prompt keeps the contract that training, answering and scoring rely on."""

from collections.abc import Callable

import pytest
from conftest import real

from scratchlab.assets import catalogue
from scratchlab.data import instructions, readers
from scratchlab.text.prompts import PromptConfig, extract, extract_while_written, markers, render, templates
from scratchlab.text.tokenizer import gpt2

TEMPLATES = sorted(templates())
ENTRIES = [
    {"instruction": "Name a colour.", "input": "", "output": "Red."},
    {"instruction": "Rewrite the sentence.", "input": "It rains; {braces} stay.", "output": "Rain falls."},
    {"instruction": "List two numbers.", "input": "1, 2, 3", "output": "1. one\n2. two: <b>2</b>\n\n"},
    {"instruction": "What is 2 + 2?\nAnswer briefly.", "input": "Two\nlines", "output": "4"},
    {"instruction": "Schreib „Grüße“ 日本", "input": "🙂", "output": "Grüße 🙂"},
    {"instruction": "Say nothing.", "input": "", "output": ""},
]


def template(name: str) -> PromptConfig:
    return templates()[name]


@pytest.fixture(scope="module")
def encode() -> Callable[[str], list[int]]:
    try:
        gpt2().encoding  # noqa: B018
        return gpt2().encode_plain
    except FileNotFoundError as error:
        pytest.skip(f"no GPT-2 vocabulary: {error}")


@pytest.fixture(scope="module")
def real_entries() -> list[dict[str, str]]:
    return readers.entries(real(catalogue.INSTRUCTIONS))


def test_the_book_s_templates_render_as_printed_in_chapter_7_and_exercise_7_1() -> None:
    entry = {"instruction": "I", "input": "X", "output": "O"}
    bare = entry | {"input": ""}
    preamble = (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request."
    )
    alpaca, phi3 = template("alpaca"), template("phi3")
    assert render(alpaca, entry) == (
        f"{preamble}\n\n### Instruction:\nI\n\n### Input:\nX",
        "\n\n### Response:\nO",
    )
    assert render(alpaca, bare)[0] == f"{preamble}\n\n### Instruction:\nI"
    assert render(phi3, entry) == ("<|user|>\nI\nX", "\n<|assistant|>:\nO")
    assert render(phi3, bare)[0] == "<|user|>\nI"


def test_phi3_chat_is_the_format_that_phi_3_was_trained_on() -> None:
    entry = {"instruction": "I", "input": "", "output": "O"}
    assert "".join(render(template("phi3_chat"), entry)) == "<|user|>\nI<|end|>\n<|assistant|>\nO<|end|>"


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_s_question_ids_are_the_start_of_the_full_ids(name: str, encode: Callable[[str], list[int]]) -> None:
    for entry in ENTRIES:
        question, answer = render(template(name), entry)
        ids, alone = encode(question + answer), encode(question)
        assert ids[: len(alone)] == alone, entry


@pytest.mark.parametrize("name", TEMPLATES)
def test_extraction_takes_back_what_rendering_put_around_a_response(name: str) -> None:
    for entry in ENTRIES:
        assert extract(template(name), render(template(name), entry)[1]) == entry["output"].strip()


@pytest.mark.parametrize("name", TEMPLATES)
def test_masking_covers_exactly_the_question(name: str, encode: Callable[[str], list[int]]) -> None:
    for entry in ENTRIES:
        question, answer = render(template(name), entry)
        item = instructions.encode(gpt2(), template(name), entry)
        _, targets = instructions.collate([item], gpt2(), mask=True, max_length=1024)
        kept = [target for target in targets[0].tolist() if target != instructions.IGNORE]
        assert gpt2().decode(kept) == answer + "<|endoftext|>"
        assert len(item.ids) - len(kept) + 1 == len(encode(question))


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("colon", ["", ":"])
def test_no_marker_leaks_into_a_response_wherever_a_model_writes_it(name: str, colon: str) -> None:
    prompt = template(name)
    own = markers(prompt)
    assert own
    _, proper = render(prompt, {"instruction": "I", "input": "", "output": "Right."})
    for marker in own:
        text = marker.rstrip(":") + colon
        for generated in (f"{proper}\n{text}\nmore", f"{text}{text}{proper}", f" {text}", f"word {text} word {proper}"):
            found = extract(prompt, generated)
            assert not any(m.rstrip(":") in found for m in own), generated


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_response_shown_while_it_is_written_is_the_same_and_shows_no_marker(name: str) -> None:
    prompt = template(name)
    own = markers(prompt)
    _, proper = render(prompt, {"instruction": "I", "input": "", "output": "Right, and # more\n than ### that."})
    texts = [
        proper,
        f"{proper}{proper}",
        f"so {proper}\n\n{own[0]}\nmore",
        "no marker at all",
        "",
        own[0],
        f"{own[0]} x",
    ]
    for generated in texts:
        for size in (1, 3, 1000):
            parts = [generated[start : start + size] for start in range(0, len(generated), size)]
            shown = list(extract_while_written(prompt, iter(parts)))
            assert "".join(shown) == extract(prompt, generated), generated
            assert generated != proper or size > 1 or len(shown) > 5


def test_nothing_is_read_on_when_the_response_has_ended() -> None:
    prompt = template("alpaca")
    come = iter("\n\n### Response:\nRed.\n\n### Instruction:\nand so on for ever")
    assert "".join(extract_while_written(prompt, come)) == "Red."
    assert "".join(come).endswith("and so on for ever")


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_real_entries_keep_the_contract_too(
    name: str, real_entries: list[dict[str, str]], encode: Callable[[str], list[int]]
) -> None:
    prompt = template(name)
    for entry in real_entries:
        question, answer = render(prompt, entry)
        assert extract(prompt, answer) == entry["output"].strip()
        assert instructions.encode(gpt2(), prompt, entry).question == len(encode(question))


def test_what_a_model_writes_before_the_answer_s_marker_is_no_response() -> None:
    assert extract(template("alpaca"), ", please.\n\n### Response:\nRed.") == "Red."
    assert extract(template("alpaca"), "Red.") == "Red."
    assert extract(template("phi3"), "\n<|assistant|>\nRed.\n<|user|>\nAnd blue?") == "Red."


@pytest.mark.parametrize(
    ("part", "text", "message"),
    [
        ("question", "{instruction}", "must have {instruction} and then {input}, once"),
        ("input", "{inptu}", r"fields \['inptu'\]"),
        ("answer", "{output}{output}", "must have {output}, once"),
        ("answer", "{output", "a brace as text is doubled"),
    ],
)
def test_a_template_with_wrong_fields_says_which_it_must_have(part: str, text: str, message: str) -> None:
    parts = {"question": "{instruction}{input}", "input": "{input}", "answer": "{output}"} | {part: text}
    with pytest.raises(ValueError, match=message):
        PromptConfig(**parts)
