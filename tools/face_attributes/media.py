"""Photos in; what their faces show out, as pictures and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from configs.tools import Predict
from datasets.errors import InputError
from datasets.images import Image
from tasks.classification.draw import draw_answer
from tasks.face_attributes.answer import AttributePredictor, ExportedAttributes, Traits
from tasks.face_attributes.load import TASK, load_attribute_net
from tasks.face_attributes.spec import USE_NOTE as NOTE
from tasks.runtime.open import is_export
from tools import cli
from tools.classification.media import answer_photos
from tools.detection.media import find_media, output_files
from tools.flows.exported import open_export
from tools.flows.report_facts import centre_of

# Flags of tools/predict.py that not all applications take.
PREDICT_FLAGS: tuple[str, ...] = ()

_SHOWN = 20
# Bars under a picture.
_DRAWN = 8


def predict_attributes(args: Predict) -> tuple[dict[str, Any], str]:
    """Tell the attributes of photos, draw them and write ``predictions.json``.

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
    cli.say(NOTE)
    folder = args.common.out or Path("predictions")
    files = output_files(photos, folder) if args.draw else {}
    predictor = _open(args, device)
    folder.mkdir(parents=True, exist_ok=True)
    answers, failures = answer_photos(args, photos, predictor, files, _drawn)
    for failure in failures:
        cli.say(f"warning: {failure}")
    if not answers:
        raise InputError("none of the files could be read")
    rows = [
        {
            "file": str(path),
            "present": _present(found),
            "probabilities": dict(zip(found.names, found.probabilities, strict=True)),
        }
        for path, found in answers
    ]
    cli.write_json(folder / "predictions.json", {"photos": rows})
    lines = [
        f"  {path}: {', '.join(_present(found)) or 'none'}" for path, found in answers[:_SHOWN]
    ]
    if len(answers) > _SHOWN:
        lines.append(f"  ... and {len(answers) - _SHOWN} more")
    lines.append(f"{len(answers)} photos: {folder}")
    return {"folder": str(folder), "unreadable": failures, "photos": rows}, "\n".join(lines)


def _open(args: Predict, device: str) -> AttributePredictor | ExportedAttributes:
    if is_export(args.weights):
        return ExportedAttributes(open_export(args, TASK))
    model, card = load_attribute_net(args.weights)
    return AttributePredictor(model, card.classes, device, centre_of(card))


def _present(found: Traits) -> list[str]:
    return [name for name, present in zip(found.names, found.present, strict=True) if present]


def _drawn(image: Image, found: Traits) -> Image:
    return draw_answer(image, found.names[:_DRAWN], found.probabilities[:_DRAWN])
