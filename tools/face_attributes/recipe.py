"""What face attributes add to the flows of training, evaluation and prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from backbone.flavour import Flavour
from configs.face_attributes import ATTR_PRESETS, TrainAttr
from configs.tools import Evaluate
from datasets.attributes.opening import open_attributes
from datasets.builtin.faces import STAMP, draw_faces
from datasets.loader import Resumable
from datasets.splitting import lowest, selection_share, tell_part
from datasets.types import ClassMap
from tasks.classification.evaluator import columns_in
from tasks.classification.gradcam import explainer_of
from tasks.classification.report import ReportData
from tasks.distillation.target_source import TargetSource
from tasks.face_attributes.application import FACE_ATTRIBUTES
from tasks.face_attributes.evaluator import format_attributes, format_metrics
from tasks.face_attributes.load import open_attribute_teacher, start_attribute_net
from tasks.face_attributes.model import AttributeNet
from tasks.face_attributes.report import make_report
from tasks.face_attributes.spec import USE_NOTE
from tasks.predictor import Model
from tasks.reporting.skeleton import Report
from tasks.weights.file import save_weights
from tasks.weights.names import WEIGHTS_NAME
from tools import cli
from tools.face_attributes.data import (
    Faces,
    examine,
    make_measured,
    open_faces,
    shares_by_person,
)
from tools.flows.evaluating import look_at_all
from tools.flows.photo_loaders import training_loader
from tools.flows.photo_run import PhotoRun, say_known
from tools.flows.recipe import BuiltIn, Exam, Notes, Ready, Recipe, loading_for
from tools.flows.teacher_targets import open_target_source


class AttributeExam(Exam):
    """Images with attributes, ready for evaluation."""

    def __init__(self, ready: Ready[Any, Any], name: str, notes: Notes | None = None) -> None:
        super().__init__(ready, notes)
        self.title = f", {name}"

    def facts(self, model: Model) -> Notes:
        """Attributes, data, and what was left out of them."""
        data = self.data
        return [
            ("attributes", str(len(model.card.classes))),
            ("data", f"{data.root}: {len(data)} images ({data.format})"),
            ("left out", f"{data.left_out} images, unreadable"),
        ]

    def report(self, model: Model, evaluator: Any, score: Any, device: str) -> Report:
        """Attributes, worst mistakes, and what the network saw of them."""
        explain = explainer_of(model, device, self.data.attributes)
        found = ReportData(self.data.attributes, score, self.data.image, explain, self.files)
        return make_report(found)

    def text(self, score: Any, cost: str) -> str:
        """Metrics, the attributes, and what they must not be used for."""
        return (
            f"{format_metrics(score)}\n  cost         {cost} per image\n\n"
            f"{format_attributes(score)}\n\n{USE_NOTE}"
        )


class AttributeRun(PhotoRun[TrainAttr]):
    """The data of a training on face attributes, and what is made from it."""

    application = FACE_ATTRIBUTES
    few_photos = 2000

    def __init__(self, config: TrainAttr, path: Path, faces: Faces) -> None:
        super().__init__(config, path)
        self.faces, self.train = faces, faces.train

    @property
    def subject(self) -> str:
        """Images and attributes."""
        train = self.faces.train
        return f"{len(train)} images with {len(train.attributes)} attributes"

    def target_source(self, device: str) -> TargetSource | None:
        """The teacher, if there is one."""
        return open_target_source(
            self.config,
            self.faces.train.photos,
            device,
            find=open_attribute_teacher,
            answers="values",
        )

    @property
    def classes(self) -> ClassMap:
        """Attributes of the data."""
        return self.faces.train.attributes

    def network(self, flavour: Flavour) -> nn.Module:
        """A fresh network."""
        config, prevalence = self.config, self.faces.train.prevalence
        model = AttributeNet(config.model, len(self.classes), flavour, config.loss)
        model.weigh(self.classes.names, torch.from_numpy(prevalence))
        return model

    def start(self, network: Any, weights: Path) -> bool:
        """Use the body, and the head's rows of known attributes."""
        start, new = start_attribute_net(network, self.classes, weights)
        say_known(weights, self.classes, new, "attributes")
        return start.folded

    def training_loader(self, workers: int) -> Resumable[Any]:
        """This process's share of the augmented images."""
        return training_loader(self.config, self.faces.train.photos, workers)

    def targets(self, model: nn.Module) -> Callable[[Any], Any]:
        """Attributes of the images in a batch, looked up by image id."""
        values = torch.from_numpy(self.faces.train.values)

        def look_up(batch: Any) -> Tensor:
            chosen = values[torch.tensor(batch["image_ids"])]
            return chosen.to(batch["images"].device, non_blocking=True)

        return look_up

    def exam(self, model: Model, *, workers: int, tested: bool, alone: bool) -> AttributeExam:
        """The images to report on, or those that select weights and thresholds."""
        faces = self.faces
        measured = make_measured(
            faces.test if tested else faces.val,
            model,
            self.loading(workers, alone=alone),
            interval=tested,
        )
        return AttributeExam(measured, faces.tested if tested else "val")

    def keep_apart(self) -> None:
        """Select on new images, of other people, unless there is a part to test on besides."""
        faces = self.faces
        if faces.test is not faces.val:
            return
        numbers = shares_by_person(faces.train)
        held = lowest(numbers, selection_share(len(numbers)))
        train, chosen = faces.train.select(~held), faces.train.select(held)
        self.faces = Faces(train, chosen, faces.test, faces.tested)
        self.train = train

    def train_on_share(self, share: float) -> None:
        """Train on some of the images, or on those of some of the people."""
        train = self.faces.train
        self.train = train.select(lowest(shares_by_person(train), share))
        self.faces = replace(self.faces, train=self.train)

    def after_fit(self, model: Model, folder: Path, device: str, workers: int) -> Notes:
        """Fit the thresholds, if requested; they are stored with the weights."""
        if not self.config.fit_thresholds:
            return [("thresholds", "a half")]
        exam = self.exam(model, workers=workers, tested=False, alone=True)
        fitted = look_at_all(model, exam, device, "evaluating").fit_thresholds()
        exam.loader.close()
        columns = columns_in(model.card.classes, exam.data.attributes)
        own = np.arange(len(fitted)) if columns is None else columns
        network: Any = model.network
        thresholds = network.thresholds.cpu()
        thresholds[torch.from_numpy(own >= 0)] = torch.from_numpy(fitted[own[own >= 0]])
        state = {**network.state_dict(), "thresholds": thresholds}
        save_weights(folder / WEIGHTS_NAME, state, model.card)
        return [("thresholds", f"fitted on {len(exam.data)} validation images")]


def open_run(config: TrainAttr, path: Path) -> AttributeRun:
    """Open the data of a training. Raises InputError if they cannot be used."""
    return AttributeRun(config, path, open_faces(config, path))


def open_exam(args: Evaluate, path: Path, model: Model) -> AttributeExam:
    """Open images with attributes to evaluate a network on.

    Without --split it is the test part, or if there is none, the validation part.

    Args:
        args: Flags of the evaluation.
        path: Path of the data.
        model: Model to evaluate.

    Raises:
        InputError: If they cannot be used, or share no attribute with it.
    """
    parts = open_attributes(path)
    name = args.split or ("test" if parts.has("test") else "val")
    data = examine(name, parts.data if name == "all" else parts.part(name))
    part = tell_part(path, name, parts.names, hint=args.split is None)
    cli.say(f"measuring {len(data)} images: {part}")
    ready = make_measured(data, model, loading_for(args), interval=True)
    return AttributeExam(ready, name, [("measured", part)])


FACES = BuiltIn("faces", "built-in faces", draw_faces, STAMP)
ATTRIBUTES_RECIPE = Recipe(
    name="face_attributes",
    application=FACE_ATTRIBUTES,
    config=TrainAttr,
    built_in=FACES,
    sketch=partial(AttributeNet, num_attributes=1),
    open=open_run,
    exam=open_exam,
    measures=(FACE_ATTRIBUTES.metric,),
    presets=lambda _: ATTR_PRESETS,
)
