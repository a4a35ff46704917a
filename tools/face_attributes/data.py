"""The data of the face-attribute tool: from a path to examined images of each part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.face_attributes import TrainAttr
from datasets.attributes.checking import examine_attributes
from datasets.attributes.opening import open_attributes, recognise_attributes
from datasets.attributes.structure import AttributeData, choose_attributes, read_photos
from datasets.errors import InputError
from datasets.ledger import note_stand_in
from datasets.splitting import name_shares, path_shares
from tasks.classification.evaluator import columns_in
from tasks.face_attributes.evaluator import AttributeEvaluator
from tasks.predictor import Model
from tools import cli
from tools.flows.photo_loaders import exam_loader
from tools.flows.recipe import Loading, Ready


@dataclass(frozen=True)
class Faces:
    """Parts to train on, to select weights and thresholds on, and to report on, examined.

    If there is no ``test`` part, it is ``val`` too, and ``tested`` states so.
    """

    train: AttributeData
    val: AttributeData
    test: AttributeData
    tested: str


def open_faces(config: TrainAttr, path: Path) -> Faces:
    """Open all parts of a configuration. Raises InputError if they cannot be used."""
    if config.val is None:
        tested = open_attributes(path)
        train = _chosen(tested.part("train"), config)
    else:
        tested = open_attributes(config.val, whole=True)
        found = recognise_attributes(path, whole=True)
        if found is None:  # Without labels a teacher says all.
            if not config.distill.is_on or config.distill.distill_weight < 1:
                raise InputError(
                    f"--data {path}: images without labels: they need a --teacher, and "
                    "--distill-weight 1"
                )
            names = _chosen(tested.data, config).attributes
            train = read_photos(path, names)
        else:
            train = _chosen(found.part("train"), config)
    train = examine("train", train)
    if config.val is None or tested.has("val"):
        val = _chosen(tested.part("val"), config)
    else:  # Not parted, or without a part of its own to validate on: what there is.
        if tested.has("test"):
            note_stand_in(config.val, "test")
        val = _chosen(tested.part("test" if tested.has("test") else "train"), config)
    val = examine("val", val, train)
    if not (tested.has("test") and tested.has("val")):
        return Faces(train, val, val, "val")
    return Faces(train, val, examine("test", _chosen(tested.part("test"), config), train), "test")


def _chosen(data: AttributeData, config: TrainAttr) -> AttributeData:
    return choose_attributes(data, config.attributes) if config.attributes else data


def examine(part: str, data: AttributeData, other: AttributeData | None = None) -> AttributeData:
    """Let the data doctor examine a part, and report its contents and its problems.

    Args:
        part: Name of the part, for messages.
        data: The part.
        other: Part to compare it with; images and people that are in both are reported.

    Raises:
        InputError: If it cannot be used.
    """
    checkup = examine_attributes(data, other)
    checkup.raise_if_refused(f"{part} data")
    if part == "train" or checkup.findings:
        cli.say(f"{part} data: {checkup.describe(5)}")
    return checkup.data


def shares_by_person(data: AttributeData) -> NDArray[np.float64]:
    """A number in 0..1 for each image (N,): by its person, or by its path where none is known."""
    if data.people is None:
        return path_shares(data.files.tolist(), data.root)
    return name_shares([str(person) for person in data.people.tolist()])


def make_measured(
    data: AttributeData, model: Model, loading: Loading, *, interval: bool = False
) -> Ready[AttributeData, AttributeEvaluator]:
    """Loader and evaluator of a part. Raises InputError if no attribute is in common."""
    loader = exam_loader(data.photos, model.card, loading)
    evaluator = AttributeEvaluator(
        data.values,
        data.attributes,
        columns_in(model.card.classes, data.attributes),
        np.array(model.facts["thresholds"], np.float32),
        interval=interval,
    )
    return Ready(data, loader, evaluator)
