"""The folder to hand over: model, labels, card, report, and programs that use the model."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tasks.open_model import open_model
from tasks.runtime.open import open_export, read_card
from tasks.runtime.runtimes import runtime_named
from tasks.timing import WHOLE, Spread, spreads, whole
from tasks.weights.atomic_write import replace_folder, replacing, write_text
from tools import cli
from tools.flows.evaluating import look_at_all, report_score
from tools.flows.model_card import model_card, public_card
from tools.flows.recipe import Notes
from tools.flows.run_folder import make_folder
from tools.flows.trained_on import tell_data
from tools.shipping.halving import Selection, trial_folder
from tools.shipping.packing import Packed
from tools.shipping.plan import Plan, Trial
from tools.shipping.report import Final, Shipped, draw, more_data, more_time, why
from tools.shipping.shipment import Shipment
from tools.shipping.snippets import form_of, write_snippets
from tools.speed.benchmarking import drawn_photo, run_turns

HANDOVER_FOLDER, RESULT_NAME = "handover", "result.json"
LABELS_NAME, CARD_NAME, README_NAME = "labels.txt", "card.json", "README.md"
_WARMUP = 3


def hand_over(
    shipment: Shipment,
    plan: Plan,
    selection: Selection,
    trial: Trial,
    packed: Packed,
    curve: Sequence[tuple[int, float]],
    notes: Notes,
) -> tuple[dict[str, Any], str]:
    """Measure the exported file on held-out images, and write everything that goes with it.

    Returns:
        The result as data and as text.

    Raises:
        InputError: If a file cannot be written.
    """
    folder = shipment.folder / HANDOVER_FOLDER
    make_folder(folder)
    files = _copy_files(packed, folder)
    first = files[shipment.args.target[0]]
    model = open_model(first, shipment.run.options(), threads=shipment.args.common.threads or None)
    config = shipment.config(trial.candidate.alpha, trial.candidate.size, None)
    exam = shipment.opened(config).exam(model, workers=0, tested=True, alone=True)
    begun = time.perf_counter()
    evaluator = look_at_all(model, exam, "cpu", "held-out images")
    exam.loader.close()
    seconds = time.perf_counter() - begun
    score = evaluator.compute()
    final = _final(shipment, exam, evaluator, score, first)
    shipped = Shipped(shipment, plan, selection, trial, packed, final, curve)
    rows = [
        ("final figure", final.text),
        ("time", f"{seconds:.1f} s for {len(exam.data)} images"),
        ("time per image by the plan", f"{shipped.planned_ms:.2f} ms"),
        *notes,
        *(row for row in shipment.run.notes if row not in notes),
    ]
    report_score(
        *(model, exam, evaluator, score),
        folder=folder,
        device="cpu",
        title=f"{trial.name} for {shipment.path.name}, {packed.precision}",
        notes=rows,
        files=shipment.files,
        opening=lambda page: draw(page, shipped),
    )
    _write_texts(shipment, trial, files, final, folder)
    result = _result(shipped, files, folder)
    cli.write_json(folder / RESULT_NAME, result)
    return result, as_text(result)


def _copy_files(packed: Packed, folder: Path) -> dict[str, Path]:
    """Copies of the exported files, by target."""
    copies = {}
    for target, source in packed.files.items():
        runtime, place = runtime_named(target), folder / source.name
        if runtime.folder:
            copy = folder / f".{source.name}.copy"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(source, copy)
            replace_folder(copy, place)
        else:
            for one, name in zip(runtime.files(source), runtime.files(place), strict=True):
                with replacing(name) as temporary:
                    shutil.copyfile(one, temporary)
        copies[target] = place
    return copies


def _final(shipment: Shipment, exam: Any, evaluator: Any, score: Any, file: Path) -> Final:
    """The figures of the exported file; its time is measured again."""
    metric = shipment.run.reported
    scale = 100 / metric.best
    ends = exam.interval(metric, evaluator, score)
    target = runtime_named(shipment.args.target[0])
    return Final(
        metric.title,
        float(score["metrics"][metric.name]) * scale,
        None if ends is None else (ends[0] * scale, ends[1] * scale),
        len(exam.data),
        _time(shipment, file),
        target.size(file),
    )


def _time(shipment: Shipment, file: Path) -> Spread:
    args = shipment.args
    exported, image = open_export(file, args.latency_threads), drawn_photo(args.common.seed)
    rows = run_turns(
        {"model": whole(lambda: exported([image]))}, args.rounds, _WARMUP, "timing the file"
    )
    return spreads(rows["model"])[WHOLE]


def _write_texts(
    shipment: Shipment, trial: Trial, files: dict[str, Path], final: Final, folder: Path
) -> None:
    """Labels, card and programs."""
    weights = trial_folder(shipment, trial)
    metric = shipment.run.reported
    card = read_card(weights)
    measured = {metric.name: final.value / 100 * metric.best}
    card = public_card(replace(card, metrics=measured))
    write_text(folder / LABELS_NAME, "".join(f"{name}\n" for name in card.classes.names))
    cli.write_json(folder / CARD_NAME, card.to_json())
    described = shipment.recipe.application.outputs
    image = drawn_photo(shipment.args.common.seed)
    forms = [form_of(file, described, image) for file in files.values()]
    programs = write_snippets(forms)
    for name, text in programs.items():
        write_text(folder / name, text)
    text = model_card(card, weights, f"/{shipment.path.name}").replace(
        "Measured on its validation data", "Measured on held-out images, with the exported file"
    )
    listed = [*(one.name for one in files.values()), LABELS_NAME, *programs, "report.html"]
    lines = "\n".join(f"- `{name}`" for name in listed)
    body = text.partition("## Use\n")[0].partition("---\n")[2].partition("---\n")[2].strip()
    write_text(folder / README_NAME, f"{body}\n\n## Files\n\n{final.text}\n\n{lines}\n")


def _result(shipped: Shipped, files: dict[str, Path], folder: Path) -> dict[str, Any]:
    """The result as data."""
    final, trial = shipped.final, shipped.trial
    return {
        "folder": folder,
        "task": shipped.shipment.task,
        "network": trial.name,
        "precision": shipped.packed.precision,
        "files": dict(files),
        "final": {**asdict(final), "text": final.text},
        "rounds": [[asdict(one) for one in rows] for rows in shipped.selection.rounds],
        "why": why(shipped),
        "more_data": more_data(shipped),
        "more_time": more_time(shipped),
        "data": tell_data(shipped.shipment.path, held_out=True, digest=None)["name"],
    }


def as_text(result: dict[str, Any]) -> str:
    """The result for people."""
    rounds = result["rounds"]
    lines = [
        f"{result['network']} {result['precision']}: {result['final']['text']}",
        result["why"],
        *(
            f"round {number}: "
            + ", ".join(f"{row['name']} {100 * row['score']:.1f}" for row in rows)
            for number, rows in enumerate(rounds, start=1)
        ),
        *([f"more images: {result['more_data']}"] if result["more_data"] else []),
        *(f"more time: {line}" for line in result["more_time"]),
        *(f"{target}: {file}" for target, file in result["files"].items()),
        f"report: {Path(result['folder']) / 'report.html'}",
    ]
    return "\n".join(lines)
