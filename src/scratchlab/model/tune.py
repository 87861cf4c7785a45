"""Choose what training may change: whole model, last layers, or LoRA (chapter 6, exercises 6.2 and 7.4, appendix E)."""

import math

import torch
from torch import Tensor, nn

from scratchlab.model.config import LAST_BLOCKS, LoRAScaling, Trainable, TuneConfig
from scratchlab.model.decoder import Decoder


class LoRALayer(nn.Module):
    """The trained low-rank update: scale * x A B, with A (in, rank) and B (rank, out)."""

    def __init__(self, linear: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.A = nn.Parameter(linear.weight.new_empty(linear.in_features, rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.B = nn.Parameter(linear.weight.new_zeros(rank, linear.out_features))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (x @ self.A @ self.B)


class LinearWithLoRA(nn.Module):
    """A linear layer and its low-rank update side by side; B starts at zero, so wrapping changes no output.

    Source: Hu et al. 2021; names, which are a file format, and initialisation: appendix E.
    """

    def __init__(self, linear: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.linear = linear
        self.lora = LoRALayer(linear, rank, scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.lora(x)

    def merged(self) -> nn.Linear:
        """Return one plain linear layer that computes the same."""
        with torch.no_grad():
            self.linear.weight += self.lora.scale * (self.lora.A @ self.lora.B).T
        return self.linear


def add_lora(module: nn.Module, config: TuneConfig) -> None:
    """Wrap every `nn.Linear` below `module`, in the order of creation, which is the order of the draws for A."""
    scale = config.lora_alpha
    if config.lora_scaling is LoRAScaling.alpha_over_rank:
        scale /= config.lora_rank
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, LinearWithLoRA(child, config.lora_rank, scale))
        else:
            add_lora(child, config)


def merge_lora(module: nn.Module) -> None:
    """Put a plain linear layer back in the place of every `LinearWithLoRA` below `module`."""
    for name, child in module.named_children():
        if isinstance(child, LinearWithLoRA):
            setattr(module, name, child.merged())
        else:
            merge_lora(child)


def add_class_head(model: Decoder, classes: int) -> None:
    """Replace the vocabulary head by a new, trainable one for `classes`, with a bias (chapter 6)."""
    model.out_head = nn.Linear(model.config.emb_dim, classes)


def choose_trainable(model: Decoder, config: TuneConfig, *, new_head: bool) -> None:
    """Set `requires_grad` on every parameter, and wrap with LoRA where asked.

    `new_head`: the output head was just made for the task. It then trains under every choice, LoRA included, unless
    `config.train_head` is false: then only its A and B do.

    Raises:
        ValueError: the model has fewer blocks than are to be trained, or no head of its own.
    """
    everything = config.trainable is Trainable.all
    for parameter in model.parameters():
        parameter.requires_grad = everything
    if new_head and config.train_head:
        if model.out_head is None:
            raise ValueError(
                f"tune={config.trainable.name}: the model's head is its token embedding, so it has no last layer to "
                "train alone; possible: tune=last_block, tune=last_two_blocks, tune=all, tune=lora"
            )
        for parameter in model.out_head.parameters():
            parameter.requires_grad = True
    blocks = LAST_BLOCKS.get(config.trainable, 0)
    if blocks > len(model.blocks):
        raise ValueError(f"tune={config.trainable.name} needs {blocks} blocks, the model has {len(model.blocks)}")
    if blocks:
        for module in (*model.blocks[-blocks:], model.final_norm):
            for parameter in module.parameters():
                parameter.requires_grad = True
    if config.trainable is Trainable.lora:
        add_lora(model, config)
