"""From a path to examined data with boxes, and their loaders and evaluators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from configs.detection import TrainDet
from datasets.boxes.augmentation import DetectionTransform
from datasets.boxes.checking import examine
from datasets.boxes.coco import to_coco
from datasets.boxes.opening import open_detection, recognise_detection
from datasets.boxes.structure import DetectionData
from datasets.boxes.torch_set import DetectionSet, detection_loader
from datasets.boxes.tree import Hints
from datasets.errors import InputError
from datasets.loader import ResumableLoader
from datasets.spec import Split
from datasets.types import ClassMap, DetectionBatch
from tasks.detection.evaluator import CocoEvaluator, Scorer
from tasks.detection.model import detector_anchors
from tasks.detection.spec import DetectorSpec
from tasks.fitting.engine import rank_and_world
from tasks.weights.card import Card
from tools import cli
from tools.flows.recipe import Loading, Ready

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
    """Read a split and have the data doctor look at it, before training or before scoring.

    Args:
        path: Data set.
        split: Part of it.
        spec: Of the detector, whose anchors the boxes are compared with.
        train: Mend boxes, and tell about the data even if nothing is wrong.
        whole: Take all of a set that is not parted.
        other: Data that are trained on, to tell whether these are the same files.
        hints: What the user says of the data set.

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
    except ValueError as error:
        raise InputError(f"{split} data: {error}") from error
    if train or checkup.findings:
        cli.say(f"{split} data: {checkup.describe(5)}")
    return checkup.data


def part_to_score(path: Path, card: Card, hints: Hints) -> tuple[Split, bool, str]:
    """What of a data set is scored where no part of it was asked for.

    Of a set with a part to validate on, that part. Of a set without parts all of it, unless the
    weights were trained on the rest of it: then the fifth that was held out.

    Returns:
        The part, whether it is all of a set without parts, and a sentence about it.

    Raises:
        InputError: If the data cannot be recognised.
    """
    if path.suffix.lower() == ".json":
        return "all", False, f"all of {path}"
    found = recognise_detection(path, hints)
    if found is None or len(found.claim.parts) > 1 or "val" in found.claim.parts:
        return "val", False, f"the part of {path} to validate on; --split train takes the other"
    told = card.trained_on
    if told.get("path") == str(path.resolve()) and told.get("held_out"):
        said = "the others have been trained on; --split all takes them too"
        return "val", False, f"the fifth of {path} that was held out; {said}"
    return "val", True, f"all of {path}; --split val takes a fifth of it"


def make_validation(
    data: DetectionData,
    classes: ClassMap,
    loading: Loading,
    *,
    spec: DetectorSpec,
    scorer: Scorer = "faster",
    above: float = 0.0,
) -> Ready[DetectionData, CocoEvaluator]:
    """Loader and evaluator of a split for a model of the given classes and input.

    Args:
        data: The split.
        classes: Of the model.
        loading: How it is read.
        spec: Of the model.
        scorer: Who computes COCO's numbers.
        above: Detections of a higher score count.

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
    """The augmented pictures of each epoch, in whole batches.

    Args:
        config: Of the run.
        data: To train on.
        workers: Loader processes.
        alone: All of them, whatever other processes do; else this process's share.
    """
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
