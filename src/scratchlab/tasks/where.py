"""Say where a number in hand lies among the published ones, what is usual here, and what explains the rest."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.runs.config import Device, Precision, Run
from scratchlab.runs.metrics import METRICS, Unit, metric

if TYPE_CHECKING:
    from scratchlab.evidence.where import Place
    from scratchlab.runs.record import Record

MOST = 8
"""Lines of the table on the terminal; the file has all."""


FAR = 100
"""Tolerances beyond which their number says nothing more."""


@dataclass(kw_only=True)
class Where(Run):
    """`compute.device` and `compute.precision` say where the number was measured; auto: on a machine like this one."""

    task: ClassVar[str] = "where"
    reusable: ClassVar[bool] = False
    about_records: ClassVar[bool] = True

    of: str = "*"
    """Globs over experiments that the number may be about, comma-separated."""
    metric: str = "test_accuracy"
    value: float = 0.95
    """The number; shares as fractions, or in percent from 1.01 on."""

    def __post_init__(self) -> None:
        from scratchlab.matching import nearest

        if self.metric not in METRICS:
            raise ValueError(f"metric={self.metric}: no metric of that name" + nearest(self.metric, METRICS, 0))
        if not math.isfinite(self.value):
            raise ValueError(f"value={self.value}: must be a finite number")
        if METRICS[self.metric].unit is Unit.fraction and not 0 <= self.value <= 100:
            raise ValueError(f"value={self.value}: {self.metric} is a share; possible: 0 to 1, or percent up to 100")

    @property
    def number(self) -> float:
        """The value in the unit of its metric."""
        percent = METRICS[self.metric].unit is Unit.fraction and self.value > 1
        return round(self.value / 100, 12) if percent else self.value


def where(config: Where, record: "Record") -> dict[str, Any]:
    from scratchlab.book import claims, experiments, explanations
    from scratchlab.evidence.where import places
    from scratchlab.report import formats, terminal

    device = device_of(config.compute.device)
    environment = "bfloat16" if config.compute.precision is Precision.bfloat16 else f"{device} float32"
    stated = claims.of(experiments.select(config.of).values())
    found = places(stated, config.metric, config.number, environment)
    if not found:
        having = sorted({s.claim.metric for s in stated if isinstance(s.claim.value, int | float)})
        raise ValueError(
            f"of={config.of} metric={config.metric}: no number was published of that; there are: {', '.join(having)}"
        )
    m = metric(config.metric)
    columns = ["experiment", "published", "printed by", "distance", "usual here", "so"]
    cells = [line(place) for place in found]
    data = [
        dict(zip(columns, cell, strict=True)) | {"source": source_of(place)}
        for place, cell in zip(found, cells, strict=True)
    ]
    near = [place for place in found if place.near]
    title = f"{config.metric} {m.shown(config.number)} ({environment})"
    formats.write(record, "where", data, columns, cells, title=title)
    terminal.show(title, columns, cells[:MOST])
    said = summary(found, near)
    about = dict.fromkeys(place.experiment for place in near or found[:1])
    fitting = [
        one
        for one in explanations.read()
        if found[0].difference and any(one.fits(name, config.metric, device, config.number) for name in about)
    ]
    if fitting:
        said += ["what usually explains a distance:", *(f"- {one.text} ({one.source})" for one in fitting)]
    for sentence in said:
        terminal.say(sentence)
    record.write_text("where.txt", "\n".join(said) + "\n")
    return {"prints": len(found), "near": len(near), "nearest": found[0].experiment, "explanations": len(fitting)}


def device_of(device: Device) -> str:
    if device is not Device.auto:
        return device.name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def line(place: "Place") -> list[str]:
    m = metric(place.claim.metric)
    so = "usual" if place.near else "another number" if place.times > FAR else f"{place.times:.1f} times that"
    words = place.printed.words if place.claim.history else "no more is known"
    return [place.experiment, m.shown(place.printed.value), words, m.difference(place.difference), place.why, so]


def source_of(place: "Place") -> str:
    return place.printed.source or place.claim.source


def summary(found: "list[Place]", near: "list[Place]") -> list[str]:
    if not near:
        place = found[0]
        return [
            f"not usual for any of {len(found)} published numbers; the nearest is {place.experiment}'s "
            f"{metric(place.claim.metric).shown(place.printed.value)} ({source_of(place)})"
        ]
    names = dict.fromkeys(place.experiment for place in near)
    which = f"usual for {len(near)} of {len(found)} published numbers, of {', '.join(list(names)[:5])}"
    which += " and others; `of=` narrows them" if len(names) > 5 else ""
    return [which + f"; the nearest was printed in {source_of(near[0])}"]
