"""Hold every published number against what was measured, and say honestly which ones stand.

Findings that are asked of another model have a table and counts of their own, and no part in the exit code.
"""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.evidence.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scratchlab.book.claims import Stated
    from scratchlab.book.experiments import Experiment
    from scratchlab.evidence.missing import Missing
    from scratchlab.evidence.records import Records
    from scratchlab.report.verdicts import Rows
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Reproduce(Reading):
    """`exercise` (inherited) selects by exercise here."""

    task: ClassVar[str] = "reproduce"

    chapter: str = ""
    """Only experiments of these chapters, such as `6` or `5,A`."""
    claim: str = "*"
    """Globs over `experiment:metric:kind`, comma-separated."""
    run_missing: bool = False
    """Make the runs that are missing, as far as they need no weights from outside."""
    with_weights: bool = False
    """run_missing: also those that need weights from outside."""

    def makes(self) -> list[list[str]]:
        from scratchlab.book import experiments
        from scratchlab.evidence.missing import missing_runs
        from scratchlab.evidence.records import Records
        from scratchlab.launch.published import Compositions

        files, seeds = experiments.read_all(), self.seed_numbers
        runs = Records(self.out, seeds)
        lacking = missing_runs(chosen_claims(self, files, runs), runs, files, seeds, Compositions())
        return [item.overrides(self.out) for item in lacking if self.with_weights or not item.obstacle]

    def exit_code(self, metrics: dict[str, Any]) -> int:
        """1 for a claim that is missed and that chance does not explain; no finding is one."""
        return 1 if metrics["beyond_chance"] else 0


def reproduce(config: Reproduce, record: "Record") -> dict[str, Any]:
    from scratchlab.book import experiments
    from scratchlab.evidence.missing import missing_runs
    from scratchlab.evidence.records import Records
    from scratchlab.evidence.remarks import problem_lines
    from scratchlab.evidence.verdicts import Answer, Verdict, decide, misses, row
    from scratchlab.launch import jobs, plan, plan_table
    from scratchlab.launch.published import Compositions
    from scratchlab.report import formats, terminal
    from scratchlab.report import verdicts as tables

    files = experiments.read_all()
    seeds, published = config.seed_numbers, Compositions()
    runs = Records(config.out, seeds)
    stated = chosen_claims(config, files, runs)
    lacking = missing_runs(stated, runs, files, seeds, published)
    if config.run_missing:
        wanted = [item for item in lacking if config.with_weights or not item.obstacle]
        found_missing = [jobs.job(item.overrides(config.out)) for item in wanted]
        plan_table.show(plan.make(found_missing, estimated=True))
        jobs.run_all(found_missing)
        runs = Records(config.out, seeds)
    found = [(s, decide(s, runs, files, published)) for s in stated]
    rows, asked = tables.apart([row(s, decision) for s, decision in found])
    counts, answers = (Counter(r["verdict"] for r in part) for part in (rows, asked))
    missed = misses(found)
    show(record, "verdicts", rows, "published claims", *tables.cells(rows))
    record.write_text("experiments.md", formats.texts(*tables.by_experiment(rows), title="By experiment")["md"])
    terminal.say(", ".join(f"{counts[v.name]} {v.name}" for v in Verdict))
    if asked:
        show(record, "findings", asked, "findings asked of another model", *tables.finding_cells(asked))
        terminal.say(tables.finding_counts(asked))
    spoilt = problem_lines(runs.found)
    for line in (*spoilt, *missed.lines(), *still_missing(config, stated, lacking)):
        terminal.say(line)
    return {
        "claims": len(rows),
        **{verdict.name: counts[verdict.name] for verdict in Verdict},
        "findings": len(asked),
        **{answer.name: answers[answer.name] for answer in (Answer.HOLDS, Answer.DOES_NOT_HOLD)},
        "tested": missed.family.tests,
        "expected_at_most": missed.family.high,
        "beyond_chance": missed.beyond_chance,
    }


def show(
    record: "Record", stem: str, rows: "Rows", what: str, columns: "Sequence[str]", cells: "Sequence[list[str]]"
) -> None:
    """Write all rows to files, and show those that could be judged; the others are a line an experiment."""
    from scratchlab.report import formats, terminal
    from scratchlab.report import verdicts as tables

    title = f"{what.capitalize()} and what was measured"
    formats.write(record, stem, rows, columns, cells, title=title)
    judged = [line for r, line in zip(rows, cells, strict=True) if r["verdict"] != "NOT_RUN"]
    terminal.show(f"{len(rows)} {what}, {len(judged)} of them judged", columns, judged)
    for line in tables.not_run(rows):
        terminal.say(line)
    terminal.say(f"written to {record.folder}/{stem}.json (and .md, .tex, .csv)")


def chosen_claims(config: Reproduce, files: dict[str, "Experiment"], runs: "Records") -> list["Stated"]:
    """The claims that the configuration selects: of experiment files, and of records that no file stands behind.

    Raises:
        ValueError: nothing is selected.
    """
    from scratchlab.book.exercises import numbers
    from scratchlab.evidence import gather
    from scratchlab.matching import matches, parts

    names = [name for name in dict.fromkeys((*files, *runs)) if matches(name, config.select)]
    wanted = numbers(config.exercise)
    chapters = parts(config.chapter)
    stated: list[Stated] = []
    for name in names:
        exercises = numbers(files[name].exercise) if name in files else []
        if wanted and not set(wanted) & set(exercises):
            continue
        if chapters and not any(_of_chapter(name, exercises, chapter) for chapter in chapters):
            continue
        stated += gather.claims_about(name, files, runs)
    stated = [s for s in stated if matches(s.label, config.claim) or matches(s.claim.metric, config.claim)]
    if not stated:
        raise ValueError(
            f"select={config.select} chapter={config.chapter} exercise={config.exercise} claim={config.claim}: "
            f"no claim is selected; the {len(files)} experiments are shown by `scratchlab task=list`"
        )
    return stated


def _of_chapter(name: str, exercises: list[str], chapter: str) -> bool:
    if any(exercise.split(".")[0] == chapter for exercise in exercises):
        return True
    number = f"{int(chapter):02d}" if chapter.isdigit() else chapter
    return name.startswith(f"ch{number}_")


def still_missing(config: Reproduce, stated: "Sequence[Stated]", lacking: list["Missing"]) -> list[str]:
    """What is not there and how to make it, in lines; after a run of the missing, only what needs weights."""
    from scratchlab.runs.claim import RELATIONS, ClaimKind

    free = [] if config.run_missing else [item for item in lacking if not item.obstacle]
    bound = [] if config.with_weights and config.run_missing else [item for item in lacking if item.obstacle]
    lines = []
    if free:
        names = ", ".join(dict.fromkeys(item.experiment.name for item in free))
        lines.append(f"{len(free)} missing runs need no weights from outside ({names}); run_missing=true makes them")
    if bound:
        needs = ", ".join(dict.fromkeys(item.obstacle for item in bound))
        lines.append(f"{len(bound)} missing runs need {needs}; with those, run_missing=true with_weights=true")
    if lacking and not config.seed_numbers and any(s.claim.kind in (ClaimKind.score, *RELATIONS) for s in stated):
        lines.append("scores and relations need several seeds: seeds=[123,124,125,126,127]")
    return lines
