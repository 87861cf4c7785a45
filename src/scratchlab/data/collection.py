"""Messages with a label: read or generated, balanced and split (chapter 6); needs no torch."""

from typing import TYPE_CHECKING

from scratchlab.data import readers
from scratchlab.data.config import MessagesConfig, Split
from scratchlab.data.readers import SPLITS
from scratchlab.data.sources import FILE

if TYPE_CHECKING:
    import pandas as pd


def load(config: MessagesConfig, *, local_only: bool = False) -> dict[str, "pd.DataFrame"]:
    """The train, val and test rows, columns Label (0 ham, 1 spam; the place of its class) and Text, indexed by row.

    `local_only`: do not go to the network for them.

    Raises:
        FileNotFoundError: the file could not be had.
        ValueError: it has a malformed row.
    """
    chosen = config.chosen
    if config.source == FILE:
        frames = _own(config)
    else:
        if chosen.generate:
            frame = chosen.generate(config.size, seed=config.split_seed)
        else:
            frame = readers.messages(chosen.file(local_only=local_only))
        frames = split(balance(frame, config.split_seed), config)
    if config.shuffle_labels:
        # on a copy, in the split's order: texts and the share of spam stay, only what goes with what is lost
        labels = frames["train"]["Label"].sample(frac=1, random_state=config.split_seed).to_numpy()
        frames["train"] = frames["train"].assign(Label=labels)
    return frames


def _own(config: MessagesConfig) -> dict[str, "pd.DataFrame"]:
    """The splits of a file of one's own: every row as it is, nothing balanced.

    Raises:
        ValueError: a split is empty, or training lacks a class.
    """
    path = config.chosen.file()
    frame = readers.labelled(path, config.text, config.label, config.split_column)
    places = {name: place for place, name in enumerate(config.classes)}
    frame = frame.assign(Label=frame["Label"].map(places))
    if config.split_column:
        frames = {name: frame[frame["Split"] == name] for name in SPLITS}
    else:
        frames = split(frame, config)
    if empty := [name for name in SPLITS if frames[name].empty]:
        raise ValueError(f"{path}: data.split_column={config.split_column} puts no row into {', '.join(empty)}")
    if lacking := [name for name, place in places.items() if not (frames["train"]["Label"] == place).any()]:
        how = f"split_column={config.split_column}" if config.split_column else f"split_seed={config.split_seed}"
        raise ValueError(f"{path}: with data.{how} the training rows have none of the class {', '.join(lacking)}")
    return frames


def balance(frame: "pd.DataFrame", seed: int) -> "pd.DataFrame":
    """Keep all spam and as many ham, ham first; labels become 0 and 1."""
    import pandas as pd

    spam = frame[frame["Label"] == "spam"]
    ham = frame[frame["Label"] == "ham"].sample(len(spam), random_state=seed)
    both = pd.concat([ham, spam])
    return both.assign(Label=both["Label"].map(readers.LABELS))


def split(frame: "pd.DataFrame", config: MessagesConfig) -> dict[str, "pd.DataFrame"]:
    """Shuffle and cut into 70 %, 10 % and the rest.

    The script behind the book's table of variants shuffles once more than the notebook, with the same seed, so that its
    splits are others.
    """
    for _ in range(2 if config.split is Split.script else 1):
        frame = frame.sample(frac=1, random_state=config.split_seed)
    train_end = int(len(frame) * 0.7)
    val_end = train_end + int(len(frame) * 0.1)
    return dict(zip(SPLITS, (frame[:train_end], frame[train_end:val_end], frame[val_end:]), strict=True))


def copies(frames: dict[str, "pd.DataFrame"], name: str = "test") -> list[bool]:
    """For each row of a split, whether its very text stands in the training split too."""
    return frames[name]["Text"].isin(set(frames["train"]["Text"])).tolist()
