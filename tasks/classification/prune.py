"""Prunes a trained classifier to a smaller alpha: body, head and card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from backbone.mobilenet_v1 import MobileNetV1
from backbone.prune import prune_body
from datasets.errors import InputError
from tasks.classification.application import CLASSIFICATION
from tasks.classification.model import Classifier, class_rows
from tasks.predictor import open_network
from tasks.weights.card import Card


class Pruned(NamedTuple):
    """A pruned classifier in evaluation mode, and its card, without metrics.

    ``shares`` is the share of each layer's energy that its kept channels have, stem first.
    """

    model: Classifier
    card: Card
    shares: tuple[float, ...]


def prune_classifier(path: Path, alpha: float, command: str) -> Pruned:
    """Prune the classifier of a run folder or weights file to the widths of ``alpha``.

    Args:
        path: Run folder or weights file.
        alpha: Width multiplier.
        command: Command line, which is stored in the card.

    Raises:
        InputError: If they are not weights of a classifier on MobileNet v1, batch norm is folded,
            or ``alpha`` is wider.
    """
    wide, card = open_network(path, CLASSIFICATION)
    if not isinstance(wide.body, MobileNetV1):
        raise InputError(f"{path}: {wide.spec.backbone} has no widths; only mobilenet_v1 has")
    if card.folded:
        raise InputError(
            f"{path}: its source had folded batch norm away, by which channels are ranked; "
            "fine-tune it first (tools/train_cls.py --weights), which measures it anew"
        )
    rows, bias = (wide.get_parameter(name) for name in class_rows(wide.body))
    try:
        pruned = prune_body(wide.body, alpha, rows)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    model = Classifier(replace(wide.spec, alpha=alpha), wide.columns, card.flavour)
    model.body = pruned.body
    with torch.no_grad():
        weight, offset = (model.get_parameter(name) for name in class_rows(model.body))
        weight.copy_(rows[:, pruned.kept])
        offset.copy_(bias + (rows.double() @ pruned.lost).float())
    source = f"{card.source or path}; pruned from alpha {wide.spec.alpha:g} by {command}"
    card = replace(card, model=model.spec.to_json(), metrics={}, source=source, trunk="")
    return Pruned(model.eval(), card, pruned.shares)
