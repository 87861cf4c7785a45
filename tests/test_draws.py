"""Draws that several texts share give the tokens that `torch.multinomial` gives, to the bit."""

import pytest
import torch

from scratchlab.generation import sampling
from scratchlab.generation.config import SamplingConfig
from scratchlab.generation.draws import Draws
from scratchlab.model.config import GPTConfig
from scratchlab.model.gpt import GPT
from scratchlab.tasks.sampling_grid import measure


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tokens_and_the_generator_are_those_of_multinomial_at_every_step(dtype: torch.dtype) -> None:
    draws = Draws()
    for seed, temperature, top_k in ((3, 0.1, 2), (3, 1.4, None), (3, 5.0, 40)):
        torch.manual_seed(0)
        steps = torch.randn(4, 6, 997)
        torch.manual_seed(seed)
        wanted = [sampling.probabilities(logits, temperature, top_k).to(dtype) for logits in steps]
        tokens = [torch.multinomial(step, 1)[:, 0] for step in wanted]
        state = torch.get_rng_state()
        torch.manual_seed(seed)
        draws.again()
        assert all(torch.equal(draws(step), token) for step, token in zip(wanted, tokens, strict=True))
        assert torch.equal(torch.get_rng_state(), state)


def test_what_is_no_probability_is_refused_as_by_multinomial() -> None:
    wanted = torch.full((2, 5), 0.2)
    wanted[1, 3] = float("nan")
    with pytest.raises(RuntimeError, match="probability tensor"):
        Draws()(wanted)


def test_a_cell_of_the_grid_measures_the_same_with_shared_draws_and_text_by_text() -> None:
    torch.manual_seed(0)
    shape = dict(emb_dim=32, n_heads=4, n_layers=2, vocab_size=5003, context_length=24)
    model = GPT(GPTConfig(**shape)).eval()  # type: ignore[arg-type]
    draws = Draws()
    for temperature, top_k in ((0.5, 3), (1.4, None), (2.0, 20)):
        way = SamplingConfig(temperature=temperature, top_k=top_k, max_new_tokens=9)
        torch.manual_seed(5)
        found, texts = measure(model, [1, 2, 3], 4, way, draws)
        torch.manual_seed(5)
        assert texts == sampling.generate(model, [[1, 2, 3]] * 4, way)
        with torch.no_grad():
            logits = model(torch.tensor([[1, 2, 3, *text[:-1]] for text in texts]))[:, 2:].float()
        wanted = sampling.probabilities(logits, temperature, top_k)
        bits = torch.special.entr(wanted).sum(dim=-1).mean().item() / torch.log(torch.tensor(2.0)).item()
        assert found["entropy_bits"] == bits
