"""What an export is worth on labelled photos, in one number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from configs.deploy import Export
from datasets.errors import InputError
from datasets.spec import Split
from tasks.classification.load import TASK as CLASSIFICATION
from tasks.detection.evaluator import ImageResult
from tasks.detection.model import TASK as DETECTION
from tasks.detection.model import Detector
from tasks.runtime.exported import Exported
from tasks.runtime.open import open_export
from tools.classification.data import open_data
from tools.detection.data import Validation, make_validation, open_examined
from tools.flows.photo_loaders import Photos, make_photos
from tools.flows.source import Source

# Of a probability that was rounded to zero, for its logarithm.
_TINY = 1e-30


@dataclass(frozen=True)
class Scorer:
    """A task's main metric.

    Attributes:
        metric: Its name.
        score: Of an export's file, in points of 100.
    """

    metric: str
    score: Callable[[Path], float]


def open_scorer(args: Export, source: Source) -> Scorer:
    """Open the labelled data that exports are to be scored on.

    Args:
        args: Flags, of which ``--labelled`` is given.
        source: The model that was exported.

    Raises:
        InputError: If the data cannot be used, or the task has no one metric here.
    """
    assert args.labelled is not None
    threads = args.common.threads or None
    if source.task == CLASSIFICATION:
        data = open_data(args.labelled, "val", None, whole=True)
        photos = make_photos(data, source.card, batch_size=1, workers=0, alone=True)
        return Scorer("top-1", lambda file: _top1(open_export(file, threads), photos))
    if source.task == DETECTION:
        assert isinstance(source.model, Detector)
        spec = source.model.spec
        split: Split = "all" if args.labelled.suffix == ".json" else "val"
        found = open_examined(args.labelled, split, spec, train=False)
        validation = make_validation(
            found, source.card.classes, spec=spec, batch_size=1, workers=0
        )
        return Scorer("AP", lambda file: _ap(open_export(file, threads), validation))
    raise InputError(
        f"--labelled {args.labelled}: is for classification and detection; for {source.task} "
        "leave it out: the answers are compared with the float export's on the photos of "
        "--calibrate"
    )


def _top1(exported: Exported, photos: Photos) -> float:
    evaluator = photos.evaluator.fresh()
    for index in range(len(photos.data)):
        (answer,) = exported([photos.data.image(index)])
        likely = np.log(np.maximum(answer["probabilities"], _TINY))[None]
        evaluator.update([index], torch.from_numpy(likely))
    return 100 * evaluator.compute()["metrics"]["top1"]


def _ap(exported: Exported, validation: Validation) -> float:
    evaluator = validation.evaluator.fresh()
    evaluator.update(list(_detections(exported, validation)))
    return 100 * evaluator.compute()["metrics"]["AP"]


def _detections(exported: Exported, validation: Validation) -> Iterator[ImageResult]:
    data = validation.data
    for index, image_id in enumerate(data.image_ids.tolist()):
        (found,) = exported([data.image(index)])
        yield {
            "image_id": image_id,
            "boxes": found["boxes"].astype(np.float64),
            "scores": found["scores"].astype(np.float64),
            "labels": found["labels"],
        }
