"""What geolocation adds to the flows of training, evaluation and prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from backbone.flavour import Flavour
from configs.geolocation import GEO_PRESETS, TrainGeo
from configs.tools import Evaluate
from datasets.builtin.places import STAMP, draw_places
from datasets.loader import Resumable
from datasets.types import ClassMap
from tasks.distillation.target_source import TargetSource
from tasks.geolocation.application import GEOLOCATION
from tasks.geolocation.atlas import Atlas, atlas_from, atlas_of
from tasks.geolocation.evaluator import format_metrics
from tasks.geolocation.load import (
    CELLS_KEY,
    TEMPERATURE_KEY,
    Truth,
    start_geolocator,
    temperature_of,
)
from tasks.geolocation.model import Geolocator
from tasks.geolocation.network import sketch_geolocator
from tasks.geolocation.report import ReportData, make_report
from tasks.geolocation.teachers import open_geo_teacher
from tasks.predictor import Model
from tasks.reporting.skeleton import Report
from tasks.runtime.exported import cells_of
from tasks.weights.file import save_weights
from tasks.weights.names import WEIGHTS_NAME
from tools import cli
from tools.flows.photo_loaders import training_loader
from tools.flows.photo_run import PhotoRun
from tools.flows.recipe import BuiltIn, Exam, Notes, Ready, Recipe, loading_for
from tools.flows.teacher_targets import open_target_source
from tools.geolocation.cell_lists import write_all_cells
from tools.geolocation.data import (
    CHOSEN_ON,
    Parts,
    as_labelled,
    by_authors,
    describe,
    hold_out,
    in_cells,
    make_atlas,
    make_places,
    open_parts,
    open_sound,
    tell_held_out,
)
from tools.geolocation.measured_part import part_to_measure, trained_on


class GeoExam(Exam):
    """Images with positions, ready for evaluation."""

    def __init__(self, ready: Ready[Any, Any], atlas: Atlas, notes: Notes) -> None:
        super().__init__(ready, notes)
        self.atlas = atlas

    def facts(self, model: Model) -> Notes:
        """Cells, images, and the way of decoding."""
        spec: Any = self.evaluator
        return [
            ("cells", " + ".join(map(str, self.atlas.sizes))),
            ("evaluated on", describe(self.data)),
            ("answers", ", ".join(f"{k} {v}" for k, v in vars(spec.spec).items())),
        ]

    def write(self, folder: Path, evaluator: Any, score: Any) -> None:
        """Write predictions.csv."""
        evaluator.write(folder, self.files, score)

    def report(self, model: Model, evaluator: Any, score: Any, device: str) -> Report:
        """Maps, and the best and worst answers."""
        asked = replace(model, options=evaluator.spec)
        return make_report(
            ReportData(
                partition=self.atlas.fine,
                score=score,
                truth=(self.data.lat, self.data.lng),
                used_temperature=evaluator.temperature,
                read=self.data.image,
                locate=asked.predictor(device),
                files=self.files,
            )
        )

    def text(self, score: Any, cost: str) -> str:
        """Metrics with their intervals."""
        return f"{format_metrics(score)}\n  cost         {cost} per image"


class GeoRun(PhotoRun[TrainGeo]):
    """The data of a geolocator's training in an atlas's cells, and what is made from it."""

    application = GEOLOCATION
    few_photos = 2000

    def __init__(self, config: TrainGeo, path: Path, parts: Parts, atlas: Atlas) -> None:
        super().__init__(config, path)
        self.atlas, self.parts = atlas, replace(parts, train=in_cells(parts.train, atlas))
        self.train = self.parts.train
        self.about = describe(self.train)

    @property
    def subject(self) -> str:
        """Images and cells."""
        return f"{len(self.parts.train)} images in {len(self.atlas.fine)} cells"

    @property
    def notes(self) -> Notes:
        """The leaks that were found."""
        return self.parts.notes

    def options(self) -> tuple[object, ...]:
        """How answers are computed from cells."""
        return (self.config.decode,)

    def target_source(self, device: str) -> TargetSource | None:
        """Source of teacher targets, if any.

        With one head a store keeps the most likely cells; with several it keeps all, because the
        most likely outputs overall might leave heads without any.
        """
        cli.say(f"cells: {' + '.join(map(str, self.atlas.sizes))}, to train on {self.about}")
        return open_target_source(
            self.config,
            as_labelled(self.parts.train, self.atlas.columns),
            device,
            find=lambda spec, _: open_geo_teacher(spec, self.atlas),
            answers="classes" if len(self.atlas.partitions) == 1 else "values",
        )

    @property
    def classes(self) -> ClassMap:
        """Cells of the finest partition."""
        return self.atlas.classes

    def network(self, flavour: Flavour) -> nn.Module:
        """A fresh geolocator."""
        return Geolocator(self.config.model, self.atlas, flavour, self.config.loss)

    def start(self, network: Any, weights: Path) -> bool:
        """Use the body; for a geolocator with the same cells the head too."""
        start, whole = start_geolocator(network, weights)
        cli.say(f"weights of {weights}: body{' and head' if whole else ', a new head'}")
        return start.folded

    def trained_on(self) -> dict[str, Any]:
        """The list or folder, and whether authors were held out of it."""
        return trained_on(self.path, whole=self.config.val is not None)

    def save(self, folder: Path) -> None:
        """Write the lists of cells."""
        write_all_cells(folder, self.atlas.partitions)

    def training_loader(self, workers: int) -> Resumable[Any]:
        """This process's share of the augmented images."""
        return training_loader(self.config, as_labelled(self.parts.train), workers)

    def targets(self, model: nn.Module) -> Callable[[Any], Any]:
        """Cells and positions of the images of a batch."""
        truth = Truth(self.atlas, self.parts.train.lat, self.parts.train.lng)
        return lambda batch: truth.of(batch["image_ids"], batch["images"].device)

    def exam(self, model: Model, *, workers: int, tested: bool, alone: bool) -> GeoExam:
        """The images to report on; or those that select weights, all of which are answered."""
        config = self.config
        places = make_places(
            self.parts.val if tested else self.parts.chosen,
            self.atlas,
            model.card,
            config.decode if tested else replace(config.decode, abstain=0.0),
            self.loading(workers, alone=alone),
            temperature=temperature_of(model.card),
        )
        return GeoExam(places, self.atlas, [])

    def keep_apart(self) -> None:
        """Select on images of other authors, as with ``--val``."""
        parts = self.parts
        if parts.chosen is parts.val:
            self.train, chosen = hold_out(parts.train)
            text = f"{tell_held_out(chosen, self.path)}, not on those that are evaluated on"
            notes = [(k, text if k == CHOSEN_ON else v) for k, v in parts.notes]
            cli.say(f"{CHOSEN_ON}: {text}")
            self.parts = replace(parts, train=self.train, chosen=chosen, notes=notes)
            self.about = describe(self.train)

    def train_on_share(self, share: float) -> None:
        """Train on the images of some of the authors."""
        self.train = by_authors(self.parts.train, share)
        self.parts = replace(self.parts, train=self.train)
        self.about = describe(self.train)

    def after_fit(self, model: Model, folder: Path, device: str, workers: int) -> Notes:
        """Description of the training data, and the leaks that were found."""
        return [("trained on", self.about), *self.notes]

    def after_report(self, model: Model, folder: Path, score: Any) -> None:
        """Store the metrics in the card, but not the temperature that fits the reported data."""
        assert model.network is not None
        kept = {name: value for name, value in score["metrics"].items() if name != "loss"}
        kept[TEMPERATURE_KEY] = temperature_of(model.card)
        card = replace(model.card, metrics=kept)
        save_weights(folder / WEIGHTS_NAME, model.network.state_dict(), card)


def open_run(config: TrainGeo, path: Path, atlas: Atlas | None = None) -> GeoRun:
    """Open a geolocator's data for given or own cells. Raises InputError if it is unusable."""
    parts = open_parts(config, path)
    return GeoRun(
        config, path, parts, atlas or make_atlas(config.cells, config.partition, parts.train)
    )


def open_further(config: TrainGeo, path: Path, state: Mapping[str, Tensor]) -> GeoRun:
    """The same for a head that continues with its cells. Raises InputError if it is unusable."""
    return open_run(config, path, atlas_of(state[CELLS_KEY]) if CELLS_KEY in state else None)


def open_exam(args: Evaluate, path: Path, model: Model) -> GeoExam:
    """Open images to evaluate a geolocator on. Raises InputError if they cannot be used."""
    whole, part = part_to_measure(path, model.card, args.split)
    cli.say(f"evaluating on {part}")
    data = open_sound(path, args.split or "val", whole=whole)
    atlas = atlas_from(cells_of(model.facts, model.path))
    places = make_places(
        data,
        atlas,
        model.card,
        args.places,
        loading_for(args),
        temperature=temperature_of(model.card),
    )
    return GeoExam(places, atlas, [("part", part)])


PLACES = BuiltIn("places", "built-in places", draw_places, STAMP)
GEOLOCATION_RECIPE = Recipe(
    name="geolocation",
    application=GEOLOCATION,
    config=TrainGeo,
    built_in=PLACES,
    sketch=sketch_geolocator,
    open=open_run,
    open_further=open_further,
    exam=open_exam,
    measures=(GEOLOCATION.metric,),
    presets=lambda _: GEO_PRESETS,
)
