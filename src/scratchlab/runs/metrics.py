"""Everything a run can measure, declared once: what it is, what acts on it, how it is printed and compared.

Nothing is read from a name: what no line here declares is shown as it is, and never judged or preferred. A new metric
is one line in one of the lists below.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from scratchlab.runs.metric import Act as Act  # offered here too, as are the others
from scratchlab.runs.metric import Better as Better
from scratchlab.runs.metric import Metric as Metric
from scratchlab.runs.metric import Unit as Unit

SPLITS = {"train": 1040, "val": 149, "test": 300}
"""Messages in the book's splits; of the 1,045 to train on, its loader leaves the last five out."""


def _alike(names: str, unit: Unit, **more: Any) -> Iterator[Metric]:
    """Metrics that differ in nothing but their names."""
    for name in names.split():
        yield Metric(name, unit, **more)


def _of_training() -> Iterator[Metric]:
    """Accuracies, losses, and what training took: chapters 5 to 7 and appendix A."""
    # 0.03: about the smallest gap that 300 messages show between two models (docs/statistics.md)
    accuracy = partial(Metric, unit=Unit.fraction, better=Better.higher, cap=0.03, quantity="accuracy")
    for split, preferred, column in (("train", 0, 1), ("val", 3, 2), ("test", 1, 3)):
        yield accuracy(
            f"{split}_accuracy",
            split=split,
            preferred=preferred,
            column=column,
            lost_with=tuple(dict.fromkeys(("train_loss", f"{split}_loss"))),
            items=SPLITS[split],
            from_predictions=split != "train",
        )
    yield accuracy("test_accuracy_without_copies", split="test", column=7, lost_with=("train_loss",))
    loss = partial(Metric, unit=Unit.nats, better=Better.lower, acts=(Act.targets,), cap=0.1, quantity="loss")
    for split, preferred, column in (("train", 6, 4), ("val", 5, 5), ("test", 4, 0)):
        yield loss(f"{split}_loss", split=split, preferred=preferred, column=column, lost_with=("train_loss",))
    for split in ("train", "val"):
        for when in ("initial", "first", "last"):
            yield loss(f"{when}_{split}_loss", split=split)
        yield Metric(f"{split}_perplexity", Unit.value, Better.lower, split=split, acts=(Act.targets,))
        yield Metric(f"{split}_batches", Unit.count, split=split)
    yield Metric("batch_losses", Unit.value)
    timed: dict[str, Any] = {"acts": (Act.clock,), "lost_with": ("train_loss",)}
    yield Metric("train_seconds", Unit.seconds, Better.lower, column=6, **timed)
    yield Metric("tokens_per_second", Unit.per_second, Better.higher, **timed)
    yield from _alike("answer_seconds generate_seconds", Unit.seconds, better=Better.lower, acts=(Act.clock,))
    yield Metric("peak_memory_bytes", Unit.bytes, Better.lower, acts=(Act.device,))
    yield from _alike("tokens_seen padded_length new_tokens", Unit.tokens)
    yield from _alike("examples_seen batches_without_target", Unit.count)


def _of_answers() -> Iterator[Metric]:
    """What an instruction run learns from, its answers, and how those are scored: chapter 7."""
    yield Metric("train_entries", Unit.count, seedless=True)
    yield from _alike("answers answers_cut answers_lost replies", Unit.count)
    yield from _alike("entry_tokens_mean entry_tokens_max targets masked_targets", Unit.tokens)
    yield from _alike("masked_share token_saving", Unit.fraction)
    yield Metric("templates", Unit.tokens, seedless=True)
    yield Metric("first_answer_ids", Unit.ids)
    trained: dict[str, Any] = {"split": "test", "lost_with": ("train_loss",)}
    for place, name in enumerate(("chrf", "rouge_l", "exact_match"), start=7):
        yield Metric(name, Unit.fraction, Better.higher, preferred=place, **trained)
    yield from _alike("response_words reference_words", Unit.words, **trained)
    yield Metric("empty_responses", Unit.count, Better.lower, **trained)
    judged: dict[str, Any] = {"acts": (Act.judge,)}
    yield Metric("judge_score", Unit.points, Better.higher, preferred=2, cap=3.0, **judged, **trained)
    yield from _alike("judge_scored judge_unparsed", Unit.count, **judged)
    yield Metric("judge_empty", Unit.count)
    yield Metric("judge", Unit.card)
    for model in ("model_1", "model_2"):
        yield Metric(f"{model}_score", Unit.points, cap=3.0, **judged)
        yield from _alike(f"{model}_scored {model}_unparsed", Unit.count, **judged)
        yield Metric(f"{model}_empty", Unit.count)
        yield from _alike(f"{model}_same_again {model}_same_words", Unit.fraction, better=Better.higher, **judged)
        for other in ("gpt4", "llama3"):
            pair = f"{model}_{other}"
            yield Metric(f"{pair}_published", Unit.points)
            yield from _alike(f"{pair}_gap {pair}_bias", Unit.points, **judged)
            yield Metric(f"{pair}_pairs", Unit.count, **judged)
            yield Metric(f"{pair}_same", Unit.fraction, Better.higher, **judged)
            for kind in ("pearson", "spearman", "kendall"):
                yield Metric(f"{pair}_{kind}", Unit.value, Better.higher, **judged)


def _of_models() -> Iterator[Metric]:
    """Parameters, outputs and dropout: chapters 3 and 4, appendix A."""
    size = partial(_alike, unit=Unit.parameters, seedless=True)
    yield from size("parameters trainable_parameters tied_parameters block_parameters")
    yield from size("attention_parameters feed_forward_parameters norm_parameters")
    yield from size("token_embedding_parameters position_embedding_parameters")
    yield from size("final_norm_parameters head_parameters")
    yield from size("parameters_by_part parameters_by_layer")
    yield from size("attention_by_layer feed_forward_by_layer")
    yield Metric("megabytes", Unit.mebibytes, seedless=True)
    for bias in ("with_qkv_bias", "without_qkv_bias"):
        yield from size(f"parameters_{bias} tied_parameters_{bias}")
        yield Metric(f"megabytes_{bias}", Unit.mebibytes, seedless=True)
    yield Metric("output_shape", Unit.shape, seedless=True)
    yield from _alike("largest_output largest_difference largest_difference_before outputs", Unit.value)
    for output in ("output", "output_before", "output_linear"):
        yield from _alike(f"{output} {output}_rounded", Unit.value)
    yield from _alike("emb_dropped shortcut_dropped attn_dropped", Unit.fraction)
    yield Metric("acting", Unit.text)
    yield from _alike("shares_memory changes_training changes_evaluation same_weights", Unit.flag)
    yield Metric("files", Unit.bytes)
    yield Metric("operations", Unit.count)
    for device in ("cpu", "gpu"):
        for kind in ("median", "spread", "least"):
            yield Metric(f"{device}_seconds_{kind}", Unit.seconds, Better.lower, acts=(Act.clock,), digits=7)
    yield Metric("gpu_speedup", Unit.ratio, Better.higher, acts=(Act.clock,))


def _of_texts() -> Iterator[Metric]:
    """Tokens, windows and sampling: chapters 2 and 5."""
    yield from _alike("tokens train_tokens val_tokens", Unit.tokens, seedless=True)
    yield from _alike("characters windows batches", Unit.count, seedless=True)
    yield from _alike("ids ids_of_pieces", Unit.ids, seedless=True)
    yield from _alike("new_ids inputs", Unit.ids)
    yield from _alike("pieces decoded", Unit.text, seedless=True)
    yield from _alike("text texts classes", Unit.text)
    yield from _alike("round_trip ways_equal low_is_less_random", Unit.flag)
    yield Metric("reads_per_token", Unit.ratio)
    for way in ("temperature_0", "top_k_1", "sampling"):
        yield Metric(f"distinct_texts_{way}", Unit.count)
    for side in ("", "low_", "high_"):
        yield Metric(f"{side}entropy_bits", Unit.bits, table=not side)
        yield from _alike(f"{side}distinct_1 {side}distinct_2 {side}repetition", Unit.fraction, table=not side)
    yield from _alike("counts word_counts word_count", Unit.count)
    yield from _alike("probabilities word_probability word_probability_rounded word_p", Unit.value)
    yield from _alike("word_share word_share_low word_share_high", Unit.fraction)


def _of_bonus_material() -> Iterator[Metric]:
    """Counts of operations and of memory, tokenizers trained here, and ways that come to the same: bonus material."""
    counted: dict[str, Any] = {"seedless": True}
    yield from _alike("flops flops_rounded flops_with_attention flops_with_attention_rounded", Unit.count, **counted)
    yield from _alike("flops_by_batch flops_by_batch_rounded", Unit.count, **counted)
    yield Metric("attention_share", Unit.fraction, **counted)
    yield Metric("utilization", Unit.value, **counted)
    yield from _alike("head_dim kv_heads window_layers full_layers", Unit.count, **counted)
    yield from _alike("mha_gigabytes gqa_gigabytes mla_gigabytes", Unit.value, **counted)
    yield from _alike("mha_window_gigabytes gqa_window_gigabytes", Unit.value, **counted)
    yield from _alike("gqa_ratio mla_ratio", Unit.ratio, **counted)
    yield from _alike("gqa_saving mla_saving", Unit.fraction, **counted)
    for part in ("dense", "expert", "router", "mixture", "active"):
        yield Metric(f"{part}_parameters", Unit.parameters, **counted)
        yield Metric(f"{part}_gigabytes", Unit.value, **counted)
    yield Metric("expert_width", Unit.count, **counted)
    yield from _alike("vocabulary merges", Unit.count, **counted)
    yield Metric("longest_tokens", Unit.text, **counted)
    yield from _alike("judges_pearson judges_spearman judges_kendall", Unit.value, **counted)
    yield from _alike("judges_bias gpt4_score llama3_score", Unit.points, **counted)
    yield Metric("judges_same", Unit.fraction, **counted)
    yield Metric("judges_pairs", Unit.count, **counted)
    yield from _alike("texts_equal first_is_slower", Unit.flag)
    yield Metric("way_seconds", Unit.seconds, Better.lower, acts=(Act.clock,))
    yield from _alike("points distinct_points copies without_decay ends_with_warmup", Unit.count, **counted)


def _of_records() -> Iterator[Metric]:
    """What the tasks that read records and experiment files count."""
    yield from _alike("arms runs verdicts claims comparisons findings differences recorded checked entries", Unit.count)
    yield from _alike("exercises without_experiment other_parts", Unit.count)
    yield from _alike("REPRODUCED NOT_REPRODUCED INCONCLUSIVE NOT_COMPARABLE NOT_RUN", Unit.count)
    yield from _alike("HOLDS DOES_NOT_HOLD tested expected_at_most beyond_chance", Unit.count)
    yield from _alike("unattainable mixed_baseline copied duplicate conflict unlikely_count", Unit.count)
    yield from _alike("unknown_experiment undeclared_metric sentence table_against_log command", Unit.count)
    yield from _alike("prints near explanations", Unit.count)
    yield Metric("nearest", Unit.text)
    yield Metric("bytes", Unit.bytes)
    yield from _alike("metric baseline failed experiments", Unit.text)


def _declared() -> dict[str, Metric]:
    found: dict[str, Metric] = {}
    for part in (_of_training, _of_answers, _of_models, _of_texts, _of_bonus_material, _of_records):
        for one in part():
            assert one.name not in found, f"{one.name} is declared twice"
            found[one.name] = one
    return found


METRICS = _declared()
"""By name; where nothing preferred is there, the first of these is compared."""

NOT_DECLARED = "is not declared in runs/metrics.py: nothing says what acts on it, so it is judged by no test"


def metric(name: str) -> Metric:
    """What is declared of a metric; of one that is not, only that everything may act on it."""
    return METRICS.get(name) or Metric(name, Unit.value, acts=tuple(Act), declared=False)


def preferred() -> list[str]:
    """The metrics that may be compared without being asked for, the first choice first."""
    return [one.name for one in sorted(METRICS.values(), key=lambda one: one.preferred) if one.preferred]


def columns() -> list[str]:
    """The metrics of a short table, in their order."""
    return [one.name for one in sorted(METRICS.values(), key=lambda one: one.column) if one.column]
