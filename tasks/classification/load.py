"""Classifiers from weights files, as the start of another one."""

from __future__ import annotations

from pathlib import Path

from backbone.body import Body
from datasets.types import ClassMap
from tasks.classification.model import Classifier
from tasks.classification.spec import TASK
from tasks.start_network import start_with_classes
from tasks.weights.card import Card


def start_classifier(model: Classifier, classes: ClassMap, path: Path) -> tuple[Card, list[str]]:
    """Fill a classifier for fine-tuning; as :func:`~tasks.start_network.start_with_classes`."""
    rows, noun = class_rows(model.body), "the card's classes"
    return start_with_classes(model, classes, path, task=TASK, rows=rows, noun=noun)


def class_rows(body: Body) -> tuple[str, str]:
    """Names of a model's tensors with a row for each class; the rest of a head has none."""
    return f"head.{body.class_layer}.weight", f"head.{body.class_layer}.bias"
