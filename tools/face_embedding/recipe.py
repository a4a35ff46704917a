"""What face embeddings add to the flows of training, evaluation and prediction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from torch import nn

from backbone.flavour import Flavour
from configs.face_embedding import EMBED_PRESETS, TrainEmbed
from configs.tools import Evaluate
from datasets.builtin.identities import STAMP, draw_identities
from datasets.identities.structure import FaceData
from datasets.loader import Resumable
from datasets.splitting import selection_share
from datasets.types import ClassMap
from tasks.application import Metric
from tasks.distillation.spec import DistillSpec
from tasks.distillation.target_source import TargetSource
from tasks.distillation.teacher import Teacher
from tasks.face_embedding.alignment import refuse_other_alignment
from tasks.face_embedding.application import FACE_EMBEDDING
from tasks.face_embedding.evaluator import FaceEvaluator, format_metrics
from tasks.face_embedding.load import (
    NO_CLASSES,
    TRAINING_ONLY,
    TrainedOn,
    describe_model,
    digest_of,
    start_embedder,
    trained_on,
)
from tasks.face_embedding.model import FaceEmbedder
from tasks.face_embedding.report import ReportData, make_report
from tasks.face_embedding.teachers import open_embedding_teacher
from tasks.predictor import Model
from tasks.reporting.skeleton import Report
from tasks.runtime.open import read_card
from tools import cli
from tools.face_embedding.collecting import FaceCollector
from tools.face_embedding.data import (
    left_out_fold,
    make_measured,
    name_of_all,
    open_both,
    open_part,
    some_people,
    tell_measured,
    training_loader,
    view_loader,
)
from tools.flows.photo_run import PhotoRun
from tools.flows.recipe import BuiltIn, Exam, Notes, Ready, Recipe, loading_for
from tools.flows.teacher_targets import open_target_source

# Description of which weights of a training are kept.
_CHOSEN = "the weights of the evaluation that is best on the pairs of the fold before the tested"
_APART = "the weights of the evaluation that is best on people held out of the training"
_LAST = "the weights of the last epoch: all pairs are tested, and none are left to choose by"
_AUC = Metric("auc", "AUC")


class FaceExam(Exam):
    """Faces to compare, ready for evaluation; a warning names known people among them."""

    evaluator: FaceEvaluator

    def __init__(
        self, ready: Ready[FaceData, FaceEvaluator], warning: str = "", measured: str = ""
    ) -> None:
        told = (("warning", warning), ("measured", measured))
        super().__init__(ready, [*((k, v) for k, v in told if v), *tested_fold(ready.data)])
        self.warning = warning

    def facts(self, model: Model) -> Notes:
        """Faces, and what was left out of them."""
        data = self.data
        compared = "all with all" if data.pairs is None else f"{len(data.pairs)} pairs"
        return [
            ("data", f"{data.root}: {len(data)} faces ({data.format}), {compared}"),
            ("left out", f"{data.left_out} images, unreadable or without a face"),
        ]

    def report(self, model: Model, evaluator: Any, score: Any, device: str) -> Report:
        """Curves, folds, and the hardest pairs."""
        return make_report(ReportData(score, self.data.image, self.files))

    def text(self, score: Any, cost: str) -> str:
        """Metrics, with their warnings."""
        return f"{format_metrics(score)}\n  cost           {cost} per image"


def tested_fold(data: FaceData) -> Notes:
    """A row for the report, if a single fold is tested."""
    if data.pairs is None or len(data.pairs.tested) != 1:
        return []
    return [("tested", f"fold {data.pairs.tested[0] + 1}; the other for the threshold")]


class EmbedRun(PhotoRun[TrainEmbed]):
    """The data of an embedding network's training, and what is made from it."""

    training_only = (TRAINING_ONLY,)
    application = FACE_EMBEDDING
    few_photos = 10_000
    measured_on_few = "after 6,152 images of LFW .583 of its pairs are right, by chance .5 are"

    def __init__(self, config: TrainEmbed, path: Path, train: FaceData, val: FaceData) -> None:
        super().__init__(config, path)
        self.train, self.val = train, val
        self.chosen = val

    @property
    def subject(self) -> str:
        """Faces and people."""
        return f"{len(self.train)} faces of {len(self.train.classes)} people"

    @property
    def reported(self) -> Metric:
        """AUC of the tested pairs: that of the weights' selection is of the other pairs."""
        return _AUC

    def target_source(self, device: str) -> TargetSource | None:
        """Source of teacher targets, if any.

        A teacher of classes has an output for each; one of embeddings has unnamed numbers.
        """
        config, data = self.config, self.train
        dim, size = config.model.dim, config.model.size

        def find(spec: DistillSpec, _numbers: ClassMap) -> Teacher:
            return open_embedding_teacher(
                spec, dim=dim, size=size, alignment=data.alignment, data=data.root
            )

        return open_target_source(
            cast("Any", config),  # Its augmentations are not those of classifiers.
            cast("Any", replace(data, classes=ClassMap.from_names([str(k) for k in range(dim)]))),
            device,
            find=find,
            answers="values",
            view=view_loader,
            augment=f"{config.augment}, --crop {config.crop:g}, --alignment {data.alignment}",
        )

    @property
    def classes(self) -> ClassMap:
        """None: the people that a network is used on are not those that it was trained on."""
        return NO_CLASSES

    def network(self, flavour: Flavour) -> nn.Module:
        """A fresh network."""
        config = self.config
        people = len(self.train.classes) if config.uses_labels else 0
        return FaceEmbedder(config.model, flavour, config.loss, people)

    def start(self, network: Any, weights: Path) -> bool:
        """Use the body, and the last layer of a network for faces with the same alignment."""
        told = read_card(weights)
        if told.task == FACE_EMBEDDING.name:
            refuse_other_alignment(told, weights, self.train.alignment, self.path)
        return start_embedder(network, weights).folded

    def model_facts(self) -> dict[str, Any]:
        """Architecture, alignment, and the people that it was trained on."""
        names, fold = self.train.classes.names, left_out_fold(self.config, self.path)
        seen = TrainedOn(name_of_all(self.path), fold, digest_of(names))
        return describe_model(self.config.model, self.train.alignment, seen)

    def training_loader(self, workers: int) -> Resumable[Any]:
        """This process's share of the augmented faces."""
        return training_loader(self.config, self.train, workers)

    def exam(self, model: Model, *, workers: int, tested: bool, alone: bool) -> FaceExam:
        """The faces to evaluate on: folds separate what is tested from what selects weights."""
        data = self.val if tested else self.chosen
        return FaceExam(make_measured(data, model.card, self.loading(workers, alone=alone)))

    def keep_apart(self) -> None:
        """Select on people that are no longer trained on, unless folds separate the pairs."""
        if not self._chooses:
            rest, self.chosen = some_people(self.train, selection_share(len(self.train)))
            self.train = rest

    def train_on_share(self, share: float) -> None:
        """Train on some of the people."""
        self.train = some_people(self.train, share)[1]

    def monitor(self, exam: Exam) -> str | None:
        """AUC of the pairs that select weights; None if all pairs are tested."""
        apart = self.chosen is not self.val or self._chooses
        return self.application.metric.name if apart else None

    @property
    def _chooses(self) -> bool:
        return FaceEvaluator(self.val.labels, self.val.pairs).chooses

    def after_fit(self, model: Model, folder: Path, device: str, workers: int) -> Notes:
        """Which weights were kept, and which fold is tested."""
        chosen = _CHOSEN if self._chooses else _LAST
        if self.chosen is not self.val:
            chosen = _APART
        return [("chosen", chosen), *tested_fold(self.val)]


def open_run(config: TrainEmbed, path: Path) -> EmbedRun:
    """Open the data of a training. Raises InputError if they cannot be used."""
    return EmbedRun(config, path, *open_both(config, path))


def open_exam(args: Evaluate, path: Path, model: Model) -> FaceExam:
    """Open faces to evaluate an embedding network on.

    Args:
        args: Flags of the evaluation.
        path: Path of the data.
        model: Model to evaluate.

    Raises:
        InputError: If they cannot be used, or are aligned differently than in training.
    """
    card = model.card
    told = trained_on(card)
    data, warning = open_part(path, args.split, args.faces, card.flavour.input.size, told)
    refuse_other_alignment(card, args.weights, data.alignment, path)
    if measured := tell_measured(path, args.split, data):
        cli.say(f"measuring {len(data)} faces: {measured}")
    return FaceExam(make_measured(data, card, loading_for(args)), warning, measured)


IDENTITIES = BuiltIn("identities", "built-in faces of people", draw_identities, STAMP)
EMBEDDING_RECIPE = Recipe(
    name="face_embedding",
    application=FACE_EMBEDDING,
    config=TrainEmbed,
    built_in=IDENTITIES,
    sketch=FaceEmbedder,
    open=open_run,
    exam=open_exam,
    collector=FaceCollector,
    # Only pairs in folds have an accuracy.
    measures=(Metric("accuracy", "accuracy"), _AUC),
    presets=lambda _: EMBED_PRESETS,
)
