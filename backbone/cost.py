"""Counts mult-adds and parameters of any module in the suite, by one convention.

The convention is the paper's: a multiply-accumulate of a convolution or fully connected weight is
one mult-add; batch norm, bias, pooling, cropping and NMS are not counted. Parameters are weights,
biases and batch-norm gamma and beta, without running statistics.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_COUNTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


@dataclass(frozen=True)
class LayerCost:
    """One layer that has weights, in the order of execution.

    Attributes:
        kind: ``conv 3x3``, ``depthwise 3x3``, ``conv 1x1``, ``transposed conv 4x4``, ``linear`` or
            ``batch norm``.
        mult_adds: Mult-adds over all its calls.
        output: Shape of its last output, without the batch axis.
    """

    name: str
    kind: str
    mult_adds: int
    params: int
    output: tuple[int, ...]


@dataclass(frozen=True)
class Cost:
    """Cost of one forward pass.

    Attributes:
        params: Number of parameters of all layers, including those that the pass did not reach.
        layers: One row per layer that ran.
    """

    mult_adds: int
    params: int
    layers: tuple[LayerCost, ...]

    def by_kind(self) -> dict[str, tuple[int, int]]:
        """(mult-adds, params) per layer type, as in the paper's table 2."""
        totals: dict[str, tuple[int, int]] = {}
        for row in self.layers:
            adds, params = totals.get(row.kind, (0, 0))
            totals[row.kind] = (adds + row.mult_adds, params + row.params)
        return totals

    def __str__(self) -> str:
        """Short form, as the paper prints it: ``1.237 B mult-adds, 6.820 M params``."""
        return f"{self.mult_adds / 1e9:.3f} B mult-adds, {self.params / 1e6:.3f} M params"


def count_cost(
    model: nn.Module,
    shape: tuple[int, ...],
    run: Callable[[Any, Tensor], object] | None = None,
) -> Cost:
    """Count one forward pass of ``model`` on an input of ``shape``.

    The pass runs on torch's meta device, so it takes no arithmetic and no memory.

    Args:
        model: Any module; it is copied and left untouched.
        shape: Input shape with the batch axis, usually (1, 3, H, W).
        run: What to run, given the copy and the input; ``model(input)`` by default. A detector
            passes its network without the post-processing, which meta tensors cannot run.
    """
    meta = copy.deepcopy(model).to("meta").eval()
    names = {module: name for name, module in meta.named_modules()}
    rows: dict[str, LayerCost] = {}

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        name = names[module]
        adds = _mult_adds(module, inputs[0], output) + (
            rows[name].mult_adds if name in rows else 0
        )
        params = sum(p.numel() for p in module.parameters())
        rows[name] = LayerCost(name, _kind(module), adds, params, tuple(output.shape[1:]))

    for module in names:
        if isinstance(module, (*_COUNTED, nn.BatchNorm2d)):
            module.register_forward_hook(record)
    with torch.inference_mode():
        images = torch.empty(shape, device="meta")
        _ = run(meta, images) if run else meta(images)
    return Cost(
        mult_adds=sum(row.mult_adds for row in rows.values()),
        params=sum(p.numel() for p in model.parameters()),
        layers=tuple(rows.values()),
    )


def _mult_adds(module: nn.Module, images: Tensor, output: Tensor) -> int:
    """Every output value takes one multiply-accumulate per weight of its channel.

    Transposed, every input value does, those whose products fall off the border included.
    """
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    if isinstance(module, nn.Conv2d):
        return output.numel() * module.weight[0].numel()
    if isinstance(module, nn.ConvTranspose2d):
        return images.numel() * module.weight[0].numel()
    return 0


def _kind(module: nn.Module) -> str:
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, nn.BatchNorm2d):
        return "batch norm"
    assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    height, width = module.kernel_size
    if isinstance(module, nn.ConvTranspose2d):
        return f"transposed conv {height}x{width}"
    depthwise = module.groups > 1 and module.groups == module.in_channels
    return f"{'depthwise' if depthwise else 'conv'} {height}x{width}"
