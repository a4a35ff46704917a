"""The heads of a trunk: data, model, lessons and report of each, as its own tool has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tasks.geolocation.task import Truth

from configs.multitask import TrainMulti
from datasets.builtin.shapes_and_breeds import draw_breeds
from datasets.errors import InputError
from datasets.loader import Resumable
from tasks.body_network import BodyNetwork
from tasks.detection.ssd import SSD
from tasks.face_attributes.evaluator import AttributeEvaluator
from tasks.fitting.engine import rank_and_world
from tasks.geolocation.atlas import atlas_of
from tasks.geolocation.load import CELLS_KEY, temperature_of
from tasks.multitask.branch import (
    Branch,
    attributes_branch,
    boxes_branch,
    classes_branch,
    embedding_branch,
    places_branch,
)
from tasks.multitask.stored import StoredHead
from tasks.weights.card import Card
from tools import cli
from tools.classification import data as photos
from tools.classification import recipe as classifying
from tools.detection import data as detection
from tools.detection import recipe as training
from tools.face_attributes import data as attribute_data
from tools.face_attributes import recipe as attributes
from tools.face_embedding import data as face_data
from tools.face_embedding import recipe as embedding
from tools.flows import photo_loaders
from tools.geolocation import data as places
from tools.geolocation import recipe as geolocating

_DRAWN = Path("data")
Metrics = Mapping[str, float]


@dataclass(frozen=True)
class OpenedHead:
    """A head that is to be trained.

    Attributes:
        model: With a body of its own still.
        card: As in a file of its own.
        loader: Of training batches.
        val_loader: Of evaluation batches.
        branch: How it is taught and measured.
        data: What it is trained on.
        report: From (model, card, folder, device, page) to the figures on the part to test on;
            it leaves the task's own report in the folder, with its page or without.
    """

    model: BodyNetwork
    card: Card
    loader: Resumable[Any]
    val_loader: Resumable[Any]
    branch: Branch
    data: str
    report: Callable[[Any, Card, Path, str, bool], Metrics]


def open_head(
    config: TrainMulti, name: str, path: Path | None, stored: StoredHead | None
) -> OpenedHead:
    """Open a head's data, and build its model.

    Args:
        config: Of the run; its loader processes are those of one task.
        name: Of the head.
        path: Of its data; None for built-in pictures.
        stored: What it is to go on from, if anything.

    Raises:
        InputError: If data or weights do not fit.
    """
    cli.say(f"-- {name}")
    openers: dict[str, Callable[..., OpenedHead]] = {
        "classes": partial(_open_classes, name="classes"),
        "breeds": partial(_open_classes, name="breeds"),
        "attributes": _open_attributes,
        "places": partial(_open_places, stored=stored),
        "embedding": _open_embedding,
        "boxes": _open_boxes,
    }
    head = openers[name](config, path)
    if stored is None:
        return head
    if (stored.card.classes, stored.card.task) != (head.card.classes, head.card.task):
        raise InputError(
            f"--tasks {name}={path}: has other classes than the head of {config.weights}; "
            f"--drop {name} first, then --add it in another run"
        )
    for key, flag in (("dim", "--dim"), ("size", "--box-size" if name == "boxes" else "--size")):
        theirs, ours = stored.card.model.get(key), head.card.model.get(key)
        if theirs != ours:
            raise InputError(
                f"{flag} {ours}: the head {name} of {config.weights} was trained with {theirs}; "
                f"give {flag} {theirs}"
            )
    fresh = head.model.state_dict()
    # Norms of its own stay behind where it gives them up; shapes are checked by torch.
    own = {key: value for key, value in stored.state.items() if key in fresh}
    head.model.load_state_dict({**fresh, **own})
    return head


def _open_classes(config: TrainMulti, path: Path | None, *, name: str) -> OpenedHead:
    single = config.classifier(name, path)
    if path is None and name == "breeds":
        seed = config.common.seed
        cli.say("breeds: using built-in ones")
        path = draw_breeds(_DRAWN / f"breeds-{seed}", seed=seed)
    path = photos.data_or_shapes(path, config.common.seed)
    train, val = photos.open_both(single, path)
    model, card = classifying.make_model(single, train, path)
    ready = partial(
        photo_loaders.make_photos, val, batch_size=config.fit.batch_size, workers=config.workers
    )
    seen = ready(card, cache=config.cache)

    def report(model: Any, card: Card, folder: Path, device: str, page: bool) -> Metrics:
        score, _ = classifying.score_and_report(
            model,
            card,
            ready(card, alone=True),
            folder=folder,
            device=device,
            title=f"{name} on {path.name}",
            report=page,
        )
        return score["metrics"]

    return OpenedHead(
        model,
        card,
        photo_loaders.training_loader(single, train, config.workers),
        seen.loader,
        classes_branch(seen.evaluator),
        f"{path}: {len(train)} photos of {len(train.classes)} classes",
        report,
    )


def _open_attributes(config: TrainMulti, path: Path | None) -> OpenedHead:
    single = config.attributes(path)
    path = attribute_data.data_or_faces(path, config.common.seed)
    faces = attribute_data.open_faces(single, path)
    model, card = attributes.make_model(single, faces.train, path)
    ready = partial(
        photo_loaders.make_photos,
        card=card,
        batch_size=config.fit.batch_size,
        workers=config.workers,
    )
    names = faces.train.attributes
    evaluator = AttributeEvaluator(faces.val.values, names, None, model.thresholds.cpu().numpy())

    def report(model: Any, card: Card, folder: Path, device: str, page: bool) -> Metrics:
        score, _ = attributes.score_and_report(
            model,
            card,
            faces.test,
            ready(faces.test.photos, alone=True),
            folder=folder,
            device=device,
            title=f"attributes on {path.name}, {faces.tested}",
            report=page,
        )
        return score["metrics"]

    return OpenedHead(
        model,
        card,
        photo_loaders.training_loader(single, faces.train.photos, config.workers),
        ready(faces.val.photos, cache=config.cache).loader,
        attributes_branch(evaluator, torch.from_numpy(faces.train.values)),
        f"{path}: {len(faces.train)} photos with {len(names)} attributes",
        report,
    )


def _open_places(
    config: TrainMulti, path: Path | None, *, stored: StoredHead | None
) -> OpenedHead:
    single = config.places(path)
    path = places.data_or_drawn(path, config.common.seed)
    train, val, notes = places.open_both(single, path)
    if stored is not None and CELLS_KEY in stored.state:
        atlas = atlas_of(stored.state[CELLS_KEY])
    else:
        atlas = places.make_atlas((), config.partition, train)
    train = places.in_cells(train, atlas)
    model, card = geolocating.make_model(single, atlas, train, path)
    ready = partial(
        places.make_places, val, atlas, batch_size=config.fit.batch_size, workers=config.workers
    )
    seen = ready(card, single.decode, temperature=1.0, cache=config.cache)

    def report(model: Any, card: Card, folder: Path, device: str, page: bool) -> Metrics:
        score, _ = geolocating.score_and_report(
            model,
            atlas,
            card,
            ready(card, single.decode, temperature=temperature_of(card), alone=True),
            folder=folder,
            device=device,
            title=f"places on {path.name}",
            notes=notes,
            report=page,
        )
        return score["metrics"]

    return OpenedHead(
        model,
        card,
        places.training_loader(single, train, config.workers),
        seen.loader,
        places_branch(seen.evaluator, Truth(atlas, train.lat, train.lng)),
        f"{path}: {len(train)} photos in {len(atlas.fine)} cells",
        report,
    )


def _open_embedding(config: TrainMulti, path: Path | None) -> OpenedHead:
    single = config.embedding(path)
    path = face_data.data_or_drawn(path, config.common.seed)
    train, val = face_data.open_both(single, path)
    model, card = embedding.make_model(single, train, path, None)
    ready = partial(
        face_data.make_measured, val, batch_size=config.fit.batch_size, workers=config.workers
    )
    seen = ready(card, cache=config.cache)

    def report(model: Any, card: Card, folder: Path, device: str, page: bool) -> Metrics:
        score, _ = embedding.score_and_report(
            model,
            card,
            ready(card, alone=True),
            folder=folder,
            device=device,
            title=f"embedding on {path.name}",
            report=page,
        )
        return score["metrics"]

    return OpenedHead(
        model,
        card,
        face_data.training_loader(single, train, config.workers),
        seen.loader,
        embedding_branch(seen.evaluator),
        f"{path}: {len(train)} faces of {len(train.classes)} people",
        report,
    )


def _open_boxes(config: TrainMulti, path: Path | None) -> OpenedHead:
    single = config.boxes(path)
    path = detection.data_or_scenes(path, config.common.seed)
    train = detection.open_examined(path, "train", single.model, train=True)
    val = detection.open_examined(path, "val", single.model, train=False)
    model, card = training.make_model(single, train, path)
    assert isinstance(model, SSD)
    ready = partial(
        detection.make_validation,
        val,
        card.classes,
        spec=single.model,
        batch_size=config.fit.batch_size,
        workers=config.workers,
    )
    rank, world = rank_and_world()
    seen = ready(rank=rank, world=world)

    def report(model: Any, card: Card, folder: Path, device: str, page: bool) -> Metrics:
        score, _ = detection.score_and_report(
            model,
            card,
            ready(),
            folder=folder,
            device=device,
            title=f"boxes on {path.name}",
            report=page,
        )
        return score["metrics"]

    return OpenedHead(
        model,
        card,
        training.training_loader(single, train, rank=rank, world=world, workers=config.workers),
        seen.loader,
        boxes_branch(seen.evaluator),
        f"{path}: {len(train)} photos, {len(train.boxes)} boxes of {len(train.classes)} classes",
        report,
    )
