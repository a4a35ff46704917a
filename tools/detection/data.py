"""What the detection tools share: from a path to examined data, loaders, scores and a report."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.tools import Evaluate
from datasets.boxes.augmentation import DetectionTransform
from datasets.boxes.checking import examine
from datasets.boxes.coco import to_coco
from datasets.boxes.opening import open_detection
from datasets.boxes.structure import DetectionData
from datasets.boxes.torch_set import DetectionSet, detection_loader
from datasets.builtin.scenes import STAMP, draw_scenes
from datasets.errors import InputError
from datasets.loader import ResumableLoader
from datasets.spec import Split
from datasets.types import ClassMap, DetectionBatch
from tasks.detection.answer import ExportedDetector, detect
from tasks.detection.evaluator import CocoEvaluator, Score, Scorer, format_classes, format_metrics
from tasks.detection.model import (
    TASK,
    Detector,
    detector_anchors,
    detector_cost,
    load_detector,
)
from tasks.detection.reference_runtime import LiteRtDetector, load_litert
from tasks.detection.report import ReportData, make_report
from tasks.detection.spec import DetectorSpec
from tasks.fitting.stopwatch import Stopwatch
from tasks.reporting.skeleton import report_file, write_report
from tasks.runtime.open import is_export
from tasks.weights.card import Card
from tools import cli
from tools.cli import say
from tools.flows.exported import loader_for, open_export
from tools.flows.report_facts import run_facts, time_text
from tools.flows.run_folder import evaluation_folder

# Flags of tools/evaluate.py that not all applications take.
EVALUATE_FLAGS = ("scorer", "proposals", "post")
SCENES = Path("data")


def data_or_scenes(path: Path | None, seed: int) -> Path:
    """The user's data, or the built-in scenes, drawn where they are not there yet."""
    if path is not None:
        return path
    scenes = SCENES / f"scenes-{seed}"
    say(f"no --data given: using built-in scenes ({scenes})")
    if int(os.environ.get("LOCAL_RANK", 0)):  # The first process of each machine draws.
        while not (scenes / STAMP).exists():
            time.sleep(0.5)
        return scenes
    return draw_scenes(scenes, seed=seed)


def open_examined(path: Path, split: Split, spec: DetectorSpec, *, train: bool) -> DetectionData:
    """Read a split and have the data doctor look at it, before training or before scoring.

    Args:
        path: Data set.
        split: Part of it.
        spec: Of the detector, whose anchors the boxes are compared with.
        train: Mend boxes, and tell about the data even if nothing is wrong.

    Raises:
        InputError: If the data cannot be used.
    """
    anchors = detector_anchors(spec).numpy()
    try:
        checkup = examine(
            open_detection(path, split), anchors, mend_boxes=train, keep_aspect=spec.keep_aspect
        )
        checkup.raise_if_refused()
    except ValueError as error:
        raise InputError(f"{split} data: {error}") from error
    if train or checkup.findings:
        say(f"{split} data: {checkup.describe(5)}")
    return checkup.data


@dataclass(frozen=True)
class Validation:
    """A labelled split, ready to be scored."""

    data: DetectionData
    loader: ResumableLoader[DetectionBatch]
    evaluator: CocoEvaluator


def make_validation(
    data: DetectionData,
    classes: ClassMap,
    *,
    spec: DetectorSpec,
    batch_size: int,
    workers: int,
    scorer: Scorer = "faster",
    rank: int = 0,
    world: int = 1,
) -> Validation:
    """Loader and evaluator of a split for a model of the given classes and input.

    Args:
        data: The split.
        classes: Of the model.
        spec: Of the model.
        batch_size: Images per pass.
        workers: Loader processes.
        scorer: Who computes COCO's numbers.
        rank: This process among ``world`` that share the split.
        world: Number of processes.

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
        say(f"{len(unknown)} classes of the data are unknown to the model: {_some(unknown)}")
    loader = detection_loader(
        DetectionSet(data, DetectionTransform(spec.size, "none", keep_aspect=spec.keep_aspect)),
        batch_size=batch_size,
        train=False,
        workers=workers,
        rank=rank,
        world=world,
    )
    same = classes.names == data.classes.names
    evaluator = CocoEvaluator(to_coco(data), None if same else labels, scorer)
    return Validation(data, loader, evaluator)


def _some(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names[:5]) + (f", ... ({len(names)})" if len(names) > 5 else "")


def score_and_report(
    model: Detector | LiteRtDetector | ExportedDetector,
    card: Card,
    validation: Validation,
    *,
    folder: Path,
    device: str,
    title: str,
    watch: Stopwatch | None = None,
    report: bool = True,
) -> tuple[Score, dict[str, Any]]:
    """Run a model over a split, score it, and leave results and report in a folder.

    Returns:
        The score, and what ``report.json`` holds.
    """
    evaluator = validation.evaluator.fresh()
    started = time.perf_counter()
    exported = model.exported if isinstance(model, ExportedDetector) else None
    loader, pictures = validation.loader, validation.data
    ids = pictures.image_ids.tolist()
    photos = loader_for(exported, pictures, loader, loader.batch_size, ids)
    for results in detect(model, photos, device, "evaluating"):
        evaluator.update(results)
    validation.loader.close()
    seconds = time.perf_counter() - started
    score = evaluator.compute()
    folder.mkdir(parents=True, exist_ok=True)
    evaluator.write(folder)
    data = validation.data
    cost = detector_cost(model.spec, len(card.classes))
    own = [
        ("classes", str(len(card.classes))),
        ("data", f"{data.root}: {len(data)} images, {len(data.boxes)} boxes ({data.format})"),
        ("left out", f"{data.left_out} images, missing or unreadable"),
        ("time", time_text(seconds, len(data), device)),
    ]
    run = run_facts(folder, title, card, cost, own, watch)
    found = ReportData(
        classes=data.classes,
        score=score,
        results=[evaluator.images[int(i)] for i in data.image_ids],
        truths=[data.target(i) for i in range(len(data))],
        read=data.image,
        files=[Path(file).name for file in data.files],
    )
    return score, write_report(folder, run, make_report(found), page=report)


def score_text(score: Score, report: dict[str, Any], folder: Path) -> str:
    """The result of an evaluation for people: what it found, and what it costs."""
    metrics, classes = format_metrics(score["metrics"]), format_classes(score["per_class"])
    cost = f"  cost       {report['facts']['cost']} per image"
    return f"{metrics}\n{cost}\n\n{classes}\n\nreport: {report_file(folder)}"


def evaluate_detector(args: Evaluate) -> tuple[dict[str, Any], str]:
    """Score a detector, or TensorFlow's original file, and leave everything in a folder.

    Returns:
        The result for programs and for people.

    Raises:
        InputError: If data, weights or flags do not fit.
    """
    device = cli.prepare(args.common)
    args.refuse_unless(EVALUATE_FLAGS, TASK)
    original = args.weights.suffix == ".tflite"
    model: Detector | LiteRtDetector | ExportedDetector
    exported = is_export(args.weights)
    if exported:
        args.refuse_unless(("scorer", "post"), "an export, which has its own number")
    if original and args.proposals is not None:
        raise InputError(f"--proposals {args.proposals}: {args.weights} has no second stage")
    if exported:
        model = ExportedDetector(open_export(args, TASK), args.post)
        card = model.exported.card
    elif original:
        model, card = load_litert(args.weights, post=args.post)
    else:
        model, card = load_detector(args.weights, post=args.post, proposals=args.proposals)
    path = data_or_scenes(args.data, args.common.seed)
    split = args.split or ("all" if path.suffix == ".json" else "val")
    data = open_examined(path, split, model.spec, train=False)
    validation = make_validation(
        data,
        card.classes,
        spec=model.spec,
        batch_size=args.batch_size,
        workers=cli.choose_workers(args.workers),
        scorer=args.scorer,
    )
    folder = evaluation_folder(args.common, args.weights, path)
    score, report = score_and_report(
        model,
        card,
        validation,
        folder=folder,
        device="cpu" if original or exported else device,
        title=f"{args.weights.name} on {path.name}",
    )
    return report, score_text(score, report, folder)
