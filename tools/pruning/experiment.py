"""Is pruning worth it? A narrow network trained in four ways is compared."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from configs.classification import TrainCls
from configs.deploy import Export
from configs.io import from_json
from configs.prune import Prune
from datasets.errors import InputError
from datasets.json_files import read_json
from datasets.labels.structure import LabelledData
from tasks.classification.prune import prune_classifier
from tasks.distillation.spec import DistillSpec
from tasks.open_model import open_model
from tasks.predictor import answered
from tasks.runtime.open import read_card
from tasks.weights.file import save_weights
from tasks.weights.names import WEIGHTS_NAME
from tools import cli
from tools.classification.data import open_both
from tools.classification.recipe import CLASSIFICATION_RECIPE, SHAPES
from tools.dcgan.judge import train_once
from tools.flows.evaluating import loader_for
from tools.flows.exporting import write_export
from tools.flows.photo_loaders import make_photos
from tools.flows.quantising import write_int8
from tools.flows.recipe import Loading
from tools.flows.run_folder import CONFIG_NAME, new_run_folder, save_config, sole_process
from tools.flows.source import open_source
from tools.flows.stages import read_record
from tools.pruning.narrowing import measure
from tools.pruning.report import Answers, Network, write_experiment

FLOAT_FILE, INT8_FILE = "model.onnx", "model.int8.onnx"
_DONE = "answers.json"
# Number of training images on which the ranges of 8 bits are measured.
_CALIBRATION = 256


class Arm(NamedTuple):
    """A way to a narrow network: from pruned weights or not, with a teacher or not."""

    name: str
    is_pruned: bool
    is_taught: bool


ARMS = (
    Arm("scratch", is_pruned=False, is_taught=False),
    Arm("distilled", is_pruned=False, is_taught=True),
    Arm("pruned", is_pruned=True, is_taught=False),
    Arm("pruned+distilled", is_pruned=True, is_taught=True),
)
_WIDE, _CUT = "wide", "pruned-untrained"


@dataclass(frozen=True)
class _Bench:
    """Exports networks in float and in 8 bits, and collects their answers to held-out images."""

    val: LabelledData
    calibration: Path
    batch_size: int
    threads: int

    def judge(self, weights: Path, inside: Path) -> tuple[Answers, Answers]:
        """Answers of weights in float and in 8 bits, exported into a folder; computed once."""
        done = inside / _DONE
        told = read_record(done, "files")
        if told is None:
            common = replace(Prune(weights).common, threads=self.threads, out=inside / INT8_FILE)
            args = Export(
                weights,
                samples=self.calibration,
                int8=True,
                calibrate=self.calibration,
                common=common,
            )
            source = open_source(args)
            write_export(args, source, inside / FLOAT_FILE)
            write_int8(args, source, inside / FLOAT_FILE, (CLASSIFICATION_RECIPE,))
            both = [self._answers(inside / name) for name in (FLOAT_FILE, INT8_FILE)]
            told = {"files": [asdict(one) for one in both]}
            cli.write_json(done, told)
        try:
            plain, int8 = (Answers(**one) for one in told["files"])
        except (TypeError, ValueError) as error:
            raise InputError(f"{done}: not two files' answers; delete it") from error
        return plain, int8

    def _answers(self, file: Path) -> Answers:
        model = open_model(file, threads=self.threads or None)
        loading = Loading(self.batch_size, workers=0, alone=True)
        photos = make_photos(self.val, model.card, loading)
        evaluator = photos.evaluator.fresh()
        loader = loader_for(model, self.val, photos.loader, self.batch_size)
        for image_ids, outputs in answered(model, loader, "cpu", file.name):
            evaluator.update(image_ids, outputs)
        score = evaluator.compute()
        right = score["predicted"] == score["targets"]
        return Answers(file.stat().st_size, [int(one) for one in right])


def run_experiment(config: Prune) -> tuple[dict[str, Any], str]:
    """Train each arm with each seed, in float and in 8 bits; finished trainings are not repeated.

    Args:
        config: Configuration of the experiment.

    Returns:
        Content of ``report.json``, and the result as text.

    Raises:
        InputError: If run, data or flags do not fit.
        InterruptedRun: If a signal stopped it, after saving.
    """
    assert config.weights is not None
    device = cli.prepare(config.common)
    recipe = read_recipe(config)
    folder = config.resume or new_run_folder(config.common, "prune")
    with sole_process(folder):
        return _run_in(folder, config, recipe, device)


def _run_in(
    folder: Path, config: Prune, recipe: TrainCls, device: str
) -> tuple[dict[str, Any], str]:
    """The experiment in a folder that is locked."""
    assert config.weights is not None
    pruned = prune_classifier(config.weights, config.alpha, config.command)
    path = SHAPES.or_given(recipe.data, recipe.common.seed)
    train, val = open_both(recipe, path)
    if not isinstance(train, LabelledData) or not isinstance(val, LabelledData):
        raise InputError(f"--data {path}: the experiment needs images in files, not in shards")
    save_config(config, folder)
    cut = folder / _CUT
    if not (cut / WEIGHTS_NAME).exists():
        measure(pruned, train, config.common.seed)
        save_weights(cut / WEIGHTS_NAME, pruned.model.state_dict(), pruned.card)
    networks = {
        _WIDE: Network(_WIDE, read_card(config.weights)),
        _CUT: Network(_CUT, pruned.card),
        **{arm.name: Network(arm.name, pruned.card) for arm in ARMS},
    }
    with calibration_photos(train) as photos:
        bench = _Bench(val, photos, recipe.fit.batch_size, config.common.threads)
        networks[_WIDE].add(*bench.judge(config.weights, folder / _WIDE))
        networks[_CUT].add(*bench.judge(cut, cut))
        for number in range(config.seeds * len(ARMS)):
            seed, arm = config.common.seed + number // len(ARMS), ARMS[number % len(ARMS)]
            name = f"{arm.name}-seed{seed}"
            cli.say(f"training {number + 1} of {config.seeds * len(ARMS)}: {name}")
            run = arm_run(config, recipe, arm, seed, folder)
            report = train_once(
                run, train, val, path, folder=folder / name, outer=folder, device=device
            )
            networks[arm.name].add(*bench.judge(folder / name, folder / name), report["minutes"])
    return write_experiment(config, list(networks.values()), folder, photos=len(val))


def read_recipe(config: Prune) -> TrainCls:
    """The wide network's configuration, with the data to use. Needs a run folder."""
    assert config.weights is not None
    file = config.weights / CONFIG_NAME
    if not file.exists():
        raise InputError(
            f"{config.weights}: --experiment takes data and recipe from the run of the wide "
            f"network; name a run folder of tools/train_cls.py (there is no {CONFIG_NAME})"
        )
    try:
        recipe = from_json(TrainCls, read_json(file))
    except InputError as error:
        raise InputError(f"{file}: not of tools/train_cls.py ({error})") from error
    return replace(
        recipe,
        data=config.data or recipe.data,
        val=None if config.data else recipe.val,
        classes=config.classes or (None if config.data else recipe.classes),
    )


def arm_run(config: Prune, recipe: TrainCls, arm: Arm, seed: int, folder: Path) -> TrainCls:
    """One training: the wide network's configuration at the narrow width, for ``--epochs``.

    Only the last epoch is evaluated, so that no images are used both to select weights and to
    evaluate them. All layers learn at one rate, even if the wide network was fine-tuned
    differently. The teacher's targets are stored for both arms that use it, if the configuration
    leaves images whole.
    """
    loss = recipe.loss
    whole = (loss.mixup, loss.cutmix, loss.progressive) == (0, 0, 1)
    store = folder / f"targets-seed{seed}" if whole else None
    taught = DistillSpec(str(config.weights), targets=store)
    return replace(
        recipe,
        weights=folder / _CUT if arm.is_pruned else None,
        resume=None,
        grid=(),
        command=config.command,
        model=replace(recipe.model, alpha=config.alpha),
        distill=taught if arm.is_taught else DistillSpec(),
        fit=replace(
            recipe.fit,
            epochs=config.epochs,
            eval_every=config.epochs,
            frozen_epochs=0,
            layer_decay=1.0,
        ),
        workers=config.workers,
        common=replace(config.common, seed=seed),
    )


@contextmanager
def calibration_photos(train: LabelledData) -> Iterator[Path]:
    """Some training images of all classes, in a folder that is removed with the block."""
    picked = np.linspace(0, len(train) - 1, min(_CALIBRATION, len(train))).round().astype(int)
    with tempfile.TemporaryDirectory() as folder:
        for index in picked.tolist():
            file = Path(folder) / f"{index:07d}.png"
            if not cv2.imwrite(str(file), train.image(index)[..., ::-1]):
                raise OSError(f"{file}: cannot be written")
        yield Path(folder)
