"""Draws of one seed that several texts share: made once, for all that are to be told apart by their settings only."""

import torch
from torch import Tensor


class Draws:
    """Draws tokens (B) from probabilities (B, V) as `torch.multinomial` does, to the bit, and keeps what chance gave.

    That is an exponential number for each probability; the token is where the quotient of the two is largest. On a CPU
    the numbers take longer than a small model's whole step. Between texts the generator is seeded anew, and `again` is
    called; all must have as many rows. What is kept is B * V numbers a step.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[Tensor, Tensor]] = []
        """The numbers of each step, and the generator's state after it."""
        self._step = 0

    def again(self) -> "Draws":
        """From the first step on."""
        self._step = 0
        return self

    def __call__(self, wanted: Tensor) -> Tensor:
        if self._step == len(self._steps):
            drawn = torch.empty_like(wanted).exponential_(1)
            self._steps.append((drawn, torch.get_rng_state()))
        drawn, state = self._steps[self._step]
        torch.set_rng_state(state)
        self._step += 1
        chosen = (wanted / drawn).argmax(dim=-1)
        if wanted.gather(-1, chosen[:, None]).isnan().any():
            torch.multinomial(wanted, 1)  # says what is wrong with them
        return chosen
