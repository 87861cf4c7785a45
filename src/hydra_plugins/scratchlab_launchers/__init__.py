"""The launchers of scratchlab for clusters, where Hydra looks for them.

What they do is in `scratchlab.cli.on_slurm` and `scratchlab.cli.on_ray`, over Hydra's plugins for submitit and Ray.
Those need not be installed for a sweep to be composed and planned.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


@dataclass
class SlurmConf:
    """What stands below `hydra.launcher` with launch=slurm: what submitit gives to sbatch."""

    _target_: str = "hydra_plugins.scratchlab_launchers.SlurmLauncher"
    submitit_folder: str = "${hydra.sweep.dir}/.submitit/%j"
    """What jobs print, and what submitit pickles; on a file system that all nodes see."""
    name: str = "scratchlab"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    timeout_min: int = 240
    """Short, so that the scheduler finds gaps: a run that is not done by then is put back and goes on."""
    max_num_timeout: int = 20
    """How often."""
    signal_delay_s: int = 120
    """How long before the end of its time a job is told; it must be enough for one update and its state."""
    nodes: int = 1
    tasks_per_node: int = 1
    cpus_per_task: int = 4
    gpus_per_node: int | None = None
    gres: str | None = None
    mem_gb: int | None = None
    array_parallelism: int = 256
    """Jobs that run at once."""
    setup: list[str] = field(
        default_factory=lambda: [
            # srun does not take it over from sbatch by itself, since Slurm 22.05
            "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK",
            # where Slurm does not bind processes to processors, each would take all of them
            "export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK",
        ]
    )
    """Lines of shell before a job."""
    additional_parameters: dict[str, Any] = field(default_factory=lambda: {"requeue": True})
    """Any other option of sbatch."""
    poll_seconds: float = 10
    """Between two questions to the queue, one for the whole sweep."""


@dataclass
class RayConf:
    """What stands below `hydra.launcher` with launch=ray: what `ray.init` and `ray.remote` are given."""

    _target_: str = "hydra_plugins.scratchlab_launchers.RayLauncher"
    init: dict[str, Any] = field(default_factory=dict)
    remote: dict[str, Any] = field(default_factory=lambda: {"num_cpus": 1, "max_retries": 0})
    """A job computes with `num_cpus` threads. Ray starts none again by itself: the sweep does, and counts."""


for name, node in (("scratchlab_slurm", SlurmConf), ("scratchlab_ray", RayConf)):
    ConfigStore.instance().store(group="hydra/launcher", name=name, node=node, provider="scratchlab")


class _Launcher(Launcher):
    def __init__(self, **settings: Any) -> None:
        self.settings = {
            key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in settings.items()
        }

    def check(self) -> None:
        """Look for what is needed, before anything is written.

        Raises:
            RuntimeError: it is not there.
        """
        raise NotImplementedError

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.function, self.config = hydra_context, task_function, config


class SlurmLauncher(_Launcher):
    """Hands jobs to Slurm, and comes back when all of them have left its queue."""

    def check(self) -> None:
        from scratchlab.cli import on_slurm

        on_slurm.check()

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from scratchlab.cli import on_slurm

        return on_slurm.launch(self, job_overrides, initial_job_idx)


class RayLauncher(_Launcher):
    """Hands jobs to Ray, and comes back when all of them have ended."""

    def check(self) -> None:
        from scratchlab.cli import on_ray

        on_ray.check()

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from scratchlab.cli import on_ray

        return on_ray.launch(self, job_overrides, initial_job_idx)
