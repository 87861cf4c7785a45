"""What every run has, whatever its task: a name, a seed, compute, tracking and the claims it is held against."""

import hashlib
import json
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, ClassVar

from scratchlab import __version__


class Device(Enum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Precision(Enum):
    float32 = "float32"
    bfloat16 = "bfloat16"


@dataclass(kw_only=True)
class ComputeConfig:
    """Where and how numbers are computed."""

    device: Device = Device.auto
    """`auto` takes CUDA where there is one, else the CPU; mps only when asked (its numbers differ, see the docs)."""
    precision: Precision = Precision.float32
    compile: bool = False
    threads: int = 0
    """CPU threads; 0 leaves torch's choice."""

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise ValueError(f"compute.threads={self.threads}: must be 0 (torch's choice) or more")


class TrackingMode(Enum):
    none = "none"
    auto = "auto"
    online = "online"
    offline = "offline"


@dataclass(kw_only=True)
class TrackingConfig:
    """How a run is logged to Weights & Biases."""

    mode: TrackingMode = TrackingMode.none
    """`auto` is online where there is a login, else offline (`wandb sync` uploads later)."""
    project: str = "scratchlab"
    group: str = ""
    """Default: the run's name, so that seeds of one experiment stand together."""
    tags: list[str] = field(default_factory=list)


class ClaimKind(Enum):
    exact = "exact"
    close = "close"
    count = "count"
    score = "score"
    relation = "relation"
    ratio = "ratio"


class Direction(Enum):
    none = "none"
    higher = "higher"
    lower = "lower"
    same = "same"


@dataclass(kw_only=True, frozen=True)
class Claim:
    """One published statement about a run's metric, with where it was published; nothing can change it."""

    metric: str
    value: Any = None
    """The number, list or text as printed; fractions, not percent. None for a relation."""
    kind: ClaimKind = ClaimKind.exact
    source: str
    quote: str = ""
    n: int = 0
    """Examples behind a proportion; 0 if the value is none."""
    note: str = ""
    """Known discrepancies."""
    tolerance: float = 0.0
    """close: largest relative difference on the reference environment (CPU, float32)."""
    probability: float = 0.0
    """count: the exact probability behind it; `n` is then the number of draws."""
    max_halfwidth: float = 0.0
    """score: half-width of the prediction interval beyond which nothing can be told, in the metric's unit."""
    versus: str = ""
    """relation and ratio: the experiment this one is compared with."""
    direction: Direction = Direction.none
    margin: float = 0.0
    """relation: least difference in the claimed direction; same: largest difference still called the same."""
    judge: str = ""
    """A judged score: who judged, as parts of the judge's card: `backend=ollama, model=llama3`."""
    device: str = ""
    """A time, a ratio of times or a peak of memory: the device it was measured on."""

    def __post_init__(self) -> None:
        what = f"claim {self.kind.name} {self.metric}"
        if self.kind is ClaimKind.relation and (not self.versus or self.direction is Direction.none):
            raise ValueError(f"{what}: a relation needs versus=EXPERIMENT and direction=higher, lower or same")
        if self.direction is Direction.same and self.margin <= 0:
            raise ValueError(f"{what}: margin={self.margin}; `same` needs a margin above 0")
        if self.kind is ClaimKind.count and not (self.n > 0 and 0 < self.probability < 1):
            raise ValueError(
                f"{what}: n={self.n} probability={self.probability}; a count needs draws and a probability"
            )
        if self.kind not in (ClaimKind.relation, ClaimKind.ratio) and self.value is None:
            raise ValueError(f"{what}: no value; only a relation has none")


@dataclass(kw_only=True)
class Run:
    """The root of every configuration; tasks add their parts."""

    task: ClassVar[str] = ""
    """The task's name, as in `task=classify`."""
    recorded: ClassVar[bool] = True
    """False: the task only shows something and leaves no record."""
    reusable: ClassVar[bool] = True
    """False: the outcome depends on more than the configuration, so a finished run is done again."""

    name: str
    exercise: str = ""
    """The exercise of the appendix this answers, as `6.3`; several are comma-separated."""
    seed: int = 123
    out: str = "outputs"
    force: bool = False
    """Repeat a run that is already done."""
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    claims: list[Claim] = field(default_factory=list)

    def idle(self) -> dict[str, str]:
        """Keys that are set but cannot change a number in this run, each with the reason."""
        return {}

    def exit_code(self, metrics: dict[str, Any]) -> int:
        """What the command returns when the run is done; anything but 0 says that what it found is bad news."""
        return 0

    def inputs(self) -> dict[str, str]:
        """Hashes of the files this run would read, by name; cheap, and before anything is computed."""
        return {}


@dataclass(kw_only=True)
class TrainingRun(Run):
    """A run whose training goes on where it was stopped."""

    checkpoint_minutes: float = 10.0
    """Minutes of training after which its state is kept, to go on from if the run is stopped; 0: never."""

    def __post_init__(self) -> None:
        if self.checkpoint_minutes < 0:
            raise ValueError(f"checkpoint_minutes={self.checkpoint_minutes}: must be 0 (never) or more")


NOT_A_NUMBER_CHANGER = (
    *("name", "exercise", "out", "force", "tracking", "claims", "compute.threads", "save", "checkpoint_minutes"),
    *(f"judge.{key}" for key in ("timeout", "load_timeout", "retries", "wait", "concurrency")),
)
"""Keys that the fingerprint leaves out: they cannot change what a run measures."""


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Spread a (nested) dataclass into dotted keys and JSON values, enums by name."""
    flat: dict[str, Any] = {}
    for part in fields(config):
        value, key = getattr(config, part.name), f"{prefix}{part.name}"
        if is_dataclass(value):
            flat |= flatten(value, f"{key}.")
        else:
            flat[key] = plain(value)
    return flat


def plain(value: Any) -> Any:
    """Turn enums, dataclasses and containers of them into JSON values."""
    if isinstance(value, Enum):
        return value.name
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def matters(config: Run) -> dict[str, Any]:
    """The flat configuration, less what cannot change a number; what has no effect in this run is at its default."""
    flat = {
        key: value
        for key, value in flatten(config).items()
        if not any(key == out or key.startswith(f"{out}.") for out in NOT_A_NUMBER_CHANGER)
    }
    return flat | {key: _default(config, key) for key in config.idle()}


def _default(config: Any, key: str) -> Any:
    *parents, last = key.split(".")
    for parent in parents:
        config = getattr(config, parent)
    (field_,) = (part for part in fields(config) if part.name == last)
    return None if field_.default is MISSING else plain(field_.default)  # a field that must be given has none


def fingerprint(config: Run, without: tuple[str, ...] = ()) -> str:
    """Twelve hex digits that two runs share if and only if the same things can act in both.

    `without`: parts of the configuration, such as `judge`, that act only on what is not asked about.
    """
    flat = {key: value for key, value in matters(config).items() if key.split(".")[0] not in without}
    content = {"task": config.task, "version": __version__, "config": flat}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def changes(config: Run, reference: Run) -> dict[str, Any]:
    """What `config` sets otherwise than `reference` (the experiment as published), seed and bookkeeping aside."""
    ours, theirs = flatten(config), flatten(reference)
    skip = (*NOT_A_NUMBER_CHANGER, "seed")
    return {
        key: value
        for key, value in ours.items()
        if theirs.get(key, None) != value and not any(key == s or key.startswith(f"{s}.") for s in skip)
    }
