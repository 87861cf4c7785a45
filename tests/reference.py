"""GPT-2 in NumPy, written from the equations, to hold the model against. It shares no code with the package.

Parameters carry OpenAI's variable names without `model/`: `wte`, `wpe`, `h0/attn/c_attn/w` (in, out), `ln_f/g`, ...
Sources: Vaswani et al. 2017 (attention), Ba et al. 2016 (layer normalisation), Hendrycks and Gimpel 2016 (GELU and its
tanh form), Radford et al. 2019 (norms before the layers, one more at the end, learned positions, tied head).
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Parameters = dict[str, Array]


def random_parameters(
    *, layers: int, width: int, context: int, vocab: int, seed: int = 0, spread: float = 0.2
) -> Parameters:
    """Every tensor of a GPT-2, biases and norms included, with nothing left at 0 or 1."""
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"wte": (vocab, width), "wpe": (context, width)}
    for layer in range(layers):
        for name, inside, outside in (
            ("attn/c_attn", width, 3 * width),
            ("attn/c_proj", width, width),
            ("mlp/c_fc", width, 4 * width),
            ("mlp/c_proj", 4 * width, width),
        ):
            shapes |= {f"h{layer}/{name}/w": (inside, outside), f"h{layer}/{name}/b": (outside,)}
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"h{layer}/{norm}/g": (width,), f"h{layer}/{norm}/b": (width,)}
    shapes |= {"ln_f/g": (width,), "ln_f/b": (width,)}
    drawn = {name: rng.normal(scale=spread, size=shape) for name, shape in shapes.items()}
    # rounded to float32, so that every file format holds the same values
    return {name: np.float64(np.float32(value + name.endswith("/g"))) for name, value in drawn.items()}


def gpt2(parameters: Parameters, ids: list[int], heads: int) -> Array:
    """Logits (T, V) in float64 for the tokens `ids`."""
    width = parameters["wte"].shape[1]
    x = parameters["wte"][ids] + parameters["wpe"][: len(ids)]
    layers = sum(name.endswith("attn/c_attn/w") for name in parameters)
    for layer in range(layers):
        p = {name.removeprefix(f"h{layer}/"): value for name, value in parameters.items()}
        query, key, value = np.split(affine(normalise(x, p["ln_1/g"], p["ln_1/b"]), p, "attn/c_attn"), 3, axis=1)
        mixed = np.empty_like(x)
        for start in range(0, width, width // heads):
            part = slice(start, start + width // heads)
            mixed[:, part] = attend(query[:, part], key[:, part], value[:, part])
        x = x + affine(mixed, p, "attn/c_proj")
        hidden = gelu(affine(normalise(x, p["ln_2/g"], p["ln_2/b"]), p, "mlp/c_fc"))
        x = x + affine(hidden, p, "mlp/c_proj")
    return normalise(x, parameters["ln_f/g"], parameters["ln_f/b"]) @ parameters["wte"].T


def affine(x: Array, p: Parameters, name: str) -> Array:
    return x @ p[f"{name}/w"] + p[f"{name}/b"]


def normalise(x: Array, gain: Array, shift: Array) -> Array:
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5) * gain + shift


def attend(query: Array, key: Array, value: Array) -> Array:
    """One head: each token looks at itself and those before."""
    score = query @ key.T / np.sqrt(query.shape[1])
    score[np.triu_indices_from(score, 1)] = -np.inf
    weight = np.exp(score - score.max(axis=1, keepdims=True))
    return weight / weight.sum(axis=1, keepdims=True) @ value


def gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
