"""Splits, padding and batches of the messages; fingerprints derived from the published row order."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest
import torch

from scratchlab.data import collection, readers, sources, spam
from scratchlab.data import generated as generated_messages
from scratchlab.data.config import MessagesConfig, Split
from scratchlab.text.tokenizer import gpt2

pytestmark = pytest.mark.vocabulary

SPLITS = {
    # first five row numbers of the file, last one, spam among them, first 16 digits of the hash of all of them in order
    (Split.notebook, "train"): ([2087, 4694, 881, 1172, 2170], 3983, 517, 1045, "186b759d5191782a"),
    (Split.notebook, "val"): ([3778, 1263, 990, 3053, 839], 4237, 79, 149, "99a1c80a21d16abf"),
    (Split.notebook, "test"): ([2079, 3230, 3720, 4609, 3126], 4768, 151, 300, "87d71de6c549a4ed"),
    (Split.script, "train"): ([4141, 1307, 3495, 2420, 3976], 763, 515, 1045, "d4c6ddde435ca0e0"),
    (Split.script, "val"): ([1163, 564, 1380, 250, 4653], 3660, 73, 149, "92fd600e8dc60b31"),
    (Split.script, "test"): ([4517, 2493, 3043, 2003, 3742], 474, 159, 300, "6e0f30e58a28dc4b"),
}


@pytest.mark.parametrize("kind", list(Split))
def test_both_published_splits_come_out_row_by_row(kind: Split, spam_file: Path) -> None:
    frames = spam.load(MessagesConfig(split=kind))
    for name, frame in frames.items():
        first, last, of_spam, size, digest = SPLITS[kind, name]
        rows = [int(i) for i in frame.index]
        assert (rows[:5], rows[-1], len(rows)) == (first, last, size)
        assert int(frame["Label"].sum()) == of_spam
        assert hashlib.sha256(",".join(map(str, rows)).encode()).hexdigest()[:16] == digest


def test_the_collection_has_the_rows_that_default_quoting_gives(spam_file: Path) -> None:
    frame = readers.messages(spam_file)
    assert Counter(frame["Label"]) == {"ham": 4825, "spam": 747}


def test_the_longest_training_message_sets_the_length_of_all_splits(spam_file: Path) -> None:
    config = MessagesConfig()
    encoded = spam.encode(spam.load(config), config, gpt2(), 1024)
    assert encoded.length == encoded.longest == 120
    batches = {name: len(loader) for name, loader in spam.loaders(encoded.splits, 8).items()}
    assert batches == {"train": 130, "val": 19, "test": 38}


@pytest.mark.parametrize(("pad_to", "length"), [("context", 200), (64, 64), (2, 2)])
def test_padding_to_a_length_pads_and_cuts(pad_to: int | str, length: int) -> None:
    config = generated(pad_to=pad_to)
    encoded = spam.encode(spam.load(config), config, gpt2(), 200)
    for split in encoded.splits.values():
        assert isinstance(split.rows, torch.Tensor) and split.rows.shape[1] == length


def test_without_padding_rows_keep_their_own_length() -> None:
    config = generated(pad_to="none")
    encoded = spam.encode(spam.load(config), config, gpt2(), 200)
    lengths = {batch[0].shape[1] for batch in spam.loaders(encoded.splits, 1)["test"]}
    assert encoded.length is None and len(lengths) > 5 and max(lengths) <= encoded.longest


def test_rows_longer_than_the_context_are_refused_with_what_is_possible() -> None:
    config = generated()
    with pytest.raises(ValueError, match="data.pad_to=longest makes rows of .* model.context_length=8"):
        spam.encode(spam.load(config), config, gpt2(), 8)


def generated(**changes: object) -> MessagesConfig:
    return MessagesConfig(source="messages", size=400, **changes)  # type: ignore[arg-type]


def test_batches_come_with_the_index_of_each_row() -> None:
    config = generated()
    encoded = spam.encode(spam.load(config), config, gpt2(), 200)
    loader = spam.loaders(encoded.splits, 8)["train"]
    seen = torch.cat([index for _, _, index in loader])
    assert len(seen) == len(set(seen.tolist())) == 280
    for ids, labels, index in loader:
        assert torch.equal(ids, encoded.splits["train"].rows[index])  # type: ignore[index]
        assert torch.equal(labels, encoded.splits["train"].labels[index])


def test_only_the_training_rows_are_shuffled() -> None:
    encoded = spam.encode(spam.load(generated()), generated(), gpt2(), 200)
    torch.manual_seed(7)
    order = {
        name: torch.cat([index for _, _, index in loader]).tolist()
        for name, loader in spam.loaders(encoded.splits, 8).items()
    }
    assert order["train"] != sorted(order["train"])
    assert order["val"] == list(range(40)) and order["test"] == list(range(80))


def test_shuffled_labels_change_what_goes_with_what_and_nothing_else() -> None:
    plain, dealt = (spam.load(generated(shuffle_labels=shuffle)) for shuffle in (False, True))
    assert plain["train"]["Text"].equals(dealt["train"]["Text"])
    made = generated_messages.generate(400, seed=123).loc[plain["train"].index]
    assert plain["train"]["Label"].tolist() == [int(label == "spam") for label in made["Label"]]
    assert plain["train"]["Label"].sum() == dealt["train"]["Label"].sum()
    agree = (plain["train"]["Label"] == dealt["train"]["Label"]).mean()
    assert 0.35 < agree < 0.65
    assert plain["test"].equals(dealt["test"]) and plain["val"].equals(dealt["val"])


def test_messages_are_fetched_unless_asked_not_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []
    file = tmp_path / "SMSSpamCollection"
    file.write_text("".join(f"{'ham' if n % 2 else 'spam'}\tmessage {n}\n" for n in range(40)))

    def fetch(asset: object, *, local_only: bool, check: object) -> Path:
        asked.append(local_only)
        return file

    monkeypatch.setattr(sources, "fetch", fetch)
    collection.load(MessagesConfig())
    collection.load(MessagesConfig(), local_only=True)
    assert asked == [False, True]


def test_generated_messages_are_seeded_balanced_and_never_repeat() -> None:
    frame = generated_messages.generate(1000, seed=1)
    assert frame.equals(generated_messages.generate(1000, seed=1))
    assert not frame.equals(generated_messages.generate(1000, seed=2))
    assert Counter(frame["Label"]) == {"ham": 500, "spam": 500}
    assert frame["Text"].nunique() > 990


@pytest.mark.parametrize("first", [1, 3])
def test_the_first_tokens_of_generated_messages_tell_almost_nothing(first: int) -> None:
    config = MessagesConfig(source="messages", size=4000)
    frames = spam.load(config)
    encoded = spam.encode(frames, config, gpt2(), 200)
    votes: dict[int, Counter[int]] = {}
    train, test = encoded.splits["train"], encoded.splits["test"]
    for row, label in zip(train.rows, train.labels.tolist(), strict=True):
        for token in row[:first].tolist():
            votes.setdefault(token, Counter())[label] += 1
    right = 0
    for row, label in zip(test.rows, test.labels.tolist(), strict=True):
        tally: Counter[int] = Counter()
        for token in row[:first].tolist():
            tally += votes.get(token, Counter())
        right += tally.most_common(1)[0][0] == label if tally else 0
    assert right / len(test) < 0.62
