"""Appendix A's small network: its parameters (exercise A.3), and its training on seven points."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from torch import nn

    from scratchlab.runs.record import Record

TRAIN = (((-1.2, 3.1), 0), ((-0.9, 2.9), 0), ((-0.5, 2.6), 0), ((2.3, -1.1), 1), ((2.7, -1.5), 1))
TEST = (((-0.8, 2.8), 0), ((2.6, -1.6), 1))
"""Appendix A's points with their classes."""


@dataclass(kw_only=True)
class Network(Run):
    task: ClassVar[str] = "network"

    hidden: list[int] = field(default_factory=lambda: [30, 20])
    """Units of each hidden layer; there are two inputs and two classes."""
    epochs: int = 3
    batch_size: int = 2
    lr: float = 0.5

    def __post_init__(self) -> None:
        if not self.hidden or any(units < 1 for units in self.hidden):
            raise ValueError(f"hidden={self.hidden}: needs at least one layer, each of at least 1 unit")
        if self.epochs < 1 or not 1 <= self.batch_size <= len(TRAIN) or self.lr <= 0:
            raise ValueError(
                f"epochs={self.epochs} batch_size={self.batch_size} lr={self.lr}: epochs must be at least 1, "
                f"batch_size 1 to {len(TRAIN)}, lr above 0"
            )


def network(config: Network, record: "Record") -> dict[str, Any]:
    import torch
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, TensorDataset

    from scratchlab.model import compute
    from scratchlab.model.parameters import count
    from scratchlab.training import steps

    machine = compute.prepare(config.compute)
    record.device = machine.name
    torch.manual_seed(config.seed)
    model = build(config)
    machine.prepare(model)
    sets = {
        name: (
            torch.tensor([point for point, _ in pairs], device=machine.device),
            torch.tensor([label for _, label in pairs], device=machine.device),
        )
        for name, pairs in (("train", TRAIN), ("test", TEST))
    }
    loader = DataLoader(TensorDataset(*sets["train"]), batch_size=config.batch_size, shuffle=True, drop_last=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=config.lr)
    losses = []
    for step in steps.Steps(
        model, loader, optimizer, lambda batch: F.cross_entropy(model(batch[0]), batch[1]), epochs=config.epochs
    ):
        record.history(step=step.number, batch_loss=step.loss)
        losses.append(step.loss)
    model.eval()
    with torch.no_grad():
        outputs = {name: model(points) for name, (points, _) in sets.items()}
    accuracies = {
        f"{name}_accuracy": (outputs[name].argmax(dim=-1) == labels).double().mean().item()
        for name, (_, labels) in sets.items()
    }
    return accuracies | {
        "parameters": count(model.parameters()),
        "parameters_by_layer": [n for layer in model.children() if (n := count(layer.parameters()))],
        "batch_losses": [round(loss, 2) for loss in losses],
        "outputs": [[round(value, 4) for value in row] for row in outputs["train"].tolist()],
    }


def build(config: Network) -> "nn.Sequential":
    from torch import nn

    sizes = [len(TRAIN[0][0]), *config.hidden]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 2))
