"""Weights files of networks that were never trained."""

from pathlib import Path
from typing import Any

from datasets.types import ClassMap
from tasks.body_spec import ClassifierSpec
from tasks.classification.model import Classifier
from tasks.weights.card import Card
from tasks.weights.file import save_weights


def save_classifier(file: Path, names: list[str], **card: Any) -> Path:
    """A small classifier, with more fields of its card."""
    model = Classifier(ClassifierSpec(alpha=0.25, size=32), len(names))
    classes = ClassMap.from_names(names, 0)
    told = Card("classification", model.spec.to_json(), model.body.flavour, classes, **card)
    save_weights(file, model.state_dict(), told)
    return file
