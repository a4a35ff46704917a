"""What a classifier's training, evaluation and prediction add to the flows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from configs.classification import TrainCls
from configs.tools import Evaluate
from datasets.builtin.shapes_and_breeds import SHAPES_STAMP, draw_shapes
from datasets.labels.opening import is_sharded
from datasets.loader import Resumable
from tasks.classification.application import CLASSIFICATION
from tasks.classification.evaluator import columns_in, format_classes, format_metrics
from tasks.classification.gradcam import Explainer
from tasks.classification.load import start_classifier
from tasks.classification.model import build_classifier
from tasks.classification.report import ReportData, make_report
from tasks.classification.task import ClassificationTask
from tasks.distillation.teaching import Teaching
from tasks.predictor import Model
from tasks.reporting.skeleton import Report
from tasks.weights.card import Card
from tools import cli
from tools.classification.data import data_text, open_both, open_data
from tools.flows.collecting import PhotoRows
from tools.flows.initial_weights import measure_norms, starting_flavour
from tools.flows.photo_loaders import Data, Photos, make_photos, training_loader
from tools.flows.recipe import BuiltIn, Exam, Notes, OpenedRun, Recipe
from tools.flows.teacher_targets import open_teaching

_CUT = ", photos cut to their boxes,"


class ClassExam(Exam):
    """Labelled photos, ready to be scored.

    Args:
        photos: Loader and evaluator of the part.
    """

    def __init__(self, photos: Photos) -> None:
        self.photos = photos
        self.data, self.loader, self.evaluator = photos.data, photos.loader, photos.evaluator
        self.notes = []

    def facts(self, model: Model) -> Notes:
        """Classes, data, and what was left out of them."""
        return [
            ("classes", str(len(model.card.classes))),
            ("data", data_text(self.data)),
            ("left out", f"{self.photos.left_out} photos, unreadable"),
        ]

    def write(self, folder: Path, evaluator: Any, score: Any) -> None:
        """Write predictions.csv."""
        evaluator.write(folder, [str(file) for file in self.data.files])

    def report(self, model: Model, evaluator: Any, score: Any, device: str) -> Report:
        """Confusions, worst mistakes, and what the network saw of them."""
        explain = None
        if model.network is not None:  # An export cannot be asked for its gradients.
            square = model.application.network().view.square(model.card)
            columns = columns_in(model.card.classes, self.data.classes)
            network: Any = model.network
            explain = Explainer(network, device, square, columns)
        files = [Path(file).name for file in self.data.files]
        return make_report(ReportData(self.data.classes, score, self.data.image, explain, files))

    def text(self, score: Any, cost: str) -> str:
        """Figures, and the classes."""
        return (
            f"{format_metrics(score)}\n  cost        {cost} per photo\n\n{format_classes(score)}"
        )


class ClassRun(OpenedRun[TrainCls]):
    """The data of a classifier's training, and what is made from them.

    Args:
        config: Of the run.
        path: Of its data.
        train: To train on.
        val: To evaluate on.
    """

    metric = CLASSIFICATION.metric

    def __init__(self, config: TrainCls, path: Path, train: Data, val: Data) -> None:
        super().__init__(config, path)
        self.train, self.val = train, val

    @property
    def subject(self) -> str:
        """Photos and classes."""
        return f"{len(self.train)} photos of {len(self.train.classes)} classes"

    def teaching(self, device: str) -> Teaching | None:
        """The teacher, if one is named."""
        return open_teaching(self.config, self.train, device)

    def build(self, teaching: Teaching | None) -> tuple[nn.Module, Card]:
        """The classifier to train, and its card."""
        config, data = self.config, self.train
        torch.manual_seed(config.common.seed)
        flavour, origin = starting_flavour(config)
        model = build_classifier(config.model, len(data.classes), flavour, config.loss)
        if config.weights is not None:
            start, new = start_classifier(model, data.classes, config.weights)
            known = len(data.classes) - len(new)
            cli.say(f"weights of {config.weights}: {known} classes known, {len(new)} start anew")
            if start.folded:
                measure_norms(model, training_loader(config, data, 0))
        if teaching is not None:
            origin += f", taught by {teaching.name},"
        cut = _CUT if config.boxes else ""
        return model, Card(
            task=CLASSIFICATION.name,
            model=config.model.to_json(),
            flavour=flavour,
            classes=data.classes,
            source=f"trained {origin} on {self.path}{cut} by {config.command}",
        )

    def training_loader(self, workers: int) -> Resumable[Any]:
        """This process's share of the augmented photos."""
        return training_loader(self.config, self.train, workers)

    def exam(self, model: Model, *, workers: int, tested: bool, alone: bool) -> Exam:
        """The photos to evaluate on, for both purposes."""
        return ClassExam(
            make_photos(
                self.val,
                model.card,
                batch_size=self.config.fit.batch_size,
                workers=workers,
                cache=self.config.cache and not alone,
                alone=alone,
            )
        )

    def task(self, model: Model, exam: Exam, teaching: Teaching | None) -> ClassificationTask:
        """A training that may begin with small pictures."""
        return ClassificationTask(
            model,
            self.config.fit,
            self.config.common.seed,
            exam.evaluator,
            monitor=self.monitor(exam),
            targets=self.targets(model.network),  # type: ignore[arg-type]
            teaching=teaching,
        )


def open_run(config: TrainCls, path: Path) -> ClassRun:
    """Open what a classifier is trained and evaluated on.

    Raises:
        InputError: If the data cannot be used.
    """
    return ClassRun(config, path, *open_both(config, path))


def open_exam(args: Evaluate, path: Path, model: Model) -> ClassExam:
    """Open labelled photos to measure a classifier on.

    Raises:
        InputError: If they cannot be used, or share no class with it.
    """
    # Shards to evaluate on are what was named; a labelled set gives up a part of itself.
    whole = is_sharded(path)
    data = open_data(path, args.split or "val", args.classes, whole=whole, boxes=args.boxes)
    workers = cli.choose_workers(args.workers)
    return ClassExam(make_photos(data, model.card, batch_size=args.batch_size, workers=workers))


SHAPES = BuiltIn("shapes", "built-in shapes", draw_shapes, SHAPES_STAMP)
CLASSIFICATION_RECIPE = Recipe(
    name="classification",
    application=CLASSIFICATION,
    built_in=SHAPES,
    open=open_run,
    exam=open_exam,
    collector=PhotoRows,
    measures=(CLASSIFICATION.metric,),
)
