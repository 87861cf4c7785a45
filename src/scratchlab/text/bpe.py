"""A byte-pair encoding trained on a text, as chapter 2's bonus material builds it; GPT-2's own is in `tokenizer`."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

SPACE = "Ġ"
"""What a space is written as, so that it can be seen."""
END = "<|endoftext|>"
WORD = re.compile(r"\n| ?\S+| ")
"""A word with the space before it, or a line's end or a further space by itself."""


@dataclass(frozen=True)
class TrainedBPE:
    """A vocabulary, and the merges that made it, in their order."""

    pieces: list[str]
    """What each id stands for: 256 letters, those of the text beyond them, the space mark, the end, what was merged."""
    merges: dict[tuple[int, int], int]

    def encode(self, text: str) -> list[int]:
        """The ids of a text, word by word: a word that is a piece is one id.

        Raises:
            ValueError: a character that neither the first 256 nor the training text have.
        """
        known = {piece: number for number, piece in reversed(list(enumerate(self.pieces)))}
        found: list[int] = []
        for word in words(text):
            if missing := [letter for letter in word if letter not in known]:
                raise ValueError(f"text: {missing[0]!r} is in no piece; possible: letters of the training text")
            found += [known[word]] if word in known else self._merged([known[letter] for letter in word])
        return found

    def _merged(self, ids: list[int]) -> list[int]:
        """Go through from the left and merge whatever pair was ever merged, until a pass finds none.

        GPT-2 merges the oldest pair first instead, and comes to other ids.
        """
        before = 0
        while len(ids) != before:
            before, waiting, ids = len(ids), ids, []
            while waiting:
                new = self.merges.get((waiting[0], waiting[1])) if len(waiting) > 1 else None
                ids.append(waiting[0] if new is None else new)
                waiting = waiting[1 if new is None else 2 :]
        return ids

    def decode(self, ids: list[int]) -> str:
        return "".join(self.pieces[number] for number in ids).replace(SPACE, " ")


def words(text: str) -> Iterator[str]:
    """The words of a text, each with the space before it as a mark."""
    for match in WORD.finditer(text):
        yield match[0].replace(" ", SPACE)


def _marks(ids: list[int] | tuple[int, ...]) -> str:
    """Ids as a string with one character each: searching and replacing in those is fast."""
    return "".join(map(chr, ids))


def train(text: str, size: int, *, across_words: bool = False) -> TrainedBPE:
    """Merge the pair that stands together most often, again and again, until there are `size` pieces.

    Of several such pairs the one that comes first in the text is taken. `across_words`: the text is one long word, so
    that pieces may hold spaces anywhere.

    Raises:
        ValueError: `size` is below what single letters take.
    """
    sequences = Counter([text.replace(" ", SPACE)] if across_words else words(text))
    letters = [chr(number) for number in range(256)]
    further = sorted({SPACE, *(letter for word in sequences for letter in word)}.difference(letters))
    pieces = [*letters, *further, END]
    if size < len(pieces):
        raise ValueError(f"vocab_size={size}: single letters take {len(pieces)}; possible: {len(pieces)} or more")
    place = {piece: number for number, piece in enumerate(pieces)}
    # in order of first appearance, which decides between pairs that are equally frequent
    rows = {_marks([place[letter] for letter in word]): count for word, count in sequences.items()}
    merges: dict[tuple[int, int], int] = {}
    while len(pieces) < size:
        counts: Counter[tuple[str, str]] = Counter()
        for row, count in rows.items():
            for pair in pairwise(row):
                counts[pair] += count
        if not counts:
            break
        one, other = max(counts, key=counts.__getitem__)
        merges[ord(one), ord(other)] = new = len(pieces)
        pieces.append(pieces[ord(one)] + pieces[ord(other)])
        rows = {row.replace(one + other, chr(new)): count for row, count in rows.items()}
    return TrainedBPE(pieces, merges)
