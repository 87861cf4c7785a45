"""What frozen blocks give, at its borders: files, room, groups, and batches against the model itself, without a run."""

import logging
import mmap
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scratchlab.assets.fetch import sha256
from scratchlab.data.spam import EncodedMessages
from scratchlab.model import tune
from scratchlab.model.classifier import class_logits
from scratchlab.model.compute import Compute
from scratchlab.model.config import GPTConfig, Position, Trainable, TuneConfig
from scratchlab.model.gpt import GPT
from scratchlab.runs.config import ComputeConfig, Device, Precision
from scratchlab.training import frozen, kept
from scratchlab.training.frozen import Depth, Prefix
from scratchlab.training.kept_split import KeptSplit, WithKept


@pytest.fixture(autouse=True)
def features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCRATCHLAB_FEATURES", str(tmp_path / "deep" / "features"))
    return tmp_path / "deep" / "features"


# tensors in files

PARTS = [torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0], [5.0, 6.0]])]


def take(key: str = "some", parts: list[Tensor] = PARTS) -> kept.Mapped:
    return kept.take(key, (3, 2), torch.float32, lambda: parts, "a test")


def test_where_it_lies_can_be_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCHLAB_CACHE", str(tmp_path / "cache"))
    assert kept.folder() == tmp_path / "deep" / "features"
    monkeypatch.delenv("SCRATCHLAB_FEATURES")
    assert kept.folder() == tmp_path / "cache" / "features"


def test_a_tensor_is_written_once_and_read_from_its_file(features: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert take().tensor.tolist() == [[1, 2], [3, 4], [5, 6]] and caplog.text == ""
    assert sorted(path.name for path in features.iterdir()) == ["some.bin", "some.json", "some.lock"]
    (features / "some.json").touch()
    os.utime(features / "some.json", (1, 1))
    assert take(parts=[]).tensor.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert (features / "some.json").stat().st_mtime > 1  # used now
    assert kept._about("some") == {
        "shape": [3, 2], "dtype": "torch.float32", "sha256": sha256(features / "some.bin"), "about": "a test"
    }  # fmt: skip


def test_what_was_read_is_given_back_where_the_system_can(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    memory: Any = SimpleNamespace(madvise=asked.append)
    monkeypatch.setattr(mmap, "MADV_DONTNEED", 77, raising=False)
    kept.Mapped(torch.zeros(1), memory).release()
    assert asked == [77]
    monkeypatch.delattr(mmap, "MADV_DONTNEED")
    kept.Mapped(torch.zeros(1), memory).release()
    assert asked == [77]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "some.json").unlink(), "not whole"),
        (lambda folder: (folder / "some.json").write_text("{}"), "not whole"),
        (lambda folder: (folder / "some.json").write_text("[1]"), "not whole"),
        (lambda folder: os.truncate(folder / "some.bin", 20), "20 bytes instead of 24"),
        (lambda folder: (folder / "some.bin").write_bytes(b"x" * 24), "its content has changed"),
    ],
)
def test_why_a_tensor_cannot_be_used_is_told_and_it_is_computed_again(
    spoil: Any, said: str, features: Path, caplog: pytest.LogCaptureFixture
) -> None:
    take()
    assert kept._problem("some", (3, 2), torch.float32) == ""
    spoil(features)
    assert kept._problem("some", (3, 2), torch.float32) == said
    assert take(parts=[PARTS[1], PARTS[0]]).tensor.tolist() == [[3, 4], [5, 6], [1, 2]]
    assert f"{features / 'some.bin'} cannot be used ({said}): computing it again" in caplog.text


def test_a_tensor_of_another_shape_or_format_is_another_one(features: Path) -> None:
    take()
    assert kept._problem("some", (2, 3), torch.float32) == "[3, 2] torch.float32 instead of [2, 3] torch.float32"
    assert kept._problem("some", (3, 2), torch.int32) == "[3, 2] torch.float32 instead of [3, 2] torch.int32"
    assert kept._problem("other", (3, 2), torch.float32) == "not whole"
    (features / "some.bin").unlink()
    assert kept._problem("some", (3, 2), torch.float32) == "not whole"


def test_what_does_not_fill_the_announced_shape_is_not_kept(features: Path) -> None:
    with pytest.raises(AssertionError, match=r"8 bytes were computed for .*some.bin, and \[3, 2\] torch.float32"):
        take(parts=PARTS[:1])
    assert kept._problem("some", (3, 2), torch.float32) == "not whole"


def put(folder: Path, key: str, size: int, used: float) -> None:
    """A kept tensor of so many bytes, description included."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in ((f"{key}.bin", b"x" * (size - 2)), (f"{key}.json", b"{}")):
        (folder / name).write_bytes(content)
        os.utime(folder / name, (used, used))


def test_entries_say_size_and_last_use_of_all_that_a_key_has(features: Path) -> None:
    assert kept.entries() == []
    put(features, "b", 7, 20.0)
    put(features, "a", 5, 0.5)
    (features / ".a.bin.99").write_bytes(b"half")
    os.utime(features / ".a.bin.99", (0.25, 0.25))
    (features / "a.lock").touch()
    (features / "a.json").write_text('{"x": 1}')
    os.utime(features / "a.json", (0, 0))
    assert kept.entries() == [kept.Entry("a", 3 + 8 + 4, 0.5, {"x": 1}), kept.Entry("b", 7, 20.0, {})]


def test_what_is_removed_is_gone_with_what_a_killed_process_left(features: Path) -> None:
    from filelock import FileLock

    put(features, "a", 5, 1.0)
    put(features, "b", 5, 1.0)
    (features / ".a.bin.99").touch()
    with FileLock(features / "a.lock"):
        assert kept.remove("a") is False
    assert (features / "a.bin").exists() and kept.remove("a") is True
    assert {path.name for path in features.iterdir() if path.suffix != ".lock"} == {"b.bin", "b.json"}
    assert kept.remove("a") is True  # nothing is left to remove


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes free on the disk, which a test may change."""
    found = [10**15]
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=found[0]))
    return found


def test_more_than_the_limit_is_refused_before_anything_is_removed(features: Path, free: list[int]) -> None:
    put(features, "old", 5, 1.0)
    assert kept.make_room({"a": 10**9, "b": 10**9 + 1}, 2.0) == "2 GB are more than compute.frozen_gigabytes=2"
    assert (features / "old.bin").exists()
    assert kept.make_room({"a": 10**9, "b": 10**9 - 5}, 2.0) == "" and (features / "old.bin").exists()
    assert kept.make_room({"a": 10**9, "b": 10**9}, 2.0) == "" and not (features / "old.bin").exists()


def test_what_was_used_longest_ago_goes_first_and_only_as_much_as_is_needed(
    features: Path, free: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for number, key in enumerate(("c", "b", "a", "mine")):
        put(features, key, 10, 100.0 + number)
    put(features, "mine", 10, 1.0)  # what is needed itself stays, however old
    assert kept.make_room({"mine": 10, "more": 5}, 35e-9) == ""
    assert {entry.key for entry in kept.entries()} == {"a", "b", "mine"}
    assert "removed 1e-08 GB that were kept as c" in caplog.text and "kept as b" not in caplog.text


def test_what_another_process_works_on_stays_and_may_fill_the_limit(features: Path, free: list[int]) -> None:
    from filelock import FileLock

    put(features, "a", 10, 1.0)
    put(features, "b", 10, 2.0)
    with FileLock(features / "a.lock"):
        assert kept.make_room({"mine": 10}, 20e-9) == "" and {e.key for e in kept.entries()} == {"a"}
        said = kept.make_room({"mine": 11}, 20e-9)
    assert said == "compute.frozen_gigabytes=2e-08 are full with what other processes compute"


def test_what_is_not_there_yet_must_fit_on_the_disk(features: Path, free: list[int]) -> None:
    assert [kept.make_room({"a": 10}, 8.0) for _ in range(2)] == [""] * 2 and features.is_dir()
    put(features, "there", 10, 1.0)
    needed = {"there": 10**9, "a": 10**9, "b": 5 * 10**8}
    free[0] = 15 * 10**8
    assert kept.make_room(needed, 8.0) == ""
    free[0] -= 1
    assert kept.make_room(needed, 8.0) == f"1.5 GB are more than the 1.5 free at {features}"


def test_a_process_that_waits_says_so(features: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    import filelock

    tried: list[Any] = []

    class Taken:
        """A lock that somebody holds at the first try."""

        def __init__(self, path: Path) -> None:
            self.path = path

        def acquire(self, timeout: float | None = None) -> None:
            tried.append((Path(self.path).name, timeout))
            if timeout is not None:
                raise filelock.Timeout(str(self.path))

        def release(self) -> None:
            tried.append("released")

    monkeypatch.setattr(filelock, "FileLock", Taken)
    caplog.set_level(logging.INFO)
    with kept._locked("some"):
        assert "another process works on what is kept as some: waiting for it" in caplog.text
    assert tried == [("some.lock", 0), ("some.lock", None), "released"]


# splits


def split(*lengths: int, width: int = 4, dtype: torch.dtype = torch.bfloat16) -> KeptSplit:
    rows = [[1] * length for length in lengths]
    data = EncodedMessages(rows, [0] * len(rows), None, pad=0)
    return KeptSplit("key", data, [torch.tensor(row) for row in rows], list(lengths), width, dtype)


def test_a_split_is_as_large_as_its_rows_by_their_width_and_format() -> None:
    found = split(3, 1, 2)
    assert found.shape == (6, 4) and found.size == 6 * 4 * 2 and found.order == [1, 2, 0]
    assert split(5, width=3, dtype=torch.float32).size == 5 * 3 * 4


def test_groups_have_up_to_1024_tokens_with_their_padding() -> None:
    def sizes(*lengths: int, padded: bool = True) -> list[int]:
        return [len(group) for group in split(*lengths).groups(padded=padded)]

    assert sizes(*[4] * 300) == [256, 44]  # 1,024 tokens are not too many
    assert sizes(*[5] * 300) == [204, 96]  # 1,025 would be
    assert sizes(2000, 2000) == [1, 1] and sizes(1, 1023) == [1, 1] and sizes(2, 512) == [2]
    assert sizes(3, 1, 2, 2, 3, 3, padded=False) == [1, 2, 3] and sizes(3, 1, 2, 2, 3, 3) == [6]
    assert list(split(3, 1, 2, 2).groups(padded=False)) == [[1], [2, 3], [0]]
    assert sizes(*[512] * 3, padded=False) == [2, 1]


def test_batches_end_with_what_is_kept_of_their_examples_wherever_it_lies() -> None:
    given = split(3, 1, 2, width=1, dtype=torch.float32)
    memory: Any = SimpleNamespace(madvise=lambda _: None)
    # on disk by length: example 1, then 2, then 0
    found = WithKept(given, kept.Mapped(torch.tensor([[1.0], [20.0], [21.0], [0.5], [0.6], [0.7]]), memory))
    assert len(found) == 3
    rows = [found.kept.tensor[found.places[i]].flatten().tolist() for i in range(3)]
    assert rows[1] == [1.0] and rows[2] == [20.0, 21.0] and rows[0] == pytest.approx([0.5, 0.6, 0.7])
    even = replace(given, data=EncodedMessages([[1] * 3] * 3, [0, 1, 0], 3, pad=0))
    ids, labels, indices, x = WithKept(even, found.kept).__getitems__([2, 1])
    assert ids.shape == (2, 3) and labels.tolist() == [0, 1] and indices.tolist() == [2, 1]
    assert x.tolist() == [[[20.0], [21.0]], [[1.0], [0.0]]]


# the frozen part


def part(
    first: int, blocks: int = 3, *, head: bool = True, norm: bool = False, dtype: str = "float32", **more: Any
) -> Any:
    """The frozen part of what stands for a model, whose first trainable part is `first`."""
    model: Any = SimpleNamespace(
        first_trainable=lambda: first,
        blocks=[None] * blocks,
        final_norm=nn.LayerNorm(2).requires_grad_(norm),
        out_head=nn.Linear(2, 2) if head else None,
    )
    machine: Any = SimpleNamespace(config=SimpleNamespace(precision=Precision[dtype]))
    found = Prefix.of(model, machine, more.get("position", Position.last))
    return found.blocks, found.depth


def test_what_lies_before_the_first_trainable_part_is_frozen() -> None:
    # 0: the embedding trains; 1 to 3: a block; 4: norm or head; 5: nothing
    assert [part(first)[0] for first in range(6)] == [0, 0, 1, 2, 3, 3]
    assert [part(first)[1] for first in range(6)] == [Depth.states] * 4 + [Depth.read] * 2
    assert part(4, norm=True) == (3, Depth.read) and part(3, position=Position.mean) == (2, Depth.states)


def test_the_mean_is_kept_where_the_head_is_linear_and_nothing_rounds_between() -> None:
    assert part(4, position=Position.mean) == (3, Depth.mean)
    for other in ({"norm": True}, {"head": False}, {"dtype": "bfloat16"}, {"head": False, "dtype": "bfloat16"}):
        assert part(4, position=Position.mean, **other) == (3, Depth.states)


PAD = 50256


def classifier(trainable: Trainable = Trainable.last_block, **changes: Any) -> GPT:
    torch.manual_seed(7)
    shape = {"context_length": 8, "emb_dim": 4, "n_heads": 2, "n_layers": 3} | changes
    model = GPT(GPTConfig(**shape))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.5)  # wide enough that every token counts
    tune.add_class_head(model, 2)
    lora = {"lora_rank": 2, "lora_alpha": 2.0} if trainable is Trainable.lora else {}
    tune.choose_trainable(model, TuneConfig(trainable=trainable, **lora), new_head=True)  # type: ignore[arg-type]
    return model


def on(**settings: Any) -> Compute:
    return Compute(torch.device("cpu"), ComputeConfig(device=Device.cpu, **settings))


ROWS = [[1, 2, 3, 4, 5], [6, 7], [8, 9, 10], [11, 12, 13, 14]]


def splits(length: int | None = None) -> dict[str, EncodedMessages]:
    data = {"train": ROWS, "val": ROWS[:1]}
    return {name: EncodedMessages(rows, [0] * len(rows), length, pad=PAD) for name, rows in data.items()}


CASES = [
    (Trainable.last_block, Position.last, {}, 6, Depth.states),
    (Trainable.last_block, Position.last_real, {}, 6, Depth.states),
    (Trainable.last_two_blocks, Position.mean, {"causal": False}, None, Depth.states),
    (Trainable.last_two_blocks, Position.first, {}, None, Depth.states),
    (Trainable.last_layer, Position.last_real, {}, 6, Depth.read),
    (Trainable.last_layer, Position.last, {}, None, Depth.read),
    (Trainable.last_layer, Position.first, {"causal": False}, 6, Depth.read),
    (Trainable.last_layer, Position.mean, {}, None, Depth.mean),
    (Trainable.last_layer, Position.mean, {"causal": False}, 6, Depth.mean),
]


@pytest.mark.parametrize(("trainable", "position", "changes", "length", "depth"), CASES)
def test_what_is_kept_leads_to_the_logits_of_the_whole_model(
    trainable: Trainable, position: Position, changes: dict[str, Any], length: int | None, depth: Depth
) -> None:
    model = classifier(trainable, **changes).eval()
    assert Prefix.of(model, on(), position).depth is depth
    given = splits(length)
    short = frozen.shorten(model, on(), position, given)
    assert len(short.computed["reuse_frozen"]) == 64 and short.computed["only_needed"] is True
    assert short.lengths is None and set(short.splits) == {"train", "val"}
    for name, rows in (("train", [[2], [0], [3], [1]]), ("val", [[0]])):
        for batch in rows if length is None else [sum(rows, [])]:
            items = short.splits[name].__getitems__(batch)  # type: ignore[attr-defined]
            expected = class_logits(model, items[0], position)
            torch.testing.assert_close(short.logits_of(items), expected, atol=1e-5, rtol=1e-5)
            assert items[1].tolist() == [0] * len(batch) and items[2].tolist() == batch


@pytest.mark.parametrize(
    ("trainable", "position", "changes", "together"),
    [
        (Trainable.last_block, Position.last, {}, [1, 4, 1]),  # padding acts on nothing
        (Trainable.last_block, Position.last, {"causal": False}, [1, 1, 1, 1, 1, 1]),
        (Trainable.last_layer, Position.last, {}, [1, 4, 1]),
        (Trainable.last_layer, Position.mean, {}, [1, 1, 1, 1, 1, 1]),  # a mean would be over it
    ],
)
def test_rows_are_padded_where_that_acts_on_nothing(
    trainable: Trainable, position: Position, changes: Any, together: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    call = Prefix.__call__

    def watched(self: Prefix, rows: list[Tensor]) -> Tensor:
        sizes.append(len(rows))
        return call(self, rows)

    monkeypatch.setattr(Prefix, "__call__", watched)
    frozen.shorten(classifier(trainable, **changes), on(), position, splits())
    assert sizes == together  # a token to see the width, then the splits


@pytest.mark.parametrize(
    ("trainable", "changes", "settings", "reason"),
    [
        (Trainable.last_block, {}, {"shard": True}, "compute.shard=true"),
        (Trainable.last_block, {}, {"shard": True, "reuse_frozen": False}, "compute.shard=true"),
        (Trainable.last_block, {}, {"reuse_frozen": False}, "compute.reuse_frozen=false"),
        (Trainable.all, {}, {}, "no block is frozen"),
        (Trainable.lora, {}, {}, "no block is frozen"),
        (Trainable.last_block, {"drop_rate_emb": 0.5}, {}, "the frozen blocks draw random numbers"),
        (
            Trainable.last_block,
            {},
            {"frozen_gigabytes": 1e-9},
            "3.04e-07 GB are more than compute.frozen_gigabytes=1e-09",
        ),
    ],
)
def test_where_nothing_is_kept_the_reason_is_told(
    trainable: Trainable, changes: Any, settings: Any, reason: str, features: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given, model = splits(), classifier(trainable, **changes).train()
    short = frozen.shorten(model, on(**settings), Position.last, given)
    assert short.computed == {"reuse_frozen": f"off: {reason}", "only_needed": True} and short.splits is given
    assert not list(features.glob("*.bin")) and model.training
    tried = "2 frozen blocks give is computed again and again"
    assert (tried in caplog.text) is ("gigabytes" in reason)  # what was tried in vain is worth a warning


def test_a_single_example_can_be_kept() -> None:
    given = {"train": EncodedMessages([[1, 2]], [0], None, pad=PAD)}
    assert len(frozen.shorten(classifier(), on(), Position.last, given).computed["reuse_frozen"]) == 64


def test_a_disk_that_fails_is_a_reason_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept, "_write", full)
    short = frozen.shorten(classifier(), on(), Position.last, splits())
    assert short.computed["reuse_frozen"] == "off: it cannot be kept: [Errno 28] No space left on device"


def test_a_model_for_one_token_can_be_asked_whether_it_draws() -> None:
    assert Prefix.of(classifier(context_length=1), on(), Position.last).refusal() == ""


@pytest.mark.parametrize(
    ("settings", "position", "length", "causal", "sorted_"),
    [
        ({}, Position.last_real, 6, True, True),
        ({"only_needed": False}, Position.last_real, 6, True, False),
        ({}, Position.last, 6, True, False),
        ({}, Position.last_real, None, True, False),
        ({}, Position.last_real, 6, False, False),
    ],
)
def test_rows_of_like_length_go_together_where_what_follows_is_left_out(
    settings: Any, position: Position, length: int | None, causal: bool, sorted_: bool
) -> None:
    model, given = classifier(causal=causal).eval(), splits(length)
    short = frozen.shorten(model, on(reuse_frozen=False, **settings), position, given)
    assert (short.lengths is not None) is sorted_
    if short.lengths is not None:
        assert short.lengths(given["train"].rows).tolist() == [4, 1, 2, 3]  # type: ignore[arg-type]
    items = given["train"].__getitems__([2])
    torch.testing.assert_close(short.logits_of(items), class_logits(model, items[0], position), atol=1e-5, rtol=1e-5)


def test_what_acts_on_what_is_kept_is_in_its_hash_and_nothing_else() -> None:
    def of(trainable: Trainable = Trainable.last_block, position: Position = Position.last, **settings: Any) -> str:
        return Prefix.of(model_of[trainable], on(**settings), position).hash()

    model_of = {trainable: classifier(trainable) for trainable in (Trainable.last_block, Trainable.last_layer)}
    before = of()
    assert before == of(position=Position.first) == of(position=Position.mean)  # states of all tokens, whoever reads
    head = Trainable.last_layer
    assert len({before, of(head), of(head, Position.first), of(head, Position.mean)}) == 4
    assert len({before, of(precision=Precision.bfloat16), of(compile=True)}) == 3
    parameters = dict(model_of[Trainable.last_block].named_parameters())
    for name in ("out_head.weight", "trf_blocks.2.norm1.scale"):
        parameters[name].data += 1.0
    assert of() == before  # what trains
    parameters["trf_blocks.1.norm1.scale"].data += 1.0
    assert of() != before


def test_the_key_of_a_split_is_of_the_frozen_part_and_of_the_tokens_that_count(features: Path) -> None:
    def keys(position: Position, rows: list[list[int]]) -> set[str]:
        for path in features.glob("*"):
            path.unlink()
        given = {"train": EncodedMessages(rows, [0] * len(rows), None, pad=PAD)}
        frozen.shorten(classifier(), on(), position, given)
        return {entry.key for entry in kept.entries()}

    first = keys(Position.first, [[1, 2], [3]])
    (key,) = first
    shared, _, ids = key.partition("_")
    assert len(shared) == len(ids) == 24
    assert keys(Position.first, [[1, 9], [3]]) == first  # what comes after the first token is never seen
    assert len(first | keys(Position.last, [[1, 2], [3]]) | keys(Position.last, [[1], [2, 3]])) == 3


def kept_of(*trained: tuple[Trainable, Position], precision: Any = Precision.float32, **changes: Any) -> list[Tensor]:
    """What is kept of both splits for the last of these trainings, made in this order."""
    for trainable, position in trained:
        model = classifier(trainable, **changes).eval()
        short = frozen.shorten(model, on(precision=precision), position, splits())
    return [split.kept.tensor.clone() for split in short.splits.values()]  # type: ignore[attr-defined]


@pytest.mark.parametrize("trainable", [Trainable.last_block, Trainable.last_layer])
@pytest.mark.parametrize("changes", [{}, {"causal": False}])
@pytest.mark.parametrize("precision", Precision)
def test_what_fewer_blocks_gave_is_gone_on_from_to_the_same_bits(
    precision: Precision,
    changes: dict[str, Any],
    trainable: Trainable,
    features: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    last = (trainable, Position.last)
    alone = kept_of(last, precision=precision, **changes)
    assert "from what" not in caplog.text
    shutil.rmtree(features)
    found = kept_of((Trainable.last_two_blocks, Position.last), last, precision=precision, **changes)
    assert caplog.text.count(", from what 1 gave") == 2, "both splits"
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, alone, strict=True))


def test_what_is_not_whole_or_of_other_blocks_or_groups_is_not_gone_on_from(
    features: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    last, mean = (Trainable.last_layer, Position.last), (Trainable.last_layer, Position.mean)
    kept_of((Trainable.last_two_blocks, Position.last))
    kept_of(last, n_heads=1)  # other blocks
    kept_of(mean)
    for path in features.glob("*.json"):
        path.unlink()
    alone = kept_of(last)
    assert "from what" not in caplog.text
    assert (kept_of(last)[0] == alone[0]).all()
    shutil.rmtree(features)
    rounded = kept_of(last, precision=Precision.bfloat16)
    shutil.rmtree(features)
    # in bfloat16 the whole of all blocks is kept for a mean: not what the last block reads
    found = kept_of(mean, last, precision=Precision.bfloat16)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, rounded, strict=True))
