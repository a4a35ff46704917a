"""Quantises a float export to 8 bits, measured before it is written."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto
from torch import nn

from backbone.layers import fold_batchnorm
from configs.deploy import Export
from configs.tools import Evaluate
from datasets.errors import InputError
from datasets.images import Image
from datasets.packed_pictures import Photo, exists, is_packed, photos_in
from tasks.int8.layer_report import describe_layers, layer_errors
from tasks.int8.network import Floats, Runner, cut_preparation, find_layers
from tasks.int8.remedies import Pictures, Search, State, Step
from tasks.open_model import open_model
from tasks.predictor import Model
from tasks.weights.card import Card
from tools import cli
from tools.flows.evaluating import look_at_all
from tools.flows.int8_files import write_onnx_model, write_quantised
from tools.flows.recipe import Exam, Recipe, recipe_for
from tools.flows.source import Source
from tools.flows.targets import Facts, Target, facts_of, onnx_of, target_of

_FEWEST, _MOST = 8, 256
# Largest memory for preprocessed images.
_BYTES = 2**28
# Every fourth image is held back to compare the answers on.
_HELD = 4
# Number of images on which a translation of the 8-bit network is compared.
_COMPARED = 8


@dataclass(frozen=True)
class Scorer:
    """An application's main metric; ``score`` returns that of an export, in points of 100.

    ``data`` names the labelled data in messages.
    """

    metric: str
    score: Callable[[Path], float]
    data: str


def open_scorer(args: Export, source: Source, recipes: Sequence[Recipe[Any]]) -> Scorer:
    """Open the ``--labelled`` data. Raises InputError if it cannot be used."""
    assert args.labelled is not None
    application = source.application
    recipe = recipe_for(application, recipes, source.file)
    asked = Evaluate(source.file, data=args.labelled, batch_size=1, workers=0, common=args.common)
    options = application.pick(args.options)
    model = Model(application, source.card, source.file, options, network=source.model)
    exam = (recipe.labelled or recipe.exam)(asked, args.labelled, model)
    return scorer_on(exam, model, str(args.labelled), args)


def scorer_on(exam: Exam, model: Model, data: str, args: Export) -> Scorer:
    """Scores exports of a model on opened labelled data, which ``data`` names."""
    metric = model.application.metric

    def score(file: Path) -> float:
        found = open_model(file, args.options, threads=args.common.threads or None)
        metrics = look_at_all(found, exam, "cpu", "measuring").compute()["metrics"]
        return float(100 * metrics[metric.name] / metric.best)

    return Scorer(metric.title, score, data)


@dataclass
class Scores:
    """Scores on the labelled images, in points of 100; all None without them.

    Attributes:
        metric: Metric that is computed.
        original: Score of the float export.
        tensor: Score of naive quantisation with a scale per tensor.
        channel: Score of naive quantisation with a scale per channel.
        ours: Score of the file that is written.
    """

    metric: str | None = None
    original: float | None = None
    tensor: float | None = None
    channel: float | None = None
    ours: float | None = None

    @property
    def drop(self) -> float:
        """Points lost; 0 if nothing was measured."""
        if self.original is None or self.ours is None:
            return 0.0
        return self.original - self.ours


def write_int8(
    args: Export,
    source: Source,
    float_file: Path,
    recipes: Sequence[Recipe[Any]],
    target: Target | None = None,
    scorer: Scorer | None = None,
) -> tuple[dict[str, Any], str]:
    """Quantise a checked float export to 8 bits and write it, with a report (.json) beside it.

    Args:
        args: Flags of the export.
        source: The model.
        float_file: The float export.
        recipes: All recipes.
        target: Target of the file; by default the one in the flags.
        scorer: Main metric on labelled data; by default on ``--labelled``, if that is given.

    Returns:
        The result as data and as text.

    Raises:
        InputError: If images or model are unsuitable, or more than ``--max-drop`` is lost.
    """
    started, target = time.perf_counter(), target or target_of(args, source)
    network = _network_of(source)
    if scorer is None and args.labelled is not None:
        scorer = open_scorer(args, source, recipes)
    model = onnx.load(str(float_file))
    view = source.application.network().view
    square = [view.square(source.card)] if target.square else []
    pictures = calibration_pictures(args, model, network, *square)
    cli.say(
        f"measuring on {len(pictures.fit)} images of {args.calibrate}, comparing on "
        f"{len(pictures.held)} others"
    )
    search = Search.begin(model, network, pictures, cli.say)
    with tempfile.TemporaryDirectory() as folder:
        facts = {**facts_of(onnx_of(target), source), "precision": "int8"}
        bench = _Bench(args, scorer, source.card, facts, Path(folder))
        scores = bench.run(search, float_file)
        _refuse_drop(args, scores, search.steps)
    rows = layer_errors(search.truth, search.chosen, pictures.held)
    out = args.out_file()

    def told() -> Facts:
        steps = [step.name for step in search.steps if step.kept]
        return {
            **bench.facts,
            "int8": {
                "scores": asdict(scores) if scores.metric else None,
                "sqnr": round(search.best, 2),
                "remedies": steps,
                "floats": list(search.chosen.floats),
            },
        }

    def accept(file: Path) -> Facts:
        if scorer is not None:  # What counts is what the translation scores itself.
            scores.ours = bench.tell(f"in {target.runtime.title}", scorer.score(file))
            _refuse_drop(args, scores, search.steps)
        return told()

    write_quantised(
        target,
        search.chosen.quantised(),
        source.card,
        told(),
        out,
        photos=_held_photos(args),
        accept=accept,
        threads=args.common.threads or None,
    )
    result = {
        "file": str(out),
        "target": args.target,
        "task": source.task,
        "precision": "int8",
        "bytes": out.stat().st_size,
        "float_bytes": float_file.stat().st_size,
        "photos": {"measured": len(pictures.fit), "compared": len(pictures.held)},
        "scores": {**asdict(scores), "drop": scores.drop} if scores.metric else None,
        "remedies": [asdict(step) for step in search.steps],
        "floats": list(search.chosen.floats),
        "layers": [row.to_json() for row in rows],
        "seconds": round(time.perf_counter() - started, 1),
    }
    report = out.with_name(f"{out.name}.json")  # A run may have an 8-bit file of each target.
    cli.write_json(report, result)
    return result, f"{_describe(result, scores)}\n{describe_layers(rows)}\n  all of it: {report}"


def _network_of(source: Source) -> nn.Module:
    """The network, taking normalised images. Raises InputError if it has two stages."""
    stages: tuple[str, ...] = getattr(source.model, "networks", ("raw",))
    if stages != ("raw",):
        raise InputError(
            f"{source.file}: --int8 is for networks of one stage; this one chooses regions "
            f"between its {len(stages)}. Export it without --int8"
        )
    network: nn.Module = fold_batchnorm(source.model)
    network.register_module("normalize", nn.Identity())
    return network


def calibration_files(args: Export) -> list[Photo]:
    """The images of ``--calibrate``. Raises InputError if there are too few."""
    path = args.calibrate
    assert path is not None
    if not exists(path):
        raise InputError(f"--calibrate {path}: no such folder")
    files = _photos_of(path)
    if len(files) < _FEWEST:
        raise InputError(
            f"--calibrate {path}: {len(files)} images there; {_FEWEST} or more are needed, 100 to "
            "500 are good"
        )
    return files


def calibration_pictures(
    args: Export,
    model: ModelProto,
    network: nn.Module,
    square: Callable[[Image], Image] = lambda photo: photo,
) -> Pictures:
    """Read the images of ``--calibrate`` and preprocess them as a float export does.

    ``square`` makes an image what the export takes. Raises:
        InputError: If the folder is missing or holds too few images that can be read.
    """
    path, files = args.calibrate, calibration_files(args)
    layers = find_layers(model, network)
    prepare = Runner(cut_preparation(model, layers), [layers[0].input])
    chosen = {*np.linspace(0, len(files) - 1, _MOST).round().astype(int).tolist()}
    found: list[Floats] = []
    failures: list[str] = []
    photos = _photos([files[k] for k in sorted(chosen)], failures)
    for outputs in prepare(square(photo)[None] for photo in photos):
        (picture,) = outputs.values()
        found.append(picture)
        if picture.nbytes * (len(found) + 1) > _BYTES:
            break
    for failure in failures:
        cli.say(f"warning: left out: {failure}")
    if len(found) < _FEWEST:
        raise InputError(
            f"--calibrate {path}: {len(found)} images can be read, {_FEWEST} or more are needed; "
            f"the first that cannot: {failures[0]}"
        )
    held = found[_HELD - 1 :: _HELD]
    return Pictures([one for k, one in enumerate(found) if k % _HELD != _HELD - 1], held)


def _photos_of(path: Path) -> list[Photo]:
    """The images in a folder or archive; none for a single image."""
    return photos_in(path) if path.is_dir() or is_packed(path) else []


def _photos(files: list[Photo], failures: list[str]) -> Iterator[Image]:
    """Each readable image, (H, W, 3), in an order that mixes the folders."""
    for k in np.random.default_rng(0).permutation(len(files)):
        try:
            photo = files[k].image()
        except ValueError as error:
            failures.append(str(error))
            continue
        yield photo


def _held_photos(args: Export) -> list[Image]:
    """Some images of ``--calibrate`` that could be read before."""
    assert args.calibrate is not None
    return list(islice(_photos(_photos_of(args.calibrate), []), _COMPARED))


@dataclass(frozen=True)
class _Bench:
    """Runs the search and evaluates its results on labelled images."""

    args: Export
    scorer: Scorer | None
    card: Card
    facts: Facts
    folder: Path

    def run(self, search: Search, float_file: Path) -> Scores:
        """Naive first, then corrections; the costly ones only if the others are not enough."""
        scores = Scores()
        tensor, channel = search.naive()
        search.cheap()
        if self.scorer is None:
            return scores
        scores.metric = self.scorer.metric
        scores.original = self.tell("float", self.scorer.score(float_file))
        scores.tensor = self._score("naive, a scale per tensor", tensor)
        scores.channel = self._score("naive, a scale per channel", channel)
        scores.ours = self._score("with the fixes kept", search.chosen)
        if scores.drop > self.args.max_drop >= scores.original - scores.channel:
            cli.say("the naive network with a scale per channel keeps to --max-drop: it is taken")
            search.take_naive(channel)
            scores.ours = scores.channel
        if scores.drop > self.args.max_drop and search.leave_in_float():
            scores.ours = self._score("with layers in float", search.chosen)
        if scores.drop > self.args.max_drop and search.tune(self.args.common.seed):
            scores.ours = self._score("after fine-tuning", search.chosen)
        return scores

    def _score(self, name: str, state: State) -> float:
        assert self.scorer is not None
        file = self.folder / "candidate.onnx"
        write_onnx_model(state.quantised(), self.card, self.facts, file)
        return self.tell(name, self.scorer.score(file))

    def tell(self, name: str, points: float) -> float:
        """Report a score, and return it."""
        assert self.scorer is not None
        cli.say(f"{self.scorer.metric} on {self.scorer.data}: {name} {points:.1f}")
        return points


def _refuse_drop(args: Export, scores: Scores, steps: list[Step]) -> None:
    """Refuse a file that loses too much. Raises InputError with all scores."""
    if scores.drop <= args.max_drop:
        return
    tried = ", ".join(step.name for step in steps if not step.name.startswith("naive"))
    raise InputError(
        f"{args.out_file()}: not written: in 8 bits {scores.metric} falls from "
        f"{scores.original:.1f} to {scores.ours:.1f}, by {scores.drop:.1f} points; --max-drop "
        f"allows {args.max_drop:g} (naive: {scores.tensor:.1f} with a scale per tensor, "
        f"{scores.channel:.1f} with one per channel). Tried: {tried}. More images in --calibrate, "
        "closer to those in --labelled, may help"
    )


def _describe(result: dict[str, Any], scores: Scores) -> str:
    lines = [
        f"{result['file']}: {result['task']}, int8, {result['bytes'] / 1e6:.2f} MB (float "
        f"{result['float_bytes'] / 1e6:.2f}), in {result['seconds']:.0f} s"
    ]
    if scores.metric is None:
        lines.append(
            "  not measured on labelled images (--labelled PATH does): the answers are compared "
            "with the float export's, on images held back from --calibrate"
        )
    else:
        lines.append(
            f"  {scores.metric}: float {scores.original:.1f}, int8 {scores.ours:.1f} (naive: a "
            f"scale per tensor {scores.tensor:.1f}, per channel {scores.channel:.1f})"
        )
    lines.append(f"  {'answers against the float export':<58} {'SQNR':>7}  agree")
    for step in result["remedies"]:
        agree = "" if step["agreement"] is None else f"{step['agreement']:5.1f} %"
        kept = " kept" if step["kept"] and not step["name"].startswith("naive") else ""
        lines.append(f"  {step['name']:<58} {step['sqnr']:4.1f} dB {agree:>7}{kept}")
    return "\n".join(lines)
