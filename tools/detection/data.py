"""From a path to examined data with boxes, and their loaders and evaluators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.detection import TrainDet
from datasets.boxes.augmentation import DetectionTransform
from datasets.boxes.checking import examine
from datasets.boxes.coco import to_coco
from datasets.boxes.opening import open_detection, recognise_detection
from datasets.boxes.structure import DetectionData
from datasets.boxes.torch_set import DetectionSet, detection_loader
from datasets.boxes.tree import Hints
from datasets.errors import InputError, NotRecognised
from datasets.loader import ResumableLoader
from datasets.spec import Split
from datasets.splitting import tell_part
from datasets.types import ClassMap, DetectionBatch
from tasks.detection.evaluator import CocoEvaluator, Scorer
from tasks.detection.model import detector_anchors
from tasks.detection.spec import DetectorSpec
from tasks.fitting.engine import rank_and_world
from tasks.weights.card import Card
from tools import cli
from tools.flows.recipe import Loading, Ready
from tools.flows.trained_on import digest_of, doubt_of, known_part, tell_data

Loader = ResumableLoader[DetectionBatch]


def open_examined(
    path: Path,
    split: Split,
    spec: DetectorSpec,
    *,
    train: bool,
    whole: bool = False,
    other: DetectionData | None = None,
    hints: Hints | None = None,
) -> DetectionData:
    """Read a part and let the data doctor examine it, before training or evaluation.

    Args:
        path: Path of the data.
        split: Part to read.
        spec: Detector with whose anchors boxes are compared.
        train: Whether the part is used for training: boxes are corrected, and the data is
            described even if nothing is wrong.
        whole: Whether to use all of data without parts.
        other: Training data, to check whether the files are the same.
        hints: What the user states about the data.

    Raises:
        InputError: If the data cannot be used.
    """
    anchors = detector_anchors(spec).numpy()
    try:
        checkup = examine(
            open_detection(path, split, whole=whole, hints=hints),
            anchors,
            mend_boxes=train,
            keep_aspect=spec.keep_aspect,
            other=other,
        )
        checkup.raise_if_refused()
    except NotRecognised:  # Whoever opens all data says what they are.
        raise
    except ValueError as error:
        raise InputError(f"{split} data: {error}") from error
    if train or checkup.findings:
        cli.say(f"{split} data: {checkup.describe(5)}")
    return checkup.data


def has_test_part(path: Path, hints: Hints) -> bool:
    """Whether data has a part to test on besides one to validate on."""
    found = recognise_detection(path, hints)
    return found is not None and {"train", "val", "test"} <= set(found.claim.parts)


def images_of(data: DetectionData, keep: NDArray[np.bool_]) -> DetectionData:
    """The images of a mask (N,), with all of their boxes."""
    return data.select(keep, np.ones(len(data.boxes), np.bool_))


def trained_on(path: Path, *, whole: bool, hints: Hints | None = None) -> dict[str, Any]:
    """What a card stores about training data; ``whole`` if nothing was held out of a lone part."""
    found = recognise_detection(path, hints)
    lone = found is not None and len(found.claim.parts) == 1
    return tell_data(path, held_out=not whole, digest=_digest(path, hints) if lone else None)


def _digest(path: Path, hints: Hints | None) -> str:
    """Digest of the images, boxes and class names of a data set without parts."""
    data = open_detection(path, "train", whole=True, hints=hints)
    boxes = (data.offsets, data.boxes, data.labels, data.iscrowd)
    truth: list[str | bytes] = [repr(data.classes.names), *(one.tobytes() for one in boxes)]
    return digest_of(data.files.tolist(), data.root, truth)


def part_to_score(
    path: Path, card: Card, hints: Hints | None = None, asked: Split | None = None
) -> tuple[Split, bool, str]:
    """The part of a data set to evaluate on: the requested one, if any.

    Otherwise it is the validation part. Data without parts is used whole, unless the weights were
    trained on the rest of it: then the fifth that was held out is used.

    Args:
        path: Path of the data.
        card: Card of the model.
        hints: What the user states about the data.
        asked: Requested part.

    Returns:
        The part, whether it is all of a data set without parts, and a sentence about it.
    """
    if asked is None and path.suffix.lower() == ".json":
        return "all", False, f"all of {path}"
    found = recognise_detection(path, hints) if path.exists() else None
    parts = () if found is None else tuple(found.claim.parts)
    if asked is not None or parts != ("train",):
        split = asked or "val"
        return split, False, tell_part(path, split, parts, hint=asked is None)
    told = card.trained_on
    known = known_part(path, told, lambda: _digest(path, hints), path)
    if known is not None:
        return "val", *known
    doubt = doubt_of(path, told)
    said = f"all of {path}; --split val takes a fifth of it"
    return "val", True, said + (f" ({doubt})" if doubt else "")


def make_validation(
    data: DetectionData,
    classes: ClassMap,
    loading: Loading,
    *,
    spec: DetectorSpec,
    scorer: Scorer = "faster",
    above: float = 0.0,
) -> Ready[DetectionData, CocoEvaluator]:
    """Loader and evaluator of a part for a model with the given classes and input.

    Args:
        data: The part.
        classes: Classes of the model.
        loading: How it is read.
        spec: Architecture of the model.
        scorer: Library that computes the metrics.
        above: Score above which detections count.

    Raises:
        InputError: If model and data have no class name in common.
    """
    labels = classes.labels_in(data.classes)
    if not labels.any():
        raise InputError(
            f"{data.root}: the model knows {_some(classes.names)}, the data "
            f"{_some(data.classes.names)}: no class name in common"
        )
    unknown = [n for n in data.classes.names if n not in classes.names]
    if unknown:
        cli.say(f"{len(unknown)} classes of the data are unknown to the model: {_some(unknown)}")
    rank, world = (0, 1) if loading.alone else rank_and_world()
    loader = detection_loader(
        DetectionSet(data, DetectionTransform(spec.size, "none", keep_aspect=spec.keep_aspect)),
        batch_size=loading.batch_size,
        train=False,
        workers=loading.workers,
        rank=rank,
        world=world,
    )
    same = classes.names == data.classes.names
    evaluator = CocoEvaluator(to_coco(data), None if same else labels, scorer, above, data.own_ids)
    return Ready(data, loader, evaluator)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f", ... ({len(names)})" if len(names) > 5 else "")


def training_loader(
    config: TrainDet, data: DetectionData, workers: int, *, alone: bool = False
) -> Loader:
    """This process's share of the augmented images, or all with ``alone``, in complete batches."""
    spec = config.model
    rank, world = (0, 1) if alone else rank_and_world()
    transform = DetectionTransform(spec.size, config.augment, keep_aspect=spec.keep_aspect)
    return detection_loader(
        DetectionSet(data, transform, config.common.seed),
        batch_size=config.fit.batch_size,
        train=True,
        workers=workers,
        seed=config.common.seed,
        rank=rank,
        world=world,
    )
