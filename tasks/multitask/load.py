"""Loads a file of several heads as the models of their tasks, on one trunk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from datasets.errors import InputError
from tasks import applications
from tasks.application import PhotoApplication
from tasks.applications import photo_application
from tasks.body_network import BodyNetwork, body_of
from tasks.body_spec import ClassifierSpec
from tasks.multitask.model import MultiTaskNet
from tasks.multitask.stored import State, Stored, StoredHead, multi_card, read_stored
from tasks.weights.card import Card
from tasks.weights.file import BODY_PREFIX, built_to_fit, spec_of
from tasks.weights.head_files import load_weights


def load_multi(path: Path, given: Iterable[object] = ()) -> tuple[MultiTaskNet, dict[str, Card]]:
    """A trunk with its heads, in evaluation mode, and the heads' cards by name.

    ``net.head(name)`` is the model that the head's own task loads from its weights files; all of
    them share one trunk. A geolocator's atlas is ``atlas_of(net.head(name).cells)``.

    Args:
        path: Run folder or weights file.
        given: Options of any applications; each head picks its own.

    Raises:
        InputError: If the file is missing, damaged, of another kind, or inconsistent.
    """
    stored = read_stored(path)
    return build_stored(stored, given), {name: head.card for name, head in stored.heads.items()}


def as_stored(path: Path) -> Stored:
    """A network of one task, from a run folder or weights file, as a trunk with one head.

    Args:
        path: Run folder or weights file.

    Raises:
        InputError: If the file is missing or damaged, or is not a trunk and a head.
    """
    state, card = load_weights(path)
    photos = [one for one in applications.APPLICATIONS if isinstance(one, PhotoApplication)]
    names = {one.name: one.head for one in photos}
    name = names.get(card.task, "")
    if not name or card.model.get("framework", "ssd300") != "ssd300":
        kind = card.model.get("framework", card.task)
        heads = ", ".join(task for task, head in names.items() if head)
        raise InputError(f"{path}: {kind} is no trunk with a head; those are {heads}")
    body = {key: value for key, value in state.items() if key.startswith(BODY_PREFIX)}
    head = StoredHead(
        {key: value for key, value in state.items() if key not in body}, replace(card, trunk="")
    )
    plain = ClassifierSpec(card.model["backbone"]).to_json()  # Not every task has all of it.
    spec = {**plain, **{key: card.model[key] for key in plain if key in card.model}}
    return Stored(path, multi_card(spec, {name: card}, card=card), body, {name: head})


def build_stored(stored: Stored, given: Iterable[object] = ()) -> MultiTaskNet:
    """The network of a file in memory, to evaluate. Raises InputError if it is inconsistent."""
    told = {name: value for name, value in stored.card.model.items() if name != "heads"}
    spec = spec_of(replace(stored.card, model=told), ClassifierSpec, stored.path)
    plain = {key.removeprefix(BODY_PREFIX): value for key, value in stored.body.items()}
    body = built_to_fit(lambda: body_of(spec, stored.card.flavour), plain, str(stored.path))
    models = {name: build_head(*stored.single(name), stored.path, given) for name in stored.heads}
    own = {name for name, head in stored.heads.items() if head.owns_norms}
    return MultiTaskNet(body, models, own).eval()


def build_head(state: State, card: Card, path: Path, given: Iterable[object] = ()) -> BodyNetwork:
    """The model of one task from weights and card as in a separate file.

    Args:
        state: Weights, with the trunk's.
        card: Card of the head.
        path: Path for messages.
        given: Options of any applications; the head picks its own.

    Raises:
        InputError: If the card's task cannot be a head, or the weights do not fit.
    """
    application = photo_application(card.task, path)

    def build() -> BodyNetwork:
        model, _ = application.network().build(card, state, path, application.pick(given))
        if not isinstance(model, BodyNetwork):
            raise InputError(f"{path}: {type(model).__name__} is no head")
        return model

    return built_to_fit(build, state, str(path)).eval()
