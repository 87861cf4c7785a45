"""Sampling: chapter 5's numbers, and the batched, cached writer against the book's loop over one prompt at a time."""

import random
from collections.abc import Iterator

import pytest
import torch

from scratchlab.generation import sampling, writer
from scratchlab.generation.sampling import SamplingConfig
from scratchlab.model.config import GPTConfig
from scratchlab.model.gpt import GPT
from scratchlab.model.rounded import rounded

# chapter 5: nine words and the logits of the next one
WORDS = ["closer", "every", "effort", "forward", "inches", "moves", "pizza", "toward", "you"]
LOGITS = torch.tensor([4.51, 0.89, -1.90, 6.75, 1.63, -1.62, -1.89, 6.28, 1.79])
PROMPTS = [[5], [1, 2, 3], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1], [7] * 6, [3, 1, 4]]


@pytest.fixture(autouse=True, scope="module")
def one_thread_and_nan_in_fresh_memory() -> Iterator[None]:
    """Models this small only wait for each other's threads; and what was never written must not be read."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    assert torch.empty(1).isnan()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


def tiny(seed: int = 0, *, gpt2_init: bool = True, **shape: int | bool) -> GPT:
    """A small model with the book's weights, or GPT-2's (wider where it is tiny, so that old tokens count)."""
    torch.manual_seed(seed)
    defaults = dict(emb_dim=32, n_heads=4, n_layers=2, vocab_size=61, context_length=24, qkv_bias=True)
    model = GPT(GPTConfig(**(defaults | shape))).eval()  # type: ignore[arg-type]
    if gpt2_init:
        for parameter in model.parameters():
            if parameter.ndim == 2:
                torch.nn.init.normal_(parameter, std=0.02 if model.config.vocab_size > 1000 else 0.5)
    return model


def book_loop(model: GPT, prompt: list[int], new: int, end_token: int | None = None) -> list[int]:
    """Greedy, one prompt, no cache, everything read anew for each token; from the text of chapter 4."""
    ids = list(prompt)
    for _ in range(new):
        with torch.no_grad():
            token = int(model(torch.tensor([ids[-model.config.context_length :]]))[0, -1].argmax())
        if token == end_token:
            break
        ids.append(token)
    return ids[len(prompt) :]


def loops(model: GPT, prompts: list[list[int]], new: int) -> list[list[int]]:
    return [book_loop(model, prompt, new) for prompt in prompts]


@pytest.mark.parametrize(
    ("temperature", "counts"),
    [
        (1.0, [73, 0, 0, 582, 2, 0, 0, 343, 0]),
        (0.1, [0, 0, 0, 985, 0, 0, 0, 15, 0]),
        (5.0, [165, 75, 42, 239, 71, 46, 32, 227, 103]),
    ],
)
def test_a_thousand_seeded_draws_give_the_counts_of_exercise_5_1(temperature: float, counts: list[int]) -> None:
    config = SamplingConfig(temperature=temperature)
    torch.manual_seed(123)
    drawn = torch.cat([sampling.choose(LOGITS[None], config) for _ in range(1000)])
    assert drawn.bincount(minlength=len(WORDS)).tolist() == counts


def test_pizza_has_the_exact_probability_of_exercise_5_1_at_temperature_5() -> None:
    pizza = sampling.probabilities(LOGITS, 5.0)[WORDS.index("pizza")].item()
    assert pizza == pytest.approx(0.0430, abs=5e-5)


def test_the_three_likeliest_words_have_the_probabilities_of_chapter_5() -> None:
    found = sampling.probabilities(LOGITS, 1.0, top_k=3)
    assert found[[0, 3, 7]].tolist() == pytest.approx([0.0615, 0.5775, 0.3610], abs=5e-5)
    assert found.count_nonzero() == 3


def test_logits_that_tie_with_the_last_place_stay_in_the_choice() -> None:
    kept = sampling.keep_top_k(torch.tensor([[3.0, 1.0, 2.0, 2.0, 0.0]]), 2)
    assert kept.isfinite().tolist() == [[True, False, True, True, False]]


def test_every_row_of_a_batch_has_its_own_threshold() -> None:
    kept = sampling.keep_top_k(torch.tensor([[3.0, 1.0, 2.0], [10.0, 30.0, 20.0]]), 1)
    assert kept.isfinite().tolist() == [[True, False, False], [False, True, False]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": -0.5}, "sampling.temperature=-0.5: must be 0"),
        ({"temperature": float("nan")}, "sampling.temperature=nan"),
        ({"top_k": 0}, "sampling.top_k=0: must be at least 1, or null"),
        ({"max_new_tokens": 0}, "sampling.max_new_tokens=0: must be at least 1"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SamplingConfig(**changes)  # type: ignore[arg-type]


def test_a_top_k_above_the_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="top_k=62: the model has only 61 tokens"):
        sampling.generate(tiny(), [[1]], SamplingConfig(top_k=62))
    with pytest.raises(ValueError, match="top_k=10: there are only 9 tokens"):
        sampling.keep_top_k(LOGITS, 10)


def test_temperature_zero_has_no_probabilities() -> None:
    with pytest.raises(ValueError, match="need one above 0"):
        sampling.probabilities(LOGITS, 0.0)


@pytest.mark.parametrize(
    ("prompts", "message"), [([[1], []], "prompt 1 is empty"), ([[1, 61, -1]], r"prompt 0 has the ids \[61, -1\]")]
)
def test_prompts_that_the_model_cannot_read_are_refused(prompts: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sampling.generate(tiny(), prompts, SamplingConfig())


def test_untrained_greedy_tokens_are_those_of_chapter_4() -> None:
    # source: ch04/01_main-chapter-code/tests.py, prompt "Hello, I am"
    torch.manual_seed(123)
    model = GPT(GPTConfig(drop_rate_emb=0.1, drop_rate_shortcut=0.1, drop_rate_attn=0.1))
    found = sampling.generate(model, [[15496, 11, 314, 716]], SamplingConfig(max_new_tokens=10))
    assert found == [[27018, 24086, 47843, 30961, 42348, 7267, 49706, 43231, 47062, 34657]]
    assert model.training, "the model must go back to the mode it was in"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("gpt2_init", [True, False])
def test_a_batch_of_unequal_prompts_gives_each_what_the_book_gives_it_alone(seed: int, gpt2_init: bool) -> None:
    model = tiny(seed, gpt2_init=gpt2_init)
    draw = random.Random(seed)
    prompts = [[draw.randrange(61) for _ in range(draw.randint(1, 20))] for _ in range(7)]
    assert sampling.generate(model, prompts, SamplingConfig(max_new_tokens=4)) == loops(model, prompts, 4)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gpt2_init", [True, False])
def test_past_the_context_each_row_still_gets_what_the_book_gives_it(seed: int, gpt2_init: bool) -> None:
    # short, almost full, just full, one and many too long: the rows reach the limit at different steps
    model = tiny(seed, gpt2_init=gpt2_init)
    draw = random.Random(seed)
    prompts = [[draw.randrange(61) for _ in range(length)] for length in (3, 24, 22, 23, 1, 25, 60, 12)]
    assert sampling.generate(model, prompts, SamplingConfig(max_new_tokens=40)) == loops(model, prompts, 40)


@pytest.mark.parametrize("gpt2_init", [True, False])
def test_gpt2s_vocabulary_gives_the_books_tokens_too(gpt2_init: bool) -> None:
    model = tiny(1, gpt2_init=gpt2_init, vocab_size=50257)
    draw = random.Random(1)
    prompts = [[draw.randrange(50257) for _ in range(draw.randint(1, 23))] for _ in range(6)]
    assert sampling.generate(model, prompts, SamplingConfig(max_new_tokens=20)) == loops(model, prompts, 20)


def test_a_model_without_causal_mask_or_biases_gives_the_books_tokens_too() -> None:
    for shape in ({"causal": False}, {"qkv_bias": False}, {"n_heads": 1, "n_layers": 1}):
        model = tiny(2, **shape)
        assert sampling.generate(model, PROMPTS, SamplingConfig(max_new_tokens=20)) == loops(model, PROMPTS, 20), shape


def tied() -> GPT:
    """Has its vocabulary twice over, the second time a rounding error away or not at all: every choice is a tie."""
    model = tiny(3, vocab_size=60)
    with torch.no_grad():
        head, error = model.out_head.weight, 1 + torch.finfo(torch.float32).eps
        model.out_head.weight[30:] = head[:30] * torch.where(torch.rand(30, 1) < 0.5, error, 1.0)
    return model


def test_ties_and_near_ties_are_decided_as_in_the_books_loop() -> None:
    model = tied()
    assert sampling.generate(model, PROMPTS, SamplingConfig(max_new_tokens=30)) == loops(model, PROMPTS, 30)


def test_the_two_ways_of_exercise_5_3_are_equal_and_need_no_seed() -> None:
    model = tiny(4)
    greedy = sampling.generate(model, PROMPTS, SamplingConfig(max_new_tokens=30))
    for temperature in (0.1, 1.0, 1.4):
        config = SamplingConfig(temperature=temperature, top_k=1, max_new_tokens=30)
        assert sampling.generate(model, PROMPTS, config) == greedy
    assert sampling.generate(model, PROMPTS, SamplingConfig(top_k=3, max_new_tokens=30)) == greedy


@pytest.mark.parametrize("prompts", [PROMPTS, [[7], [7], [7]]])
def test_the_end_token_stops_its_own_row_and_is_not_returned(prompts: list[list[int]]) -> None:
    model = tiny(5)
    free = loops(model, prompts, 40)
    for end_token in {tokens[step] for tokens in free for step in (0, 5, 12, 30)}:
        found = sampling.generate(model, prompts, SamplingConfig(max_new_tokens=40), end_token=end_token)
        assert found == [book_loop(model, prompt, 40, end_token) for prompt in prompts]


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (1.4, 25), (1.5, 50), (0.3, 5), (0.0, None), (2.0, 1)])
def test_a_seeded_prompt_gets_the_tokens_of_the_authors_generate(temperature: float, top_k: int | None) -> None:
    assert_as_the_author_draws(tiny(6, gpt2_init=False), SamplingConfig(temperature=temperature, top_k=top_k))


def test_a_single_choice_left_by_top_k_is_the_authors_where_every_choice_is_a_tie() -> None:
    assert_as_the_author_draws(tied(), SamplingConfig(temperature=1.0, top_k=1))


def assert_as_the_author_draws(model: GPT, config: SamplingConfig) -> None:
    ch05 = pytest.importorskip("llms_from_scratch.ch05")
    settings = dict(temperature=config.temperature, top_k=config.top_k, eos_id=59)
    for prompt in PROMPTS:
        torch.manual_seed(123)
        his = ch05.generate(model, torch.tensor([prompt]), config.max_new_tokens, 24, **settings)
        torch.manual_seed(123)
        assert sampling.generate(model, [prompt], config, end_token=59) == his[:, len(prompt) :].tolist()


def test_draws_follow_the_probabilities_in_every_row_of_a_batch() -> None:
    model = tiny(7)
    rows = 2000
    torch.manual_seed(0)
    config = SamplingConfig(temperature=1.0, top_k=4, max_new_tokens=1)
    found = sampling.generate(model, [[5], [9, 8, 7]] * rows, config)
    for index, prompt in enumerate(([5], [9, 8, 7])):
        with torch.no_grad():
            expected = sampling.probabilities(model(torch.tensor([prompt]))[0, -1], 1.0, 4)
        counts = torch.tensor(found[index::2])[:, 0].bincount(minlength=61)
        spread = (rows * expected * (1 - expected)).sqrt()
        assert ((counts - rows * expected).abs() <= 5 * spread).all()


def test_tokens_come_as_they_are_chosen_and_the_reader_is_not_in_inference_mode() -> None:
    model = tiny(8).train()
    stream = sampling.stream(model, PROMPTS, SamplingConfig(max_new_tokens=3))
    first = [next(stream) for _ in PROMPTS]
    assert [row for row, _ in first] == [0, 1, 2, 3, 4]
    assert not torch.is_inference_mode_enabled()
    rest = list(stream)
    model.eval()
    expected = loops(model, PROMPTS, 3)
    assert [[token for row, token in first + rest if row == index] for index in range(5)] == expected


def test_a_stream_left_early_puts_the_model_back_into_training() -> None:
    model = tiny().train()
    stream = sampling.stream(model, [[1]], SamplingConfig())
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert model.training


def test_no_prompts_give_no_texts() -> None:
    assert sampling.generate(tiny(), [], SamplingConfig()) == []


def test_under_bfloat16_autocast_every_token_is_one_of_the_best_without_cache_too() -> None:
    model = tiny(9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = sampling.generate(model, PROMPTS, SamplingConfig(max_new_tokens=12))
        for prompt, tokens in zip(PROMPTS, found, strict=True):
            with torch.no_grad():
                logits = model(torch.tensor([prompt + tokens]))[0, len(prompt) - 1 : -1].float()
            lost = logits.amax(-1) - logits.gather(-1, torch.tensor(tokens)[:, None])[:, 0]
            assert (lost <= 0.1 * logits.abs().amax()).all()


def test_text_comes_in_pieces_and_a_split_character_comes_whole() -> None:
    from scratchlab.text.tokenizer import gpt2

    try:
        tokens = gpt2().encode("Every effort 🍕 moves")
    except FileNotFoundError as error:
        pytest.skip(f"no GPT-2 vocabulary: {error}")
    pieces = list(sampling.to_text(gpt2(), tokens))
    assert len(pieces) < len(tokens)
    assert pieces[:2] == ["Every", " effort"]
    assert "".join(pieces) == "Every effort 🍕 moves"
    assert "".join(sampling.to_text(gpt2(), tokens[:4])).endswith("\ufffd")


@pytest.mark.parametrize("together", [1, 2, 3, 9])
def test_texts_that_take_each_other_s_places_are_those_of_the_book_s_loop(together: int) -> None:
    model, draw = tiny(), random.Random(together)
    prompts = [[draw.randrange(61) for _ in range(draw.randint(1, 30))] for _ in range(9)]  # some slide their window
    ends = loops(model, prompts, 20)[4][2]
    expected = [book_loop(model, prompt, 20, ends) for prompt in prompts]
    assert len({len(text) for text in expected}) > 1
    found = list(sampling.texts(model, prompts, SamplingConfig(max_new_tokens=20), end_token=ends, together=together))
    assert sorted(found) == list(enumerate(expected))


def test_drawn_texts_do_not_wait_for_each_other() -> None:
    with pytest.raises(ValueError, match="together=2: tokens that are drawn hang on it"):
        list(sampling.texts(tiny(), PROMPTS, SamplingConfig(temperature=1.0), together=2))


def test_a_cache_holds_little_more_than_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    model, sizes = tiny(context_length=1024), []
    prompts = [[number % 61] * (number + 1) for number in range(12)]
    make_room = writer.Writer._make_room

    def watched(self: writer.Writer, like: torch.Tensor) -> None:
        make_room(self, like)
        sizes.append(self.caches[0].keys.shape)

    monkeypatch.setattr(writer.Writer, "_make_room", watched)
    texts = dict(sampling.texts(model, prompts, SamplingConfig(max_new_tokens=50), together=4))
    assert [texts[row] for row in range(12)] == loops(model, prompts, 50)
    assert max(size[0] for size in sizes) == 4
    assert sizes[0][2] < 40 and max(size[2] for size in sizes) <= 12 + 49


def test_rounding_the_weights_before_changes_no_number_of_autocast() -> None:
    model = tiny(9)
    ids = torch.tensor([[1, 2, 3]])
    weights = {name: parameter.clone() for name, parameter in model.named_parameters()}
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        expected = model(ids)
        with rounded(model):
            assert model.out_head.weight.dtype == torch.bfloat16  # type: ignore[union-attr]
            assert torch.equal(model(ids), expected)
    with rounded(model):
        assert model.out_head.weight.dtype == torch.float32  # type: ignore[union-attr]
    assert all(torch.equal(parameter, weights[name]) for name, parameter in model.named_parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
