"""Answers from the probabilities of cells: a position, a region, and the confidence."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.images import Image
from tasks.application import Column, ImageAnswer, Reply
from tasks.geolocation.decode import Located, decode, place_name
from tasks.geolocation.draw import draw_place
from tasks.geolocation.partition import Partition
from tasks.geolocation.spec import DecodeSpec
from tasks.probabilities import log_of
from tasks.reporting.pictures import for_screen
from tasks.runtime.session import Answer as Outputs

# Number of rows in the page's table.
_CELLS = 20


_DEGREES = {
    "anyOf": [{"type": "number"}, {"type": "null"}],
    "description": "In degrees; null if the model abstains.",
}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Where an image was taken, and the region around.",
    "additionalProperties": False,
    "required": ["latitude", "longitude", "confidence", "region"],
    "properties": {
        "latitude": _DEGREES,
        "longitude": _DEGREES,
        "confidence": _SHARE,
        "region": {
            "type": "object",
            "additionalProperties": False,
            "required": ["probability", "radius_km", "cells", "probabilities"],
            "properties": {
                "probability": _SHARE,
                "radius_km": {"type": "number", "minimum": 0},
                "cells": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "S2 tokens, the most likely first.",
                },
                "probabilities": {"type": "array", "items": _SHARE},
            },
        },
    },
}


def cells_text(cells: NDArray[np.int64]) -> str:
    """Cells in the form of an export, which :func:`~tasks.runtime.exported.cells_of` reads."""
    return base64.b64encode(cells.astype("<i8").tobytes()).decode()


class PlaceAnswers:
    """Presents a geolocator's outputs."""

    def __init__(self, partition: Partition, spec: DecodeSpec) -> None:
        self.partition, self.spec = partition, spec

    def read(self, outputs: Outputs) -> Located:
        """Position and region."""
        logits = log_of(outputs["probabilities"])[None]
        places = decode(logits, self.partition, self.spec)
        cells = places.order[0, : places.region[0]]
        return Located(
            lat=float(places.lat[0]),
            lng=float(places.lng[0]),
            confidence=float(places.confidence[0]),
            answered=bool(places.confidence[0] >= self.spec.abstain),
            cells=cells.tolist(),
            probabilities=places.probabilities[0, cells].tolist(),
            radius_km=float(places.radius_km[0]),
        )

    def draw(self, image: Image, answer: Located) -> Image:
        """The image with its most likely cells, over a map with the region."""
        return draw_place(image, answer, self.partition)

    def to_json(self, answer: Located) -> dict[str, Any]:
        """Position (none if the model abstains) and region."""
        return {
            "latitude": answer.lat if answer.answered else None,
            "longitude": answer.lng if answer.answered else None,
            "confidence": answer.confidence,
            "region": {
                "probability": self.spec.region,
                "radius_km": answer.radius_km,
                "cells": [self.partition.tokens[cell] for cell in answer.cells],
                "probabilities": answer.probabilities,
            },
        }

    def line(self, answer: Located) -> str:
        """``48.86 N, 2.35 E (confidence 0.61; region of 5 cells reaching 320 km)``."""
        region = f"region of {len(answer.cells)} cells reaching {answer.radius_km:,.0f} km"
        if not answer.answered:
            return f"no answer (confidence {answer.confidence:.2f}; {region})"
        where = place_name(answer.lat, answer.lng)
        return f"{where} (confidence {answer.confidence:.2f}; {region})"

    def reply(self, image: Image, answer: Located) -> Reply:
        """Image and map, and a table of cells."""
        fine = self.partition
        cells: list[tuple[str | float, ...]] = [
            (place_name(fine.lat[cell], fine.lng[cell]), probability, fine.tokens[cell])
            for cell, probability in zip(answer.cells, answer.probabilities, strict=True)
        ]
        where = place_name(answer.lat, answer.lng) if answer.answered else "No answer"
        region = f"{self.spec.region:.0%} region of {len(cells)} cells"
        return Reply(
            self.draw(for_screen(image), answer),
            where,
            f"confidence {answer.confidence:.0%}; {region}, reaching {answer.radius_km:,.0f} km",
            (Column("cell around"), Column("probability", "share"), Column("S2 token")),
            cells[:_CELLS],
        )


class Region(NamedTuple):
    """The smallest set of cells that together have the asked-for probability."""

    tokens: list[str]  # S2 cells, the most likely first
    probabilities: list[float]  # of each, 0..1
    radius_km: float  # how far they reach from the most likely position


class PlaceAnswer(ImageAnswer[Located]):
    """Where an image was taken, according to the model."""

    answers: PlaceAnswers

    @property
    def latlng(self) -> tuple[float, float] | None:
        """Latitude and longitude in degrees; None where the model abstains."""
        return (self.value.lat, self.value.lng) if self.value.answered else None

    @property
    def confidence(self) -> float:
        """Probability of the cells near the position, 0..1."""
        return self.value.confidence

    @property
    def region(self) -> Region:
        """The cells around it."""
        tokens = [self.answers.partition.tokens[cell] for cell in self.value.cells]
        return Region(tokens, self.value.probabilities, self.value.radius_km)
