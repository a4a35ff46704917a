"""Models of every task made ready to answer for single photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from configs.demo import Demo
from datasets.errors import InputError
from datasets.images import Image
from datasets.squares import fit_square
from tasks.classification.answer import Answer, LabelPredictor
from tasks.classification.draw import draw_answer
from tasks.classification.load import load_classifier
from tasks.detection.answer import Predictor
from tasks.detection.draw import draw_detections
from tasks.detection.evaluator import ImageResult
from tasks.detection.model import load_detector
from tasks.detection.spec import PostSpec
from tasks.face_attributes.answer import AttributePredictor, Traits
from tasks.face_attributes.load import load_attribute_net
from tasks.geolocation.answer import GeoPredictor, Located, place_name
from tasks.geolocation.atlas import Atlas
from tasks.geolocation.draw import draw_place
from tasks.geolocation.load import load_geolocator, temperature_of
from tasks.geolocation.spec import DecodeSpec
from tasks.runtime.exported import Exported
from tasks.runtime.open import is_export, open_export, read_card
from tasks.weights.card import Card
from tools.flows.report_facts import centre_of
from tools.page.answerer import Answerer, Column, Reply, for_screen
from tools.page.comparing import compare_faces, open_faces
from tools.page.predictors import (
    class_predictor,
    object_predictor,
    place_predictor,
    trait_predictor,
    vector_predictor,
)

# Bars under a picture of a face, and rows of a table of cells.
_DRAWN, _CELLS = 8, 20


def open_model(path: Path, config: Demo, device: str, head: str | None = None) -> Answerer:
    """Make a model ready.

    Args:
        path: Run folder, weights file or export.
        config: How each task answers.
        device: To compute on; exports compute on the CPU.
        head: Of an export of several heads the one to ask.

    Raises:
        InputError: If the weights do not fit themselves, or are of no task that answers photos.
    """
    if is_export(path):
        return _open_export(open_export(path, config.common.threads or None, head), config)
    task = read_card(path).task
    if task == "classification":
        return _open_classifier(path, device)
    if task == "detection":
        return _open_detector(path, config.post, device)
    if task == "face_attributes":
        return _open_attributes(path, device)
    if task == "face_embedding":
        return open_faces(path, config, device)
    if task == "geolocation":
        return _open_geolocator(path, config.places, device)
    raise InputError(f"{path}: weights for {task} answer no photos")


def _open_export(exported: Exported, config: Demo) -> Answerer:
    card = exported.card
    if card.task == "classification":
        return Answerer(class_predictor(exported), _tell_classes)
    if card.task == "detection":
        least = config.post.score_threshold
        return Answerer(object_predictor(exported, least), _objects_teller(card, least))
    if card.task == "face_attributes":
        return Answerer(trait_predictor(exported), _tell_traits)
    if card.task == "face_embedding":
        return compare_faces(vector_predictor(exported), card, exported.path, config)
    predictor, atlas = place_predictor(exported, config.places)
    return Answerer(predictor, _places_teller(atlas, config.places.region))


def _open_classifier(path: Path, device: str) -> Answerer:
    model, card = load_classifier(path)
    return Answerer(LabelPredictor(model, card.classes, device, centre_of(card)), _tell_classes)


def _tell_classes(images: list[Image], found: list[Answer]) -> Reply:
    names, shares = found[0]
    return Reply(
        draw_answer(for_screen(images[0]), names, shares),
        names[0],
        f"with a probability of {shares[0]:.1%}",
        (Column("class"), Column("probability", "share")),
        list(zip(names, shares, strict=True)),
    )


def _open_detector(path: Path, post: PostSpec, device: str) -> Answerer:
    model, card = load_detector(path, post=post)
    fit = partial(fit_square, size=model.spec.size, keep_aspect=model.spec.keep_aspect)
    predictor = Predictor(model, card.classes, device, fit)
    return Answerer(predictor, _objects_teller(card, post.score_threshold))


def _objects_teller(card: Card, least: float) -> Callable[[list[Image], list[ImageResult]], Reply]:
    return partial(_tell_objects, names=card.classes.names, least=least)


def _tell_objects(
    images: list[Image], found: list[ImageResult], *, names: tuple[str, ...], least: float
) -> Reply:
    boxes = found[0]["boxes"]
    labels, scores = found[0]["labels"].tolist(), found[0]["scores"].tolist()
    shown = for_screen(images[0])
    scale = np.tile(np.divide(shown.shape[1::-1], images[0].shape[1::-1]), 2)
    rows: list[tuple[str | float, ...]] = [
        (names[label - 1], score, x1, y1, x2 - x1, y2 - y1)
        for label, score, (x1, y1, x2, y2) in zip(labels, scores, boxes.tolist(), strict=True)
    ]
    counts = Counter(names[label - 1] for label in labels)
    told = ", ".join(f"{count} x {name}" if count > 1 else name for name, count in counts.items())
    pixels = (Column(title, "number") for title in ("left", "top", "width", "height"))
    return Reply(
        draw_detections(shown, boxes * scale, labels, scores, names),
        told or "Nothing",
        f"with a score of {least:.0%} or more",
        (Column("object"), Column("score", "share"), *pixels),
        rows,
    )


def _open_attributes(path: Path, device: str) -> Answerer:
    model, card = load_attribute_net(path)
    return Answerer(AttributePredictor(model, card.classes, device, centre_of(card)), _tell_traits)


def _tell_traits(images: list[Image], found: list[Traits]) -> Reply:
    names, shares, present = found[0]
    seen = [name for name, there in zip(names, present, strict=True) if there]
    answers = ["yes" if there else "no" for there in present]
    return Reply(
        draw_answer(for_screen(images[0]), names[:_DRAWN], shares[:_DRAWN]),
        ", ".join(seen) or "None",
        f"of {len(names)} attributes, as far as a photo tells",
        (Column("attribute"), Column("probability", "share"), Column("answer")),
        list(zip(names, shares, answers, strict=True)),
    )


def _open_geolocator(path: Path, spec: DecodeSpec, device: str) -> Answerer:
    model, atlas, card = load_geolocator(path)
    predictor = GeoPredictor(model, atlas, device, centre_of(card), spec, temperature_of(card))
    return Answerer(predictor, _places_teller(atlas, spec.region))


def _places_teller(atlas: Atlas, share: float) -> Callable[[list[Image], list[Located]], Reply]:
    fine = atlas.fine

    def tell(images: list[Image], found: list[Located]) -> Reply:
        place = found[0]
        cells = [
            (place_name(fine.lat[cell], fine.lng[cell]), probability, fine.tokens[cell])
            for cell, probability in zip(place.cells, place.probabilities, strict=True)
        ]
        where = place_name(place.lat, place.lng) if place.answered else "No answer"
        region = f"{share:.0%} region of {len(cells)} cells"
        return Reply(
            draw_place(for_screen(images[0]), place, fine),
            where,
            f"confidence {place.confidence:.0%}; {region}, reaching {place.radius_km:,.0f} km",
            (Column("cell around"), Column("probability", "share"), Column("S2 token")),
            list(cells[:_CELLS]),
        )

    return tell
