"""What every run has, whatever its task: a name, a seed, compute, tracking and the claims it is held against."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar

from scratchlab.runs.claim import Claim
from scratchlab.runs.identity import added, bookkeeping


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
    """bfloat16: computed so by autocast; weights and optimizer stay in float32."""
    compile: bool = False
    """Compile a model's blocks, for training, evaluation and generation alike."""
    checkpoint_activations: bool = bookkeeping(False)
    """Keep only each block's input for the way back and compute the rest again there, to the same numbers: less memory
    in training for about a third more time."""
    shard: bool = bookkeeping(False)
    """Of several processes (torchrun), each holds only its part of weights, gradients and optimizer (FSDP)."""
    threads: int = bookkeeping(0)
    """CPU threads; 0 leaves torch's choice."""
    reuse_frozen: bool = bookkeeping(True)
    """Compute once, and keep in the cache folder, what frozen blocks give for each example (chapter 6)."""
    frozen_gigabytes: float = bookkeeping(8.0)
    """Most that is kept there; what was used longest ago makes room."""
    only_needed: bool = bookkeeping(True)
    """Leave out what cannot act on the class: tokens after it is read, and the last block but there (chapter 6)."""

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise ValueError(f"compute.threads={self.threads}: must be 0 (torch's choice) or more")
        if not self.frozen_gigabytes > 0:
            raise ValueError(
                f"compute.frozen_gigabytes={self.frozen_gigabytes}: must be above 0; to keep nothing: "
                "compute.reuse_frozen=false"
            )


class TrackingMode(Enum):
    none = "none"
    auto = "auto"
    online = "online"
    offline = "offline"


@dataclass(kw_only=True)
class TrackingConfig:
    """How a run is logged to Weights & Biases."""

    mode: TrackingMode = TrackingMode.none
    """`auto` is online where there is a login, else offline (`task=sync` sends it later)."""
    project: str = "scratchlab"
    entity: str = ""
    """The user or team that the project belongs to; empty: W&B's default for the login."""
    group: str = ""
    """Default: the sweep that the run is part of, else its name, so that seeds of one experiment stand together."""
    tags: list[str] = field(default_factory=list)
    notes: str = ""
    """What W&B shows as the run's notes."""


class Retry(Enum):
    """Which of the jobs that failed before a sweep does again."""

    none = "none"
    failed = "failed"
    """Those that failed for another reason than memory."""
    oom = "oom"
    """Those that ran out of memory."""
    all = "all"


OUT = "outputs"
"""Where records go unless something else is said, from where the command is called."""
DEBUG_BATCHES = 2
"""Of each split, in a run that only tries whether it works."""


class Debug(Enum):
    """How much of a run is done to see whether it works."""

    none = "none"
    batches = "batches"
    tiny = "tiny"
    sixteenth = "sixteenth"
    eighth = "eighth"
    half = "half"


SHARES = {Debug.sixteenth: 1 / 16, Debug.eighth: 1 / 8, Debug.half: 1 / 2}
"""Of each split, at least a batch."""


@dataclass(kw_only=True)
class Run:
    """The root of every configuration; tasks add their parts."""

    task: ClassVar[str] = ""
    """The task's name, as in `task=classify`."""
    revision: ClassVar[int] = 1
    """Part of the fingerprint. A task raises its own when the numbers of the same configuration change, and only then:
    every record made before is then no longer found."""
    recorded: ClassVar[bool] = True
    """False: the task only shows something and leaves no record."""
    reusable: ClassVar[bool] = True
    """False: the outcome depends on more than the configuration, so a finished run is done again."""
    tracked: ClassVar[bool] = True
    """False: `tracking` is about other runs, and the task has none of its own at W&B."""
    goes_on_from: ClassVar[str] = ""
    """The key that names the run whose result this one starts from; empty where the task has none."""
    about_records: ClassVar[bool] = False
    """True: what it leaves is about other records, and no run to be compared with them."""

    name: str = bookkeeping()
    """Folder of the run below `out`; an experiment has that of its file."""
    exercise: str = bookkeeping("")
    """The exercise of the appendix this answers, as `6.3`; several are comma-separated."""
    seed: int = 123
    """Seeds weights, batches and draws; 123 is that of the book's scripts."""
    out: str = bookkeeping(OUT)
    """Where records go."""
    force: bool = bookkeeping(False)
    """Repeat a run that is already done."""
    plan: bool = bookkeeping(False)
    """Show what would run, what is there already, and how long it may take; run nothing."""
    retry: Retry = bookkeeping(Retry.none)
    """Of a sweep: do again what failed before: `oom` what ran out of memory, `failed` the rest, `all` both."""
    measure: bool = bookkeeping(False)
    """Of a plan or a sweep: run parts of what no finished run tells of, to say how long it takes."""
    fail_fast: bool = bookkeeping(False)
    """Of a sweep: start no more jobs once one has failed."""
    debug: Debug = added(Debug.none)
    """batches: two batches of each split, where a task has splits; tiny: of a tiny model, too; half, eighth, sixteenth:
    such a share of each. No evidence for a claim, whatever else the run is."""
    optimize: str = bookkeeping("")
    """The metric by which a sweeper that searches goes, as val_loss; empty: a preferred one of the validation split."""
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    tracking: TrackingConfig = bookkeeping(default_factory=TrackingConfig)
    claims: list[Claim] = bookkeeping(default_factory=list)

    def few(self, batch_size: int, there: int) -> int:
        """How many are used of the examples that are there of a split."""
        if share := SHARES.get(self.debug):
            return min(there, max(batch_size, round(share * there)))
        return there if self.debug is Debug.none else min(there, DEBUG_BATCHES * batch_size)

    def idle(self) -> dict[str, str]:
        """Keys that are set but cannot change a number in this run, each with the reason."""
        return {}

    def idle_with_data(self) -> dict[str, str]:
        """Further such keys that only the data tell of. Plans leave out what is a copy by them; the fingerprint, which
        must be the same where the data are not at hand, takes no notice."""
        return {}

    def makes(self) -> list[list[str]]:
        """Overrides of the runs that this one makes before it reads them; for plans, and so without any work."""
        return []

    def exit_code(self, metrics: dict[str, Any]) -> int:
        """What the command returns when the run is done; anything but 0 says that what it found is bad news."""
        return 0

    def inputs(self) -> dict[str, str]:
        """Hashes of the files this run would read, by name; cheap, and before anything is computed."""
        return {}


@dataclass(kw_only=True)
class TrainingRun(Run):
    """A run whose training goes on where it was stopped."""

    checkpoint_minutes: float = bookkeeping(10.0)
    """Minutes of training between two kept states, to go on from after a kill; a run that is asked to stop keeps one
    more. 0: none is kept."""

    def __post_init__(self) -> None:
        if self.checkpoint_minutes < 0:
            raise ValueError(f"checkpoint_minutes={self.checkpoint_minutes}: must be 0 (never) or more")
