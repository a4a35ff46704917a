"""TensorFlow's SSD, brought in and compared with the original."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from backbone.formats.recognise import is_tflite
from backbone.formats.tflite import has_boxes, read_tflite
from configs.tools import ImportWeights
from datasets.types import read_labels
from tasks.detection.from_tensorflow import import_tensorflow_ssd, is_tensorflow_detector
from tasks.detection.from_tflite import import_ssd
from tools.flows.importing import Foreign, Importer, scenes_for

_NOT_COMPARED = "not compared with the original: LiteRT is not installed here"


_NO_RUNTIME = "not compared with the original: no runtime of TensorFlow's own files is supported"


def _claims(source: Path) -> bool:
    if is_tflite(source):
        return has_boxes(read_tflite(source))
    return is_tensorflow_detector(source)


def _read(args: ImportWeights, source: Path) -> Foreign:
    from tasks.detection.reference_runtime import compare

    args.refuse_for_detector()
    classes = read_labels(args.labels) if args.labels else None
    if not is_tflite(source):
        model, card = import_tensorflow_ssd(source, classes)
        about = f"detector, {len(card.classes)} classes\n{_NO_RUNTIME}"
        return Foreign(model.state_dict(), card, about)
    model, card = import_ssd(source, classes)
    said, facts = _NOT_COMPARED, {}
    if importlib.util.find_spec("ai_edge_litert") is not None:
        facts["largest_score_difference"] = worst = compare(source, model, scenes_for(card))
        said = f"against LiteRT on built-in scenes: scores differ by {worst:.3f} at most"
    about = f"detector, {len(card.classes)} classes\n{said}"
    return Foreign(model.state_dict(), card, about, facts)


SSD_IMPORTER = Importer(_read, _claims)
