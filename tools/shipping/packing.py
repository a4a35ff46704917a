"""From trained weights to checked files: precision by what is lost, and one file per target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from configs.choose import Number
from configs.common import Common
from configs.deploy import Export
from datasets.errors import InputError
from tasks.open_model import open_model
from tasks.runtime.runtimes import runtime_named
from tasks.weights.atomic_write import replacing
from tools import cli
from tools.flows.exporting import write_export, write_float
from tools.flows.quantising import Scorer, scorer_on, write_int8
from tools.flows.run_folder import make_folder
from tools.flows.source import Source, open_source
from tools.flows.stages import read_record
from tools.recipes import RECIPES
from tools.shipping.candidates import Candidate
from tools.shipping.halving import trial_folder
from tools.shipping.plan import Trial
from tools.shipping.shipment import Shipment, sample_indices

FILES_FOLDER, CALIBRATION_FOLDER = "files", "calibration"
MODEL_NAME = "model"
_PACKED_NAME = "packed.json"
_CALIBRATED_ON, _LONGEST_SIDE = 200, 1024


@dataclass(frozen=True)
class Packed:
    """Exported files of the selected network.

    Attributes:
        precision: Number format of the first target's file.
        files: Files by target.
        score: Main metric of the first file on the images for the selection, in points of 100.
        float_score: The same of the float file; None if it was not computed.
        why: Sentence that gives the reason for the precision.
    """

    precision: Number
    files: dict[str, Path]
    score: float | None
    float_score: float | None
    why: str


def pack(shipment: Shipment, trial: Trial) -> Packed | None:
    """Export a trained network for all targets; None if no file of it keeps to the budget.

    Args:
        shipment: The shipment.
        trial: The network, trained to its end.

    Raises:
        InputError: If a file cannot be written or answers otherwise than the network.
    """
    folder = shipment.folder / FILES_FOLDER / trial.name
    record = folder / _PACKED_NAME
    done = read_record(record, "precision", "files", "why")
    if done is None:
        make_folder(folder)
        done = _pack(shipment, trial, folder)
        cli.write_json(record, done)
    if done["precision"] is None:
        cli.say(f"{trial.name}: {done['why']}")
        return None
    files = {target: folder / name for target, name in done["files"].items()}
    return Packed(
        done["precision"], files, done.get("score"), done.get("float_score"), done["why"]
    )


def _pack(shipment: Shipment, trial: Trial, folder: Path) -> dict[str, Any]:
    args, candidate = shipment.args, trial.candidate
    within = candidate.within(args)
    first = args.target[0]
    scores: dict[str, float | None] = {}
    precision, why = within[0], "the float file keeps to the budget"
    if "int8" in within:
        gain = _gain(candidate)
        if "float32" not in within or gain:
            lost = _try_int8(shipment, trial, folder, first, scores)
            if lost is None:
                precision, why = "int8", gain or "the float file does not keep to the budget"
            elif "float32" in within:
                precision, why = "float32", f"8 bits were tried: {lost}"
            else:
                reason = f"keeps to the budget in 8 bits only, and these were refused: {lost}"
                return {"precision": None, "files": {}, "why": reason}
    if precision == "float32":
        _write_float(shipment, trial, folder, first)
    files = {first: file_name(first, precision)}
    for target in args.target[1:]:
        wanted = precision if runtime_named(target).int8 else "float32"
        if wanted == "int8":
            lost = _try_int8(shipment, trial, folder, target, {})
            if lost is not None:
                cli.say(f"{target}: in float, because of 8 bits: {lost}")
                wanted = "float32"
        if wanted == "float32":
            _write_float(shipment, trial, folder, target)
        files[target] = file_name(target, wanted)
    return {
        "precision": precision,
        "files": files,
        "why": why,
        "score": scores.get(precision),
        "float_score": scores.get("float32"),
    }


def _gain(candidate: Candidate) -> str:
    """What 8 bits gain by the plan's measurements; empty if nothing."""
    plain, small = candidate.float32, candidate.int8
    if plain is None or small is None:
        return ""
    parts = []
    if small.ms < plain.ms:
        parts.append(f"{small.ms:.2f} ms instead of {plain.ms:.2f}")
    if small.bytes < plain.bytes:
        parts.append(f"{small.mb:.2f} MB instead of {plain.mb:.2f}")
    return f"8 bits take {' and '.join(parts)}" if parts else ""


def file_name(target: str, precision: str) -> str:
    """Name of a target's file."""
    return f"{MODEL_NAME}{'.int8' if precision == 'int8' else ''}{runtime_named(target).suffix}"


def _flags(
    shipment: Shipment, trial: Trial, folder: Path, target: str, precision: Number
) -> Export:
    """Flags of an export, whose checks and ranges use training images."""
    args, images = shipment.args, calibration_images(shipment)
    common = Common(
        threads=args.common.threads,
        seed=args.common.seed,
        device="cpu",
        out=folder / file_name(target, precision),
    )
    is_int8 = precision == "int8"
    return Export(
        weights=trial_folder(shipment, trial),
        target=target,  # type: ignore[arg-type]
        samples=images,
        int8=is_int8,
        calibrate=images if is_int8 else None,
        max_drop=args.max_drop,
        common=common,
    )


def _write_float(shipment: Shipment, trial: Trial, folder: Path, target: str) -> None:
    args = _flags(shipment, trial, folder, target, "float32")
    cli.say(f"exporting for {target}, float")
    write_export(args, _source(shipment, args), args.out_file())


def _try_int8(
    shipment: Shipment, trial: Trial, folder: Path, target: str, scores: dict[str, float | None]
) -> str | None:
    """Write a file in 8 bits, scored on the images for the selection; else the reason why not."""
    args = _flags(shipment, trial, folder, target, "int8")
    cli.say(f"exporting for {target}, 8 bits")
    source = _source(shipment, args)
    with write_float(args, source) as float_file:
        try:
            told, _ = write_int8(
                args, source, float_file, RECIPES, scorer=_scorer(shipment, source, args)
            )
        except InputError as error:
            return str(error).partition("\n")[0]
    scores["float32"], scores["int8"] = told["scores"]["original"], told["scores"]["ours"]
    return None


def _source(shipment: Shipment, args: Export) -> Source:
    """The trained network, with the options for answers that its training uses."""
    opened = open_source(args)
    model = open_model(args.weights, shipment.run.options())
    return Source(model.network, opened.card, opened.file, opened.form)


def _scorer(shipment: Shipment, source: Source, args: Export) -> Scorer:
    """Scores files on the images for the selection."""
    model = open_model(args.weights, shipment.run.options())
    size = int(source.card.flavour.input.size)
    run = shipment.opened(shipment.config(float(source.card.model["alpha"]), size, None))
    exam = run.exam(model, workers=0, tested=False, alone=True)
    return scorer_on(exam, model, f"{len(exam.data)} images for the selection", args)


def calibration_images(shipment: Shipment) -> Path:
    """Folder of training images for ranges and checks, written once.

    Raises:
        InputError: If none of them can be read.
    """
    folder, data = shipment.folder / CALIBRATION_FOLDER, shipment.run.train
    indices = sample_indices(len(data), _CALIBRATED_ON)
    last = folder / f"{len(indices) - 1:04d}.jpg"
    make_folder(folder)
    if last.exists():
        return folder
    good = None
    for number, index in enumerate(indices):
        try:
            good = data.image(index)
        except InputError:  # The loader passes over it, too; here the one before stands in.
            if good is None:
                good = _first_readable(shipment)
        image = good
        scale = min(1.0, _LONGEST_SIDE / max(image.shape[:2]))
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        with replacing(folder / f"{number:04d}.jpg") as temporary:
            temporary.write_bytes(encoded.tobytes())
    return folder


def _first_readable(shipment: Shipment) -> Any:
    """The first training image that can be read. Raises InputError if there is none."""
    data = shipment.run.train
    for index in range(len(data)):
        try:
            return data.image(index)
        except InputError:
            continue
    raise InputError(f"{shipment.path}: none of the {len(data)} images to train on can be read")
