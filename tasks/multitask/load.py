"""From a file of several heads to the models that each task knows, on one trunk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from backbone.bodies import build_body
from datasets.errors import InputError
from tasks.classification.load import TASK as CLASSIFICATION
from tasks.classification.model import build_classifier
from tasks.classification.spec import ClassifierSpec
from tasks.detection.model import TASK as DETECTION
from tasks.detection.model import build_detector
from tasks.detection.spec import DetectorSpec
from tasks.detection.ssd import SSD
from tasks.face_attributes.load import TASK as FACE_ATTRIBUTES
from tasks.face_attributes.model import build_attribute_net
from tasks.face_embedding.load import TASK as FACE_EMBEDDING
from tasks.face_embedding.load import embedder_spec
from tasks.face_embedding.model import build_embedder
from tasks.geolocation.atlas import atlas_of
from tasks.geolocation.load import CELLS_KEY, build_geolocator
from tasks.geolocation.load import TASK as GEOLOCATION
from tasks.multitask.model import HeadModel, MultiTaskNet
from tasks.multitask.stored import State, Stored, StoredHead, multi_card, read_stored
from tasks.weights.card import Card
from tasks.weights.file import BODY_PREFIX, load_into, spec_of
from tasks.weights.head_files import load_weights

# What a network of one task is called as a head.
_NAMES = {
    CLASSIFICATION: "classes",
    FACE_ATTRIBUTES: "attributes",
    GEOLOCATION: "places",
    FACE_EMBEDDING: "embedding",
    DETECTION: "boxes",
}


def load_multi(path: Path) -> tuple[MultiTaskNet, dict[str, Card]]:
    """A trunk with its heads, in evaluation mode, and the heads' cards by name.

    ``net.head(name)`` is the model that the head's own task loads from its weights files; all
    stand on one trunk. A geolocator's atlas is ``atlas_of(net.head(name).cells)``.

    Args:
        path: Run folder or weights file.

    Raises:
        InputError: If the file is missing, damaged, of another kind, or does not fit itself.
    """
    stored = read_stored(path)
    return build_stored(stored), {name: head.card for name, head in stored.heads.items()}


def as_stored(path: Path) -> Stored:
    """A network of one task, seen as a trunk with one head.

    Args:
        path: Run folder or weights file.

    Raises:
        InputError: If the file is missing or damaged, or is of a kind that is no trunk and head.
    """
    state, card = load_weights(path)
    if card.task not in _NAMES or card.model.get("framework", "ssd300") != "ssd300":
        kind = card.model.get("framework", card.task)
        raise InputError(f"{path}: {kind} is no trunk with a head; those are {', '.join(_NAMES)}")
    body = {key: value for key, value in state.items() if key.startswith(BODY_PREFIX)}
    head = StoredHead(
        {key: value for key, value in state.items() if key not in body}, replace(card, trunk="")
    )
    plain = ClassifierSpec(card.model["backbone"]).to_json()  # Not every task has all of it.
    spec = {**plain, **{key: card.model[key] for key in plain if key in card.model}}
    name = _NAMES[card.task]
    return Stored(path, multi_card(spec, {name: card}, card=card), body, {name: head})


def build_stored(stored: Stored) -> MultiTaskNet:
    """The network of a file in memory, in evaluation mode.

    Raises:
        InputError: If it does not fit itself.
    """
    told = {name: value for name, value in stored.card.model.items() if name != "heads"}
    spec = spec_of(replace(stored.card, model=told), ClassifierSpec, stored.path)
    body = build_body(
        spec.backbone,
        alpha=spec.alpha,
        variant=spec.variant,
        stem_stride=spec.stem_stride,
        flavour=stored.card.flavour,
    )
    plain = {key.removeprefix(BODY_PREFIX): value for key, value in stored.body.items()}
    load_into(body, plain, str(stored.path))
    models = {name: build_head(*stored.single(name), stored.path) for name in stored.heads}
    own = {name for name, head in stored.heads.items() if head.owns_norms}
    return MultiTaskNet(body, models, own).eval()


def build_head(state: State, card: Card, path: Path) -> HeadModel:
    """The model of one task from weights and card as in a file of its own.

    Raises:
        InputError: If the card is of no task that a trunk can carry, or the weights do not fit.
    """
    model: HeadModel
    if card.task == DETECTION:
        detector = build_detector(spec_of(card, DetectorSpec, path), card.classes, card.flavour)
        assert isinstance(detector, SSD), "Faster R-CNN is no head"
        model = detector
    elif card.task == FACE_EMBEDDING:
        model = build_embedder(embedder_spec(card, path), card.flavour)
    elif card.task in (CLASSIFICATION, FACE_ATTRIBUTES, GEOLOCATION):
        spec = spec_of(card, ClassifierSpec, path)
        if card.task == CLASSIFICATION:
            model = build_classifier(spec, len(card.classes), card.flavour)
        elif card.task == FACE_ATTRIBUTES:
            model = build_attribute_net(spec, len(card.classes), card.flavour)
        else:
            model = build_geolocator(spec, atlas_of(state[CELLS_KEY]), card.flavour)
    else:
        raise InputError(f"{path}: a head for {card.task} is not known")
    load_into(model, state, str(path))
    return model.eval()
