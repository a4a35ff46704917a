"""Photos in; places out, as pictures with maps and as JSON."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from configs.tools import Predict
from datasets.errors import InputError
from tasks.geolocation.answer import ExportedPlaces, GeoPredictor, Located, place_name
from tasks.geolocation.atlas import atlas_of
from tasks.geolocation.draw import draw_place
from tasks.geolocation.load import TASK, load_geolocator, temperature_of
from tasks.geolocation.partition import Partition
from tasks.geolocation.spec import USE_NOTE
from tasks.runtime.open import is_export
from tools import cli
from tools.classification.media import answer_photos
from tools.detection.media import find_media, output_files
from tools.flows.exported import open_export
from tools.flows.report_facts import centre_of

# Flags of tools/predict.py that not all applications take.
PREDICT_FLAGS = ("places",)

_SHOWN = 20


def predict_places(args: Predict) -> tuple[dict[str, Any], str]:
    """Locate photos, draw the answers and write ``predictions.json``.

    Returns:
        The result for programs and for people.

    Raises:
        InputError: If weights, flags or files do not fit.
    """
    device = cli.prepare(args.common)
    args.refuse_unless(PREDICT_FLAGS, TASK)
    photos, videos = find_media(args.paths)
    if videos:
        raise InputError(f"{videos[0]}: videos are for detectors; name photos or folders")
    cli.say(USE_NOTE)
    folder = args.common.out or Path("predictions")
    files = output_files(photos, folder) if args.draw else {}
    predictor = _open(args, device)
    folder.mkdir(parents=True, exist_ok=True)
    partition = predictor.partition
    drawn = partial(draw_place, partition=partition)
    answers, failures = answer_photos(args, photos, predictor, files, drawn)
    for failure in failures:
        cli.say(f"warning: {failure}")
    if not answers:
        raise InputError("none of the files could be read")
    rows = [_row(path, found, partition, args.places.region) for path, found in answers]
    cli.write_json(folder / "predictions.json", {"photos": rows})
    lines = [f"  {path}: {_said(found)}" for path, found in answers[:_SHOWN]]
    if len(answers) > _SHOWN:
        lines.append(f"  ... and {len(answers) - _SHOWN} more")
    lines.append(f"{len(answers)} photos: {folder}")
    return {"folder": str(folder), "unreadable": failures, "photos": rows}, "\n".join(lines)


def _open(args: Predict, device: str) -> GeoPredictor | ExportedPlaces:
    if is_export(args.weights):
        exported = open_export(args, TASK)
        return ExportedPlaces(exported, atlas_of(torch.from_numpy(exported.cells)), args.places)
    model, atlas, card = load_geolocator(args.weights)
    return GeoPredictor(model, atlas, device, centre_of(card), args.places, temperature_of(card))


def _row(path: Path, found: Located, partition: Partition, region: float) -> dict[str, Any]:
    """One photo as JSON; without a position where the model abstains."""
    return {
        "file": str(path),
        "latitude": found.lat if found.answered else None,
        "longitude": found.lng if found.answered else None,
        "confidence": found.confidence,
        "region": {
            "probability": region,
            "radius_km": found.radius_km,
            "cells": [partition.tokens[cell] for cell in found.cells],
            "probabilities": found.probabilities,
        },
    }


def _said(found: Located) -> str:
    region = f"region of {len(found.cells)} cells reaching {found.radius_km:,.0f} km"
    if not found.answered:
        return f"no answer (confidence {found.confidence:.2f}; {region})"
    return f"{place_name(found.lat, found.lng)} (confidence {found.confidence:.2f}; {region})"
