"""Look at what a model would be trained on: rendered entries, what masking leaves out, ids and lengths (chapter 7)."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.data.config import InstructionsConfig
from scratchlab.model.config import ModelConfig, check_vocabulary
from scratchlab.runs.checks import at_least
from scratchlab.runs.config import Run
from scratchlab.text.prompts import PromptConfig

if TYPE_CHECKING:
    from rich.console import Console

    from scratchlab.data.instructions import Instructions, Item
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Preview(Run):
    task: ClassVar[str] = "preview"
    recorded: ClassVar[bool] = False

    model: ModelConfig
    """Whose tokenizer reads the entries."""
    data: InstructionsConfig
    prompt: PromptConfig
    mask_instruction: bool = True
    max_length: int = 1024
    """Tokens that an entry is cut to."""
    first: int = 0
    """Index of the first training entry to show."""
    entries: int = 3
    """How many to show."""

    def __post_init__(self) -> None:
        check_vocabulary(self.model)
        for key, least in (("max_length", 2), ("first", 0), ("entries", 0)):
            at_least(least, self, key)


def preview(config: Preview, record: "Record") -> dict[str, Any]:
    from rich.console import Console

    from scratchlab.data import instructions, token_counts

    train = instructions.load(config.data)["train"]
    if config.first >= len(train):
        raise ValueError(
            f"first={config.first}: there are {len(train)} training entries; possible: 0 to {len(train) - 1}"
        )
    data = instructions.Instructions(train, config.prompt, config.model.tokenizer)
    console = Console()
    for index in range(config.first, min(config.first + config.entries, len(train))):
        show_entry(console, index, data[index], config)
    show_lengths(console, data)
    counts = instructions.count(data, mask=config.mask_instruction, max_length=config.max_length)
    metrics = token_counts.metrics_of(counts)
    console.print(
        f"{len(data):,} training entries: {counts.tokens_mean:.1f} tokens on average, at most {counts.tokens_max}; "
        f"{counts.masked:,} of {counts.targets:,} targets masked ({metrics['masked_share']:.0%}); {counts.cut} answers "
        f"cut short by max_length={config.max_length}, {counts.lost} lost"
    )
    means = show_templates(console, train, config)
    return metrics | {"token_saving": 1 - counts.tokens_mean / means["alpaca"], "templates": means}


def show_entry(console: "Console", index: int, item: "Item", config: Preview) -> None:
    """Print an entry and its ids, what is no target in grey."""
    from rich.text import Text

    decode = config.model.tokenizer.decode
    seen = item.ids[: config.max_length]
    masked = min(item.question, len(seen)) if config.mask_instruction else 1  # the first token is never a target
    where = f"the loss starts after {masked} of {len(seen)} tokens"
    cut = f", {len(item.ids) - len(seen)} more cut off" if len(item.ids) > len(seen) else ""
    console.rule(f"entry {index}: {len(seen)} tokens{cut}; {where}", align="left")
    console.print(Text(decode(seen[:masked]), style="bright_black") + Text(decode(seen[masked:])))
    ids = Text(" ".join(map(str, seen[:masked])), style="bright_black") + Text(" ")
    console.print(ids + Text(" ".join(map(str, seen[masked:])), style="cyan"))


def show_lengths(console: "Console", data: "Instructions", bars: int = 12) -> None:
    """Print a histogram of entry lengths in tokens."""
    lengths = [len(item.ids) for item in data]
    least = min(lengths)
    width = (max(lengths) - least) // bars + 1
    found = Counter((length - least) // width for length in lengths)
    console.rule("entry lengths in tokens", align="left")
    for place in range(max(found) + 1):
        start = least + place * width
        bar = "█" * round(40 * found[place] / max(found.values()))
        console.print(f"{start:>5}-{start + width - 1:<5} {found[place]:>6} {bar}", highlight=False)


def show_templates(console: "Console", entries: list[dict[str, str]], config: Preview) -> dict[str, float]:
    """Print what each template in conf/prompt, and one's own, costs for the same entries; the mean tokens by name."""
    from rich.table import Table

    from scratchlab.data import instructions
    from scratchlab.text.prompts import templates

    table = Table("template", "mean tokens", "against alpaca", "at most", "masked targets")
    counts = {}
    known = templates()
    for name, prompt in (known if config.prompt in known.values() else known | {"your own": config.prompt}).items():
        data = instructions.Instructions(entries, prompt, config.model.tokenizer)
        counts[name] = instructions.count(data, mask=True, max_length=max(len(item.ids) for item in data))
    for name, found in counts.items():
        saved = found.tokens_mean / counts["alpaca"].tokens_mean - 1
        table.add_row(
            *(name, f"{found.tokens_mean:.1f}", f"{saved:+.1%}", str(found.tokens_max)),
            f"{found.masked / found.targets:.0%}",
        )
    console.print(table)
    return {name: found.tokens_mean for name, found in counts.items()}
