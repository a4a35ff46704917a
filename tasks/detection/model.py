"""Detectors and their weights files: build, load, save, start from others."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from backbone.flavour import Flavour, InputSpec
from datasets.types import ClassMap
from tasks.card import Card, load_into, load_weights
from tasks.detection.spec import DetectorSpec, LossSpec, PostSpec
from tasks.detection.ssd import SSD

TASK = "detection"
# Layers whose rows are classes; in SSDLite the second of a pair.
_CLASS_PREDICTOR = re.compile(r"class_predictors\.\d+\.(1\.)?(weight|bias)")
# A detector sees the whole picture, warped to a square: nothing is cropped away.
DETECTOR_FLAVOUR = Flavour(input=InputSpec(size=300, crop=1.0))


def build_detector(
    spec: DetectorSpec,
    classes: ClassMap,
    flavour: Flavour = DETECTOR_FLAVOUR,
    *,
    loss: LossSpec | None = None,
    post: PostSpec | None = None,
) -> SSD:
    """A detector with fresh weights.

    Args:
        spec: Architecture.
        classes: Without background.
        flavour: Its input size is replaced by the spec's.
        loss: Training objective.
        post: From raw outputs to detections.

    Raises:
        ValueError: If the flavour prepares photos in a way that detectors do not.
    """
    if flavour.input.interpolation != "bilinear" or flavour.input.crop != 1:
        raise ValueError(
            f"interpolation {flavour.input.interpolation}, crop {flavour.input.crop}: a detector "
            "takes whole photos, resized bilinearly"
        )
    flavour = replace(flavour, input=replace(flavour.input, size=spec.size))
    return SSD(spec, len(classes), flavour, loss=loss, post=post)


def load_detector(
    path: Path, *, loss: LossSpec | None = None, post: PostSpec | None = None
) -> tuple[SSD, Card]:
    """A detector with the weights of a run folder or weights file, in evaluation mode.

    Raises:
        ValueError: If the file is missing, damaged, of another task, or does not fit itself.
    """
    state, card = load_weights(path)
    if card.task != TASK:
        raise ValueError(f"{path}: these weights are for {card.task}, not for {TASK}")
    spec = _spec_of(card, path)
    model = build_detector(spec, card.classes, card.flavour, loss=loss, post=post)
    load_into(model, state, str(path))
    return model.eval(), card


def _spec_of(card: Card, path: Path) -> DetectorSpec:
    """The architecture that a card tells, in full: nothing is filled in."""
    known = {field.name for field in fields(DetectorSpec)}
    if card.model.keys() != known:
        odd = ", ".join(sorted(card.model.keys() ^ known))
        raise ValueError(f"{path}: the card's model cannot be built: missing or unknown: {odd}")
    return DetectorSpec(**card.model)


def start_from(model: SSD, classes: ClassMap, path: Path) -> tuple[Card, list[str]]:
    """Fill a detector with the weights of another one, for fine-tuning.

    Classes of the same name keep their predictors, whatever their column; new classes keep their
    fresh ones. Everything else must fit.

    Args:
        model: To be filled.
        classes: Its classes.
        path: Run folder or weights file.

    Returns:
        The card of the weights, and the names of the classes that start anew.

    Raises:
        ValueError: If width, head or flavour differ, naming both sides.
    """
    state, card = load_weights(path)
    if card.task != TASK:
        raise ValueError(f"{path}: these weights are for {card.task}, not for {TASK}")
    source = _spec_of(card, path)
    for name in ("framework", "alpha", "head"):
        ours, theirs = getattr(model.spec, name), getattr(source, name)
        if ours != theirs:
            raise ValueError(
                f"{path}: the weights have {name} {theirs}, the model to train {ours}; "
                f"choose --{name} {theirs}"
            )
    flavour = model.body.flavour
    theirs = replace(card.flavour, input=replace(card.flavour.input, size=flavour.input.size))
    if theirs != flavour:
        raise ValueError(f"{path}: the weights have {theirs}, the model to train {flavour}")
    columns = torch.tensor([0, *classes.labels_in(card.classes)[1:].tolist()])
    fresh = model.state_dict()
    for key in filter(_CLASS_PREDICTOR.fullmatch, list(state)):
        state[key] = _choose_columns(state[key], fresh[key], columns, len(card.classes) + 1)
    load_into(model, state, str(path))
    new = [n for n, c in zip(classes.names, columns[1:].tolist(), strict=True) if c == 0]
    return card, new


def _choose_columns(old: Tensor, fresh: Tensor, columns: Tensor, old_count: int) -> Tensor:
    """Predictor rows by class: taken from ``old`` where the class was known, else ``fresh``.

    Rows are ordered by anchor, then class; column 0 is background on both sides.
    """
    before = old.reshape(-1, old_count, *old.shape[1:])
    after = fresh.reshape(-1, len(columns), *fresh.shape[1:]).clone()
    known = columns > 0
    known[0] = True
    after[:, known] = before[:, columns[known]]
    return after.reshape(fresh.shape)


def calibrate_batchnorm(model: nn.Module, batches: list[Tensor]) -> None:
    """Give folded batch norms real statistics without changing what the network answers.

    A source that folded batch norm away leaves only an offset. Training in batch statistics
    would change its answers at once; here each layer's mean and variance are measured and
    gamma and beta set to undo them, so that training can go on from the same function.

    Args:
        model: In evaluation mode afterwards.
        batches: Images as the model takes them.
    """
    model.eval()
    sums: dict[nn.BatchNorm2d, list[Tensor]] = {}

    def measure(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.BatchNorm2d)
        x = inputs[0].double()
        part = torch.stack((x.mean((0, 2, 3)), x.square().mean((0, 2, 3))))
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
            mean, square = torch.stack(parts).mean(0)
            var = (square - mean.square()).clamp(min=0)
            assert layer.running_mean is not None
            assert layer.running_var is not None
            scale = layer.weight / torch.sqrt(layer.running_var.double() + layer.eps)
            offset = layer.bias - layer.running_mean * scale
            layer.running_mean.copy_(mean)
            layer.running_var.copy_(var)
            layer.weight.copy_(scale * torch.sqrt(var + layer.eps))
            layer.bias.copy_(offset + mean * scale)
