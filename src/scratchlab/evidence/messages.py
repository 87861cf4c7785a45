"""The messages behind the predictions of classification runs: what changed, in words."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scratchlab.data import collection, sources
from scratchlab.data.config import MessagesConfig, Split
from scratchlab.evidence.runs import Arm

if TYPE_CHECKING:
    import numpy as np

_KEYS = ("source", "size", "split", "split_seed", "path", "text", "label", "split_column")
"""Parts of `data` that choose which messages stand where in a split."""


class Messages:
    """The messages behind the predictions of classification runs, where their very files are on this machine."""

    def __init__(self, arms: Sequence[Arm]) -> None:
        self.lines: list[str] = []
        self._frames: dict[str, Any] = {}
        for arm in arms:
            self._load(arm)

    @staticmethod
    def _key(arm: Arm) -> str:
        there = {name: arm.config[f"data.{name}"] for name in _KEYS if f"data.{name}" in arm.config}
        return ", ".join(f"{name}={value}" for name, value in there.items())

    def _load(self, arm: Arm) -> None:
        key = self._key(arm)
        source = arm.config.get("data.source")
        if key in self._frames or source not in (*sources.keys(sources.MESSAGES), sources.FILE):
            return
        data = {name: arm.config[f"data.{name}"] for name in _KEYS if f"data.{name}" in arm.config}
        try:
            data["split"] = Split[data.get("split", Split.script.name)]
            config = MessagesConfig(**data)
            frames = collection.load(config, local_only=True)
            then, now = arm.runs[0].hashes.get("data"), config.inputs().get("data")
            if then and now and then != now:
                raise ValueError("the file has changed since")
        except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
            self._frames[key] = None
            self.lines.append(f"texts and copies are left out ({key}): {str(error).splitlines()[0]}")
            return
        self._frames[key] = frames
        there = collection.copies(frames)
        self.lines.append(f"{sum(there)} of {len(there)} test messages also stand in training, word for word ({key})")

    def copies(self, arms: Sequence[Arm]) -> "dict[str, np.ndarray]":
        """Which test items stand in training too, by arm label."""
        import numpy as np

        there = {key: np.array(collection.copies(frames)) for key, frames in self._frames.items() if frames is not None}
        return {arm.label: there[self._key(arm)] for arm in arms if self._key(arm) in there}

    def add_texts(self, changed: dict[str, list[dict[str, Any]]], arms: Mapping[str, Arm], split: str) -> None:
        """Lay the message beside every item of `split` that changed."""
        for label, items in changed.items():
            frames = self._frames.get(self._key(arms[label]))
            if frames is not None and items:
                texts = frames[split]["Text"].tolist()
                for item in items:
                    if item["index"] < len(texts):
                        item["text"] = texts[item["index"]]
