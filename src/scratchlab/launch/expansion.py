"""What a sweep's words mean: products of lists, lists that go together, and one sweep after another.

a=1,2 b=3,4                                        a product, as Hydra's basic sweeper makes it: four jobs
a=tag(size,choice(1,2)) b=tag(size,choice(3,4))    lists of one tag go together, place by place: two jobs
c=0 + a=1,2 + b=3,4                                what follows each `+` is a sweep with the words before the first
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Sweep

from scratchlab.launch.words import SWEEP_KEYS


def expand(
    words: Sequence[str], parser: OverridesParser, params: Mapping[str, str], parts: Iterable[Sequence[str]]
) -> list[tuple[str, ...]]:
    """The overrides of every job: `params` of the sweep's experiment, what was typed, and each of its parts.

    Where a key stands twice, the later one is taken, at the place of the first.

    Raises:
        ValueError: lists of one tag are of unequal length, or a sweep has no end.
    """
    shared = [*(f"{key}={value}" for key, value in params.items()), *words]
    found: list[tuple[str, ...]] = []
    for part in list(parts) or [()]:
        found += _product(parser.parse_overrides([*shared, *part]))
    return found


def _product(overrides: Iterable[Override]) -> Iterator[tuple[str, ...]]:
    last = {override.get_key_element(): override for override in overrides}  # at the place of the first
    axes: dict[str, dict[str, list[str]]] = {}
    """Words by key, by the tag that they share, or by their key where they have none."""
    for key, override in last.items():
        if key not in SWEEP_KEYS:
            axes.setdefault(_tag(override) or key, {})[key] = _words(override, key)
    for chosen in product(*(_together(tag, axis) for tag, axis in axes.items())):
        words = {key: word for group in chosen for key, word in group}
        yield tuple(words[key] for key in last if key in words)


def _words(override: Override, key: str) -> list[str]:
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    if not override.is_discrete_sweep():
        raise ValueError(f"{override.input_line}: has no end; possible: choice(...), range(...), glob(...) or a,b")
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def _tag(override: Override) -> str:
    """What a list shares with those that it goes together with; empty where it stands alone."""
    value = override.value()
    tags = sorted(value.tags) if override.is_sweep_override() and isinstance(value, Sweep) else []
    if len(tags) > 1:
        raise ValueError(f"{override.input_line}: has {len(tags)} tags ({', '.join(tags)}); possible: one")
    return f"tag {tags[0]}" if tags else ""


def _together(tag: str, axis: Mapping[str, Sequence[str]]) -> list[list[tuple[str, str]]]:
    """Lists place by place, each word with its key."""
    lengths = {len(words) for words in axis.values()}
    if len(lengths) > 1:
        told = ", ".join(f"{key} has {len(words)}" for key, words in axis.items())
        raise ValueError(f"{tag}: lists that go together must be of one length, and {told}")
    return [list(zip(axis, words, strict=True)) for words in zip(*axis.values(), strict=True)]


@lru_cache(maxsize=4096)
def parsed(word: str) -> Override:
    """One override as Hydra reads it; parsing takes longer than all the rest of a job."""
    (override,) = OverridesParser.create().parse_overrides([word])
    return override
