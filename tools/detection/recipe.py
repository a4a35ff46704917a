"""What detection adds to the flows of training, evaluation and prediction."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any, cast

import torch
from torch import nn

from backbone.flavour import Flavour
from backbone.formats.recognise import is_tflite
from backbone.formats.tflite import has_boxes, read_tflite
from configs.detection import TrainDet, detector_presets
from configs.tools import Evaluate, ImportWeights
from datasets.boxes.structure import DetectionData
from datasets.boxes.tree import Hints
from datasets.builtin.scenes import STAMP, draw_scenes
from datasets.errors import InputError
from datasets.lfs import refuse_pointer
from datasets.loader import Resumable
from datasets.splitting import lowest, path_shares, selected
from datasets.types import ClassMap, read_labels
from tasks.application import Metric
from tasks.detection.application import DETECTION
from tasks.detection.evaluator import CocoEvaluator, format_classes, format_metrics
from tasks.detection.from_onnx import compare_onnx, import_onnx_ssd, is_onnx_detector
from tasks.detection.from_tensorflow import import_tensorflow_ssd, is_tensorflow_detector
from tasks.detection.from_tflite import import_ssd
from tasks.detection.model import Detector, build_detector, detector_flavour, start_from
from tasks.detection.report import ReportData, make_report
from tasks.detection.spec import DetectOptions, DetectorSpec, Framework
from tasks.detection.ssd import SSD
from tasks.distillation.target_source import TargetSource
from tasks.fitting.engine import rank_and_world
from tasks.predictor import Model
from tasks.reporting.skeleton import Report
from tasks.runtime.open import read_card
from tasks.weights.card import Card
from tasks.weights.file import spec_of
from tools import cli
from tools.detection.data import (
    has_test_part,
    images_of,
    make_validation,
    open_examined,
    part_to_score,
    trained_on,
    training_loader,
)
from tools.flows.importing import Foreign, Importer, scenes_for
from tools.flows.photo_run import measure_norms, say_known
from tools.flows.recipe import (
    BuiltIn,
    Exam,
    Loading,
    Notes,
    OpenedRun,
    Ready,
    Recipe,
    loading_for,
)


class BoxExam(Exam):
    """Images with boxes, ready for evaluation."""

    def __init__(self, ready: Ready[DetectionData, CocoEvaluator]) -> None:
        super().__init__(ready)
        self.image_ids = ready.data.image_ids.tolist()

    def facts(self, model: Model) -> Notes:
        """Classes, data, and what was left out of them."""
        data = self.data
        return [
            ("classes", str(len(model.card.classes))),
            ("data", f"{data.root}: {len(data)} images, {len(data.boxes)} boxes ({data.format})"),
            ("left out", f"{data.left_out} images, missing or unreadable"),
        ]

    def interval(self, metric: Metric, evaluator: Any, score: Any) -> tuple[float, float] | None:
        """The interval of a COCO metric, by leaving out groups of images in turn."""
        found: tuple[float, float] | None = evaluator.interval(metric.name)
        return found

    def write(self, folder: Path, evaluator: Any, score: Any) -> None:
        """Write results.json and ground_truth.json."""
        evaluator.write(folder)

    def report(self, model: Model, evaluator: Any, score: Any, device: str) -> Report:
        """Curves, confusions, and the best and the worst images."""
        data = self.data
        found = ReportData(
            classes=data.classes,
            score=score,
            results=[evaluator.images[int(number)] for number in data.image_ids],
            truths=[data.target(index) for index in range(len(data))],
            read=data.image,
            files=self.files,
        )
        return make_report(found)

    def text(self, score: Any, cost: str) -> str:
        """COCO metrics, and the classes."""
        metrics, classes = format_metrics(score["metrics"]), format_classes(score["per_class"])
        return f"{metrics}\n  cost       {cost} per image\n\n{classes}"


class DetRun(OpenedRun[TrainDet]):
    """The data of a detector's training, and what is made from it."""

    application = DETECTION
    few_photos = 2000
    least_steps = 4000
    measured_on_few = (
        "200 to 640 images gave AP .00 to .006, where --weights gave .387 in two epochs"
    )

    def __init__(
        self, config: TrainDet, path: Path, train: DetectionData, val: DetectionData
    ) -> None:
        super().__init__(config, path)
        self.train, self.val = train, val
        self.chosen = val

    @property
    def subject(self) -> str:
        """Images, boxes and classes."""
        data = self.train
        return f"{len(data)} images, {len(data.boxes)} boxes of {len(data.classes)} classes"

    @property
    def title(self) -> str:
        """Title of the report."""
        return f"{self.config.model.framework} run"

    def options(self) -> tuple[object, ...]:
        """Detections are computed in evaluations as in training."""
        return (DetectOptions(post=self.config.post),)

    def build(self, target_source: TargetSource | None) -> tuple[nn.Module, Card]:
        """The detector to train, and its card."""
        config, classes = self.config, self.train.classes
        torch.manual_seed(config.common.seed)
        start = None if config.weights is None else read_card(config.weights)
        flavour = detector_flavour(config.model.backbone) if start is None else _whole(start)
        loss = config.two_stage if config.model.two_stage else config.loss
        model = build_detector(config.model, classes, flavour, loss=loss, post=config.post)
        folded = start is not None and self._start(model, start)
        origin = "from scratch" if config.weights is None else f"from {quote(str(config.weights))}"
        card = Card(
            task=DETECTION.name,
            model=config.model.to_json(),
            flavour=replace(flavour, input=replace(flavour.input, size=config.model.size)),
            classes=classes,
            source=f"trained {origin} on {quote(str(self.path))} by {config.command}",
            folded=folded,
            trained_on=trained_on(
                self.path,
                whole=config.val is not None,
                hints=Hints(config.format, config.images),
            ),
        )
        return model, card

    def _start(self, model: Detector, start: Card) -> bool:
        """Fill a detector with weights; returns whether its batch norm stays folded."""
        config, classes = self.config, self.train.classes
        assert config.weights is not None
        _, new = start_from(model, classes, config.weights)
        say_known(config.weights, classes, new, "classes")
        if len(new) == len(classes) and config.preset == "adapt":
            raise InputError(
                f"--preset adapt: {config.weights} knows none of the classes; take --preset "
                "finetune, which lets new ones be learned"
            )
        if start.model.get("keep_aspect", config.model.keep_aspect) != config.model.keep_aspect:
            cli.say("note: the weights have seen images fitted to the input the other way")
        if not new and config.preset == "finetune":
            cli.say("no class is new: --preset adapt keeps closer to what the weights know")
        if start.folded and not config.fit.freeze_bn:
            measure_norms(model, training_loader(config, self.train, 0, alone=True))
            return False
        return start.folded

    def training_loader(self, workers: int) -> Resumable[Any]:
        """This process's share of the augmented images."""
        return training_loader(self.config, self.train, workers)

    def exam(self, model: Model, *, workers: int, tested: bool, alone: bool) -> Exam:
        """The images to report on, or those that select weights: by default the same."""
        config = self.config
        return BoxExam(
            make_validation(
                self.val if tested else self.chosen,
                model.card.classes,
                Loading(config.fit.batch_size, workers, alone=alone),
                spec=config.model,
                above=config.post.score_threshold,
            )
        )

    def keep_apart(self) -> None:
        """Report on the test part if there is one besides ``val``; else select on new images."""
        self.chosen, hints = self.val, Hints(self.config.format, self.config.images)
        if has_test_part(self.path, hints):
            self.val = open_examined(
                self.path, "test", self.config.model, train=False, other=self.train, hints=hints
            )
            return
        held = selected(self.train.files.tolist(), self.train.root)
        self.train, self.chosen = images_of(self.train, ~held), images_of(self.train, held)

    def train_on_share(self, share: float) -> None:
        """Train on some of the images."""
        data = self.train
        self.train = images_of(data, lowest(path_shares(data.files.tolist(), data.root), share))


def _whole(start: Card) -> Flavour:
    """The flavour of weights to start from, but for the whole image, resized in the only way."""
    flavour = start.flavour
    return replace(flavour, input=replace(flavour.input, crop=1.0, interpolation="bilinear"))


def open_run(config: TrainDet, path: Path) -> DetRun:
    """Open the data of a training. Raises InputError if it is unusable or too small."""
    apart = config.val is not None
    hints = Hints(config.format, config.images)
    train = open_examined(path, "train", config.model, train=True, whole=apart, hints=hints)
    if len(train) < 2 * rank_and_world()[1] and not config.fit.freeze_bn:
        raise InputError(
            f"{path}: {len(train)} training images are too few; batch norm needs two or more "
            "per process"
        )
    val = open_examined(
        config.val or path,
        "val",
        config.model,
        train=False,
        whole=apart,
        other=train,
        hints=None if apart else hints,
    )
    return DetRun(config, path, train, val)


def open_exam(args: Evaluate, path: Path, model: Model) -> BoxExam:
    """Images to evaluate on. Raises InputError if they share no class with the detector."""
    above = model.answers.above
    hints = Hints(args.format, args.images)
    split, whole, said = part_to_score(path, model.card, hints, args.split)
    cli.say(f"scored: {said}")
    spec = spec_of(model.card, DetectorSpec, model.path)
    exam = BoxExam(
        make_validation(
            open_examined(path, split, spec, train=False, whole=whole, hints=hints),
            model.card.classes,
            loading_for(args),
            spec=spec,
            scorer=args.scorer,
            above=above,
        )
    )
    exam.notes = [("scored", said)]
    return exam


def _claims(source: Path) -> bool:
    refuse_pointer(source)
    if is_tflite(source):
        return has_boxes(read_tflite(source))
    return is_onnx_detector(source) or is_tensorflow_detector(source)


def _read_ssd(args: ImportWeights, source: Path) -> Foreign:
    from tasks.detection.from_tflite import compare

    args.refuse_for_detector()
    classes = read_labels(args.labels) if args.labels else None
    known: dict[str, Any] = {}
    if is_onnx_detector(source):
        model, card = import_onnx_ssd(source, classes)
        said = _against_onnx(source, model, card, known)
    elif not is_tflite(source):
        model, card = import_tensorflow_ssd(source, classes)
        said = "not compared with the original: no runtime of TensorFlow's own files is supported"
    else:
        model, card = import_ssd(source, classes)
        said = "not compared with the original: LiteRT is not installed here"
        if importlib.util.find_spec("ai_edge_litert") is not None:
            try:
                known["largest_score_difference"] = worst = compare(
                    source, model, scenes_for(card)
                )
                said = f"against LiteRT on built-in scenes: scores differ by {worst:.3f} at most"
            except InputError as error:
                said = f"not compared with the original: {error}"
    about = f"detector, {len(card.classes)} classes\n{said}"
    return Foreign(model.state_dict(), card, about, known)


def _against_onnx(source: Path, model: SSD, card: Card, known: dict[str, Any]) -> str:
    if importlib.util.find_spec("onnxruntime") is None:
        return "not compared with the original: ONNX Runtime is not installed here"
    try:
        scores, offsets = compare_onnx(source, model, scenes_for(card))
    except InputError as error:
        return f"not compared with the original: {error}"
    known |= {"largest_score_difference": scores, "largest_offset_difference": offsets}
    return (
        f"against ONNX Runtime on built-in scenes: scores differ by {scores:.2g} at most, box "
        f"offsets by {offsets:.2g}"
    )


SCENES = BuiltIn("scenes", "built-in scenes", draw_scenes, STAMP)
DETECTION_RECIPE = Recipe(
    name="detection",
    application=DETECTION,
    config=TrainDet,
    built_in=SCENES,
    sketch=partial(build_detector, classes=ClassMap.from_names(["object"])),
    open=open_run,
    exam=open_exam,
    measures=(DETECTION.metric,),
    presets=lambda framework: detector_presets(cast("Framework", framework)),
    importer=Importer(_read_ssd, _claims),
)
