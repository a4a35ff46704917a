"""Geolocation: where on the globe an image was taken."""

from __future__ import annotations

from pathlib import Path

from tasks.application import Facts, Metric, PhotoApplication, network_of
from tasks.geolocation.answer import SCHEMA, PlaceAnswer, PlaceAnswers
from tasks.geolocation.atlas import atlas_from
from tasks.geolocation.evaluator import MEANINGS
from tasks.geolocation.spec import TASK, USE_NOTE, DecodeSpec
from tasks.runtime.exported import cells_of
from tasks.weights.card import Card


def _answers(_card: Card, facts: Facts, options: DecodeSpec, path: Path) -> PlaceAnswers:
    return PlaceAnswers(atlas_from(cells_of(facts, path)).fine, options)


GEOLOCATION = PhotoApplication(
    name=TASK,
    title="Places",
    train_tool="train_geo",
    options=DecodeSpec,
    outputs={"probabilities": "(C,) float32 in 0..1, of the finest partition's cells"},
    network=network_of(f"{__package__}.network"),
    answers=_answers,
    answer=PlaceAnswer,
    schema=SCHEMA,
    metric=Metric("geoscore", "GeoScore", best=5000.0),
    compared_by=Metric("km200", "% within 200 km"),
    meanings=MEANINGS,
    noun="cells",
    classes_note="S2 cells; the weights carry them.",
    flags=("places",),
    use_note=USE_NOTE,
    head="places",
)
