"""What classification adds to the flows of training, evaluation and prediction."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from backbone.flavour import Flavour
from backbone.formats.network import Network
from backbone.formats.partial import assumed_input
from backbone.formats.recognise import read_network
from configs.classification import CLS_PRESETS, TrainCls
from configs.tools import Evaluate, ImportWeights
from datasets.builtin.shapes_and_breeds import SHAPES_STAMP, draw_shapes
from datasets.errors import InputError
from datasets.labels.structure import LabelledData
from datasets.loader import Resumable
from datasets.shards.loader import ShardLoader
from datasets.splitting import lowest, path_shares, selected
from datasets.types import ClassMap
from tasks.classification.application import CLASSIFICATION
from tasks.classification.evaluator import format_classes, format_metrics
from tasks.classification.gradcam import explainer_of
from tasks.classification.import_weights import import_network
from tasks.classification.model import Classifier, start_classifier
from tasks.classification.report import ReportData, make_report
from tasks.classification.task import ClassificationTask
from tasks.classification.teachers import open_teacher
from tasks.distillation.target_source import TargetSource
from tasks.predictor import Model
from tasks.reporting.skeleton import Report
from tools import cli
from tools.classification.data import (
    as_photos,
    data_text,
    has_test_part,
    open_both,
    open_data,
    part_to_measure,
    trained_on,
)
from tools.flows.importing import Foreign, Importer, scenes_for
from tools.flows.photo_loaders import Data, make_photos, training_loader
from tools.flows.photo_run import PhotoRun, say_known
from tools.flows.recipe import BuiltIn, Exam, Notes, Recipe, loading_for
from tools.flows.teacher_targets import open_target_source

_CUT = ", images cut to their boxes,"
# Number of training images below which a warning is given; the sets that classifiers are trained
# on from scratch have more.
_FEW_OF_A_CLASS = 300


class ClassExam(Exam):
    """Labelled images, ready for evaluation."""

    def facts(self, model: Model) -> Notes:
        """Classes, data, and what was left out: damaged images that the doctor or loader found."""
        met = len(self.loader.damaged) if isinstance(self.loader, ShardLoader) else 0
        return [
            ("classes", str(len(model.card.classes))),
            ("data", data_text(self.data)),
            ("left out", f"{self.data.left_out + met} images, unreadable"),
        ]

    def report(self, model: Model, evaluator: Any, score: Any, device: str) -> Report:
        """Confusions, worst mistakes, and what the network saw of them."""
        explain = explainer_of(model, device, self.data.classes)
        found = ReportData(self.data.classes, score, self.data.image, explain, self.files)
        return make_report(found)

    def text(self, score: Any, cost: str) -> str:
        """Metrics, and the classes."""
        return (
            f"{format_metrics(score)}\n  cost        {cost} per image\n\n{format_classes(score)}"
        )


class ClassRun(PhotoRun[TrainCls]):
    """The data of a classifier's training, and what is made from it."""

    application = CLASSIFICATION
    trained_as = ClassificationTask
    train: Data
    measured_on_few = "298 images of 3 breeds gave top-1 .611, where --weights gave .973"

    def __init__(self, config: TrainCls, path: Path, train: Data, val: Data) -> None:
        super().__init__(config, path)
        self.train, self.val = train, val
        self.chosen = val
        self.few_photos = _FEW_OF_A_CLASS * len(train.classes)
        self.cut = _CUT if config.boxes else ""

    @property
    def subject(self) -> str:
        """Images and classes."""
        return f"{len(self.train)} images of {len(self.train.classes)} classes"

    def target_source(self, device: str) -> TargetSource | None:
        """The teacher, if there is one."""
        return open_target_source(self.config, self.train, device, find=open_teacher)

    @property
    def classes(self) -> ClassMap:
        """Classes of the data."""
        return self.train.classes

    def trained_on(self) -> dict[str, Any]:
        """What was held out of data without parts."""
        return trained_on(self.path, whole=self.config.val is not None)

    def network(self, flavour: Flavour) -> nn.Module:
        """A fresh classifier."""
        network = Classifier(self.config.model, len(self.classes), flavour, self.config.loss)
        if isinstance(self.train, LabelledData):
            network.weigh(torch.from_numpy(self.train.counts))
            return network
        own = self.config
        for name, value in (
            ("balance", own.loss.balance),
            ("resample", own.resample),
        ):
            if value:
                raise InputError(
                    f"--{name} {value}: {self.path} is shards, whose images of each class are not "
                    "counted; leave it out"
                )
        return network

    def start(self, network: Any, weights: Path) -> bool:
        """Use the body, and the head's rows of known classes."""
        start, new = start_classifier(network, self.classes, weights)
        say_known(weights, self.classes, new, "classes")
        return start.folded

    def training_loader(self, workers: int) -> Resumable[Any]:
        """This process's share of the augmented images."""
        return training_loader(self.config, self.train, workers, self.config.resample)

    def exam(self, model: Model, *, workers: int, tested: bool, alone: bool) -> Exam:
        """The images to report on, or those that select weights: by default the same."""
        data = self.val if tested else self.chosen
        return ClassExam(make_photos(data, model.card, self.loading(workers, alone=alone)))

    def keep_apart(self) -> None:
        """Report on the test part if there is one besides ``val``; else select on new images."""
        self.train, self.val = as_photos(self.train), as_photos(self.val)
        self.chosen = self.val
        if has_test_part(self.path):
            config = self.config
            tested = open_data(self.path, "test", config.classes, self.train, boxes=config.boxes)
            self.val = as_photos(tested)
            return
        held = selected(self.train.files.tolist(), self.train.root)
        labels = self.train.labels
        others = np.bincount(labels[~held], minlength=len(self.train.classes))[labels] > 0
        if (held & others).any():
            held &= others  # The only images of a class are trained on.
        self.train, self.chosen = self.train.select(~held), self.train.select(held)

    def train_on_share(self, share: float) -> None:
        """Train on some of the images."""
        photos = as_photos(self.train)
        self.train = photos.select(lowest(path_shares(photos.files.tolist(), photos.root), share))


def open_run(config: TrainCls, path: Path) -> ClassRun:
    """Open the data of a training. Raises InputError if they cannot be used."""
    return ClassRun(config, path, *open_both(config, path))


def open_exam(args: Evaluate, path: Path, model: Model) -> ClassExam:
    """Labelled images to evaluate on. Raises InputError if they share no class with the model."""
    whole, measured = part_to_measure(args, path, model.card)
    exam = _open_photos(args, path, model, whole=whole, measured=measured)
    cli.say(f"measuring {len(exam.data)} images: {measured}")
    return exam


def _open_photos(
    args: Evaluate, path: Path, model: Model, *, whole: bool, measured: str = ""
) -> ClassExam:
    data = open_data(path, args.split or "val", args.classes, whole=whole, boxes=args.boxes)
    ready = make_photos(data, model.card, loading_for(args))
    return ClassExam(ready, [("measured", measured)] if measured else [])


def _read_foreign(args: ImportWeights, source: Path) -> Foreign:
    from tasks.classification.reference_runtimes import compare

    network = read_network(source, head=args.head, key_map=args.key_map)
    imported = import_network(network, args.flavour, args.labels)
    card = imported.card
    compared = compare(source, network, imported, scenes_for(card), args.head)
    assumed = assumed_input(network.stated, network.usual, args.flavour)
    facts = {
        "compared": None if isinstance(compared, str) else compared._asdict(),
        "left_out": list(network.left_out),
        "assumed": assumed,
    }
    told = (imported.about(), assumed, _left_out(network), str(compared))
    about = "\n".join(filter(None, told))
    return Foreign(imported.state(), card, about, facts)


def _left_out(network: Network) -> str:
    """The parts of the network that are left out, with numbers of tensors; --json has all."""
    count = len(network.left_out)
    parts = Counter(name.replace("/", ".").split(".")[0] for name in network.left_out)
    listed = ", ".join(f"{part} ({number})" for part, number in parts.items())
    return f"left out: {count} tensors that no body or classifier has: {listed}" if count else ""


SHAPES = BuiltIn("shapes", "built-in shapes", draw_shapes, SHAPES_STAMP)
CLASSIFICATION_RECIPE = Recipe(
    name="classification",
    application=CLASSIFICATION,
    config=TrainCls,
    built_in=SHAPES,
    sketch=partial(Classifier, columns=1),
    open=open_run,
    exam=open_exam,
    measures=(CLASSIFICATION.metric,),
    presets=lambda _: CLS_PRESETS,
    importer=Importer(_read_foreign),
    labelled=partial(_open_photos, whole=True),
)
