"""Corrects batch norms whose statistics do not describe their input: folded or pruned ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Number of batches from which the statistics are measured.
CALIBRATION_BATCHES = 16


def calibrate_batchnorm(model: nn.Module, batches: list[Tensor]) -> None:
    """Give folded batch norms real statistics without changing the network's outputs.

    A source that folded batch norm leaves only an offset. Training with batch statistics would
    change the outputs at once; so each layer's mean and variance are measured, and gamma and beta
    are set to undo them, so that training continues from the same function. The model is in
    evaluation mode afterwards.
    """
    model.eval()
    sums: dict[nn.BatchNorm2d, list[Tensor]] = {}

    def measure(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.BatchNorm2d)
        x = inputs[0].double()
        count = torch.full_like(x[0, :, 0, 0], x[:, 0].numel())
        part = torch.stack((x.sum((0, 2, 3)), x.square().sum((0, 2, 3)), count))
        sums.setdefault(module, []).append(part)

    layers = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [layer.register_forward_pre_hook(measure) for layer in layers]
    with torch.inference_mode():
        for images in batches:
            model(images)
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        for layer, parts in sums.items():
            total, squares, count = torch.stack(parts).sum(0)
            mean, square = total / count, squares / count
            var = (square - mean.square()).clamp(min=0)
            assert layer.running_mean is not None
            assert layer.running_var is not None
            scale = layer.weight / torch.sqrt(layer.running_var.double() + layer.eps)
            offset = layer.bias - layer.running_mean * scale
            layer.running_mean.copy_(mean)
            layer.running_var.copy_(var)
            layer.weight.copy_(scale * torch.sqrt(var + layer.eps))
            layer.bias.copy_(offset + mean * scale)


def measure_batchnorm(model: nn.Module, batches: list[Tensor]) -> None:
    """Give batch norms the statistics of their present input, averaged over some batches.

    The outputs change: a pruned network gets closer to the original (Li et al., arXiv 2007.02491).
    The batches hold two or more images each, not sorted by class. The model is in evaluation mode
    afterwards.
    """
    model.eval()
    layers = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # The plain mean over all batches.
        layer.train()
    with torch.no_grad():
        for images in batches:
            model(images)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    model.eval()
