"""What the application adds to the flows."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from configs.tools import Evaluate
from datasets.labels.augmentation import LabelTransform
from datasets.labels.structure import LabelledData
from datasets.labels.torch_set import LabelledSet, label_loader
from datasets.loader import Resumable
from datasets.splitting import lowest, path_shares, selected
from datasets.types import ClassMap
from tasks.distillation.target_source import TargetSource
from tasks.fitting.engine import rank_and_world
from tasks.predictor import Model
from tasks.reporting.skeleton import MetricsTable, Report
from tasks.reporting.tables import metric_rows, metrics_text
from tasks.weights.card import Card
from tests.age.application import AGE
from tests.age.config import AGE_PRESETS, TrainAge
from tests.age.data import STAMP, draw_ages, open_part
from tests.age.evaluator import MEANINGS, AgeEvaluator
from tests.age.model import AgeNet
from tools import cli
from tools.flows.photo_run import starting_flavour
from tools.flows.recipe import BuiltIn, Exam, Notes, OpenedRun, Ready, Recipe


class AgeExam(Exam):
    """Photos with their ages."""

    def __init__(self, data: LabelledData, card: Card, *, batch_size: int, workers: int) -> None:
        seen = card.flavour.input
        transform = LabelTransform(
            seen.size, "none", crop=seen.crop, interpolation=seen.interpolation
        )
        loader = label_loader(
            LabelledSet(data, transform), batch_size=batch_size, train=False, workers=workers
        )
        super().__init__(Ready(data, loader, AgeEvaluator(data.labels)))

    def facts(self, model: Model) -> Notes:
        return [("data", f"{self.data.root}: {len(self.data)} images")]

    def report(self, model: Model, evaluator: Any, score: Any, device: str) -> Report:
        metrics = score["metrics"]
        return Report(
            headline=[(f"{metrics['mae']:.1f}", "years off")],
            summary={"metrics": metrics, "images": len(self.data)},
            num_images=len(self.data),
            metrics=MetricsTable(metric_rows(metrics, MEANINGS)),
            use_note=AGE.use_note,
        )

    def text(self, score: Any, cost: str) -> str:
        shown = {name: f"{value:.3f}" for name, value in score["metrics"].items()}
        return f"{metrics_text(shown, MEANINGS)}\n  cost  {cost}"


class AgeRun(OpenedRun[TrainAge]):
    """The data of a training."""

    application = AGE

    def __init__(self, config: TrainAge, path: Path) -> None:
        super().__init__(config, path)
        self.train = open_part(path, "train")
        self.val = open_part(config.val or path, "all" if config.val else "val")
        self.chosen = self.val

    @property
    def subject(self) -> str:
        return f"{len(self.train)} images"

    def build(self, target_source: TargetSource | None) -> tuple[nn.Module, Card]:
        torch.manual_seed(self.config.common.seed)
        flavour, origin = starting_flavour(self.config)
        source = f"trained {origin} on {self.path} by {self.config.command}"
        model = AgeNet(self.config.model, flavour)
        return model, Card(
            AGE.name, self.config.model.to_json(), flavour, ClassMap((), ()), source=source
        )

    def training_loader(self, workers: int) -> Resumable[Any]:
        config = self.config
        transform = LabelTransform(
            config.model.size,
            config.augment,
            crop=config.crop,
            interpolation=config.interpolation,
        )
        rank, world = rank_and_world()
        return label_loader(
            LabelledSet(self.train, transform, config.common.seed),
            batch_size=config.fit.batch_size,
            train=True,
            workers=workers,
            seed=config.common.seed,
            rank=rank,
            world=world,
        )

    def exam(self, model: Model, *, workers: int, tested: bool, alone: bool) -> AgeExam:
        size = self.config.fit.batch_size
        data = self.val if tested else self.chosen
        return AgeExam(data, model.card, batch_size=size, workers=workers)

    def keep_apart(self) -> None:
        held = selected(self.train.files.tolist(), self.train.root)
        self.train, self.chosen = self.train.select(~held), self.train.select(held)

    def train_on_share(self, share: float) -> None:
        numbers = path_shares(self.train.files.tolist(), self.train.root)
        self.train = self.train.select(lowest(numbers, share))


def open_exam(args: Evaluate, path: Path, model: Model) -> AgeExam:
    data = open_part(path, args.split or "val")
    workers = cli.choose_workers(args.workers)
    return AgeExam(data, model.card, batch_size=args.batch_size, workers=workers)


AGE_RECIPE = Recipe(
    name="age",
    application=AGE,
    config=TrainAge,
    built_in=BuiltIn("ages", "built-in ages", draw_ages, STAMP),
    open=AgeRun,
    exam=open_exam,
    measures=(AGE.metric,),
    sketch=AgeNet,
    presets=lambda _: AGE_PRESETS,
)
