"""A model card for people, as Hugging Face's hub shows it, from the card of a weights file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from backbone.cost import Cost
from backbone.flavour import InputSpec
from tasks.body_spec import ClassifierSpec
from tasks.classification.evaluator import MEANINGS as LABEL_MEANINGS
from tasks.classification.load import TASK as CLASSIFICATION
from tasks.detection.evaluator import ABSENT
from tasks.detection.evaluator import MEANINGS as BOX_MEANINGS
from tasks.detection.model import TASK as DETECTION
from tasks.detection.model import detector_cost
from tasks.detection.spec import DetectorSpec
from tasks.face_attributes.evaluator import MEANINGS as ATTRIBUTE_MEANINGS
from tasks.face_attributes.load import TASK as FACE_ATTRIBUTES
from tasks.face_attributes.spec import USE_NOTE as ATTRIBUTE_NOTE
from tasks.face_embedding.evaluator import MEANINGS as PAIR_MEANINGS
from tasks.face_embedding.load import TASK as FACE_EMBEDDING
from tasks.face_embedding.load import alignment_of, embedder_spec
from tasks.geolocation.evaluator import MEANINGS as PLACE_MEANINGS
from tasks.geolocation.load import CELLS_KEY
from tasks.geolocation.load import TASK as GEOLOCATION
from tasks.geolocation.spec import USE_NOTE
from tasks.weights.card import Card
from tasks.weights.file import spec_of
from tasks.weights.head_files import load_weights
from tools.classification.recipe import classifier_cost
from tools.face_embedding.recipe import embedder_cost
from tools.flows.report_facts import model_text

# The hub's own names of tasks, by which it sorts models.
_PIPELINES = {
    CLASSIFICATION: "image-classification",
    DETECTION: "object-detection",
    GEOLOCATION: "image-classification",
    FACE_ATTRIBUTES: "image-classification",
    FACE_EMBEDDING: "image-feature-extraction",
}
_TRAINERS = {
    CLASSIFICATION: "train_cls",
    DETECTION: "train_det",
    GEOLOCATION: "train_geo",
    FACE_ATTRIBUTES: "train_attr",
    FACE_EMBEDDING: "train_embed",
}
# What a body is shown to be the start of; it may be that of all others.
_OF_BODIES = (CLASSIFICATION, DETECTION)
_MEANINGS = {
    CLASSIFICATION: LABEL_MEANINGS,
    DETECTION: BOX_MEANINGS,
    GEOLOCATION: PLACE_MEANINGS,
    FACE_ATTRIBUTES: ATTRIBUTE_MEANINGS,
    FACE_EMBEDDING: PAIR_MEANINGS,
}
_LIMITS = {
    GEOLOCATION: USE_NOTE,
    FACE_ATTRIBUTES: ATTRIBUTE_NOTE,
    FACE_EMBEDDING: "Do not identify people who have not agreed to it: in many places that is "
    "against the law.",
}
# Names of classes that are listed; of longer lists the first few are.
_LISTED, _FEW = 100, 10


def model_card(card: Card, weights: Path, name: str, licence: str | None = None) -> str:
    """Markdown with the hub's header: what the model is, its figures, how to use it.

    Args:
        card: Of the weights.
        weights: File or run folder that the card was read from.
        name: ``OWNER/NAME``.
        licence: To name in the header.

    Raises:
        InputError: If the card's architecture cannot be built.
    """
    header = ["library_name: mobilenet-suite", "tags: [mobilenet, mobilenet_v1]"]
    if card.task in _PIPELINES:
        header.append(f"pipeline_tag: {_PIPELINES[card.task]}")
    if licence is not None:
        header.append(f"license: {licence}")
    rows = [
        ("task", card.task),
        ("model", model_text(card)),
        ("input", _input_text(card.flavour.input)),
        ("origin", card.source),
    ]
    cost = _cost(card, weights)
    if cost is not None:
        rows.insert(2, ("cost of a photo", str(cost)))
    if card.task == FACE_EMBEDDING:
        rows.append(("faces stand", alignment_of(card, weights)))
    parts = [
        "\n".join(["---", *header, "---"]),
        f"# {name.partition('/')[2]}",
        _table(("", ""), rows),
        *_figures(card),
        *_classes(card),
        *_limits(card),
        _usage(card, name),
    ]
    return "\n\n".join(parts) + "\n"


def _cost(card: Card, weights: Path) -> Cost | None:
    """Of one photo; None of a body alone, whose input may have any size."""
    if card.task in (CLASSIFICATION, FACE_ATTRIBUTES):
        return classifier_cost(spec_of(card, ClassifierSpec, weights), len(card.classes))
    if card.task == DETECTION:
        return detector_cost(spec_of(card, DetectorSpec, weights), len(card.classes))
    if card.task == GEOLOCATION:  # A column for each cell of each partition.
        cells = len(load_weights(weights)[0].get(CELLS_KEY, ()))
        return classifier_cost(spec_of(card, ClassifierSpec, weights), cells)
    if card.task == FACE_EMBEDDING:
        return embedder_cost(embedder_spec(card, weights))
    return None


def _input_text(spec: InputSpec) -> str:
    scaling = ", ".join(
        f"{word} {' '.join(f'{value:.4g}' for value in values)}"
        for word, values in (("mean", spec.mean), ("standard deviation", spec.std))
    )
    cut = f", of which the central {spec.crop:g} is kept" if spec.crop < 1 else ""
    return (
        f"{spec.size}x{spec.size} pixels, {spec.channels.upper()} in 0..1, {scaling}, "
        f"{spec.interpolation} resize{cut}"
    )


def _figures(card: Card) -> list[str]:
    """What was measured on the validation part, if anything was."""
    meanings = _MEANINGS.get(card.task, {})
    rows = [
        (name, f"{value:.3f}", meanings.get(name.removeprefix("val_"), ""))
        for name, value in card.metrics.items()
        if value != ABSENT
    ]
    table = _table(("figure", "value", "meaning"), rows)
    return ["## Measured on its validation data", table] if rows else []


def _classes(card: Card) -> list[str]:
    """What it answers with; of cells, whose names are tokens, the number alone."""
    names = card.classes.names
    if not names:
        return []
    if card.task == GEOLOCATION:
        return [f"## Cells ({len(names)})", "S2 cells; the weights carry them."]
    listed = names if len(names) <= _LISTED else names[:_FEW]
    more = len(names) - len(listed)
    what = "Attributes" if card.task == FACE_ATTRIBUTES else "Classes"
    text = ", ".join(listed) + (f", and {more} more, which the weights carry" if more else "")
    return [f"## {what} ({len(names)})", text]


def _limits(card: Card) -> list[str]:
    return ["## What it is not for", _LIMITS[card.task]] if card.task in _LIMITS else []


def _usage(card: Card, name: str) -> str:
    file = f"{name.partition('/')[2]}.safetensors"
    lines = [f"tools/download.py {name}"]
    if card.task in _TRAINERS:
        others = " --gallery people/" if card.task == FACE_EMBEDDING else ""
        lines += [
            f"tools/predict.py {file} photo.jpg{others}",
            f"tools/evaluate.py {file} --data PATH",
            f"tools/{_TRAINERS[card.task]}.py --weights {file} --data PATH",
        ]
    else:
        lines += [f"tools/{_TRAINERS[t]}.py --weights {file} --data PATH" for t in _OF_BODIES]
    return "\n".join(["## Use", "", "With the MobileNet suite:", "", *(f"    {x}" for x in lines)])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; a bar in a cell would end it."""
    cells = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(c.replace('|', '/') for c in row)} |" for row in cells)
