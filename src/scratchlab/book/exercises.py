"""The exercises of the appendix, by number, with a few words on each; and the parts of the book that have none."""

import re

from scratchlab.matching import parts

EXERCISES = {
    "2.1": "byte pair encoding of unknown words",
    "2.2": "data loaders with other strides and context sizes",
    "3.1": "moving weights between two self-attention classes",
    "3.2": "two-dimensional embedding vectors from two heads",
    "3.3": "attention modules of GPT-2's size",
    "4.1": "parameters in feed-forward and attention modules",
    "4.2": "larger GPT models",
    "4.3": "separate dropout rates",
    "5.1": "temperature and sampling frequencies",
    "5.2": "temperatures and top-k settings",
    "5.3": "deterministic generation",
    "5.4": "continued pretraining",
    "5.5": "losses of the pretrained model",
    "5.6": "larger pretrained models",
    "6.1": "padding to the longest supported input",
    "6.2": "fine-tuning the whole model",
    "6.3": "first token against last token",
    "7.1": "another prompt style",
    "7.2": "instruction masking",
    "7.3": "fine-tuning on the Alpaca data",
    "7.4": "fine-tuning with LoRA",
    "A.1": "a working installation",
    "A.2": "a check of the environment",
    "A.3": "parameters of a small network",
    "A.4": "matrix multiplication on CPU and GPU",
}


PARTS = {
    "chD": "appendix D",
    "chE": "appendix E",
    "main": "chapter {}, its own numbers",
    "row": "chapter {}, the table of variants",
    "bonus": "chapter {}, bonus material",
}
"""What an experiment without an exercise is about, by what its name has after the chapter, or by its appendix."""


def part(name: str) -> str:
    """The part of the book that an experiment without an exercise is about; empty if its name says none."""
    if found := re.match(r"(ch[DE])_", name):
        return PARTS[found[1]]
    if found := re.match(r"ch0?(\d+)_(main|row|bonus)", name):
        return PARTS[found[2]].format(found[1])
    return ""


def numbers(text: str) -> list[str]:
    """The exercises in an experiment's `exercise`, such as `6.1, 6.2`."""
    return parts(text)
