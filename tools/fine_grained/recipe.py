"""A fine-grained run: noisy photos from the web first, then the data."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from configs.fine_grained import TrainDogs
from datasets.builtin.shapes_and_breeds import draw_breeds, draw_web
from datasets.errors import InputError
from datasets.labels.checking import examine_labels
from datasets.labels.structure import LabelledData, mislabel
from datasets.labels.web_photos import Removed, match_folders, read_web, remove_copies
from datasets.types import ClassMap
from tasks.classification.answer import classify
from tasks.classification.load import load_classifier
from tasks.fitting.checkpoint import LAST_NAME, InterruptedRun
from tasks.fitting.stopwatch import Stopwatch
from tasks.runtime.open import read_card
from tools import cli
from tools.classification.data import open_both
from tools.classification.recipe import fit_classifier, make_model, report_run
from tools.flows.photo_loaders import Data, make_photos
from tools.flows.run_folder import is_first, new_run_folder, save_config
from tools.flows.teacher_targets import open_teaching

# Within a run folder: the first stage, and in it what it found, written when it is done.
WEB_FOLDER, RECORD_NAME = "web", "stage.json"
_DRAWN = Path("data")
_SHOWN = 3

Notes = list[tuple[str, str]]


def train_dogs(config: TrainDogs, *, report: bool = True) -> tuple[dict[str, Any], str]:
    """Train both stages, then evaluate the saved weights, and leave a report in the run folder.

    A resumed run goes on in the stage in which it was interrupted.

    Args:
        config: What to train, on what.
        report: Whether to draw the report's page, which in a small run takes longer than the
            training; ``report.json`` is written either way.

    Returns:
        What ``report.json`` holds, and the same for people; empty on all processes but the first.

    Raises:
        InputError: If data, web, weights or flags do not fit.
        InterruptedRun: If a signal stopped the training, after saving.
    """
    watch = Stopwatch()
    device = cli.prepare(config.common)
    folder = config.resume or new_run_folder(config.common, config.preset)
    path, web = data_and_web(config)
    train, val = open_both(config, path)
    wrong = None
    if config.noise:
        train, wrong = with_wrong_labels(train, config)
    teaching = open_teaching(config, train, device)  # Now: what is wrong is said at once.
    notes: Notes = []
    last = config
    if web is not None:
        notes = train_on_web(config, web, train, val, folder=folder, device=device, watch=watch)
        last = replace(config, weights=folder / WEB_FOLDER)
    begun = config.resume is not None and (folder / LAST_NAME).exists()
    last = replace(last, resume=folder if begun else None)
    model, card = make_model(last, train, path, teaching)
    if is_first():
        save_config(config, folder)
    fit_classifier(
        last,
        model,
        card,
        train,
        val,
        folder=folder,
        device=device,
        watch=watch,
        teaching=teaching,
    )
    if wrong is not None and is_first():
        notes.append(("wrong labels", _learnt_by_heart(config, wrong, len(train), folder, device)))
        cli.say(f"wrong labels: {notes[-1][1]}")
    return report_run(
        last,
        val,
        path,
        folder=folder,
        device=device,
        watch=watch,
        notes=notes,
        report=report,
    )


def with_wrong_labels(train: Data, config: TrainDogs) -> tuple[LabelledData, LabelledData]:
    """Training photos of which some have a wrong label, and these alone.

    Raises:
        InputError: If the photos are no files.
    """
    if not isinstance(train, LabelledData):
        raise InputError(f"--noise {config.noise}: the labels of shards stay as they are")
    noisy, mask = mislabel(train, config.noise, config.common.seed)
    if not mask.any():
        raise InputError(f"--noise {config.noise}: of {len(train)} photos that is none")
    cli.say(f"--noise {config.noise}: {mask.sum()} of {len(train)} labels are wrong on purpose")
    return noisy, noisy.select(mask)


def _learnt_by_heart(
    config: TrainDogs, wrong: LabelledData, total: int, folder: Path, device: str
) -> str:
    """How often the weights that a run kept answer a mislabelled photo with its wrong label."""
    model, card = load_classifier(folder)
    workers = cli.choose_workers(config.workers)
    photos = make_photos(
        wrong, card, batch_size=config.fit.batch_size, workers=workers, alone=True
    )
    for image_ids, logits in classify(model, photos.loader, device, "looking at wrong labels"):
        photos.evaluator.update(image_ids, logits)
    photos.loader.close()
    share = photos.evaluator.compute()["metrics"]["top1"]
    return (
        f"{len(wrong)} of {total} training photos, on purpose; {share:.1%} of them learnt by heart"
    )


def data_and_web(config: TrainDogs) -> tuple[Path, Path | None]:
    """The user's data and web, or the built-in ones, drawn where they are not there yet."""
    path, web, seed = config.data, config.web, config.common.seed
    if path is None:
        path = _DRAWN / f"breeds-{seed}"
        cli.say(f"no --data given: using built-in breeds ({path})")
        draw_breeds(path, seed=seed)
        if web is None and config.web_epochs:
            web = draw_web(_DRAWN / f"web-{seed}", seed=seed)
    return path, web if config.web_epochs else None


def train_on_web(
    config: TrainDogs,
    web: Path,
    train: Data,
    val: Data,
    *,
    folder: Path,
    device: str,
    watch: Stopwatch,
) -> Notes:
    """Train the first stage in its folder, unless that was done before an interruption.

    Args:
        config: Of both stages.
        web: Folder of noisy photos.
        train: What the second stage trains on, whose classes they are of.
        val: To evaluate on, and to keep unseen.
        folder: Of the run.
        device: To compute on.
        watch: Of the run.

    Returns:
        Facts for the report.
    """
    inside = folder / WEB_FOLDER
    record = inside / RECORD_NAME
    if record.exists():
        told = json.loads(record.read_text(encoding="utf-8"))
        watch.go_on_from(told.get("seconds", 0.0))  # Older records tell none.
        return [(name, text) for name, text in told["notes"]]
    found = clean_web(web, train.classes, val, config.copy_bits)
    begun = config.resume is not None and (inside / LAST_NAME).exists()
    stage = replace(config.first_stage(), resume=inside if begun else None)
    cli.say(f"first stage: {len(found.data)} web photos, {stage.fit.epochs} epochs")
    model, card = make_model(stage, found.data, web)
    if is_first():
        save_config(config, folder)
    try:
        fit_classifier(
            stage, model, card, found.data, val, folder=inside, device=device, watch=watch
        )
    except InterruptedRun:
        raise InterruptedRun(
            f"stopped in the first stage and saved to {inside / LAST_NAME}; go on with --resume "
            f"{folder}"
        ) from None
    top1 = read_card(inside).metrics["top1"]
    notes = [
        ("web", found.text),
        ("first stage", f"top-1 {top1:.3f} on the data, loss {stage.loss.robust}: {inside}"),
    ]
    cli.say(f"first stage done: {notes[-1][1]}")
    if is_first():
        told = {"notes": notes, "top1": top1, "seconds": watch.seconds}
        cli.write_json(record, {**told, "unknown": found.unknown, **asdict(found.removed)})
    return notes


@dataclass(frozen=True)
class CleanWeb:
    """Web photos that can be trained on, and what was left out.

    Attributes:
        data: The photos, under the data's classes.
        unknown: Folders that are no class of the data.
        removed: Copies of test photos, and damaged ones.
    """

    data: LabelledData
    unknown: tuple[str, ...]
    removed: Removed

    @property
    def text(self) -> str:
        """One line for the report."""
        return (
            f"{self.data.root}: {len(self.data)} photos; left out: {len(self.removed.copies)} "
            f"that look like test photos, {len(self.removed.damaged)} damaged, "
            f"{len(self.unknown)} folders that are no class of the data"
        )


def clean_web(path: Path, classes: ClassMap, val: Data, bits: int) -> CleanWeb:
    """Open a web folder, and say what is left out of it and what is in it.

    Args:
        path: Web folder.
        classes: Of the training data, which its folders are matched with.
        val: Photos that none of it may be a copy of.
        bits: Most bits by which the hashes of a photo and its copy differ.

    Raises:
        InputError: If nothing in it can be used, or the test photos are no files.
    """
    if not isinstance(val, LabelledData):
        raise InputError(
            f"--web {path}: copies of test photos cannot be looked for in shards; name the test "
            "photos as files by --val"
        )
    folders = match_folders(path, classes)
    web, removed = remove_copies(read_web(folders, classes), val, bits)
    for what, names in (
        ("folders are no class of the data", folders.unknown),
        ("photos look like test photos", [f"{web} ({test})" for web, test in removed.copies]),
        ("photos cannot be read", removed.damaged),
    ):
        if names:
            shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
            cli.say(f"web: left out: {len(names)} {what}: {shown}")
    checkup = examine_labels(web)
    checkup.raise_if_refused("--web")
    cli.say(f"web: {checkup.describe(5)}")
    return CleanWeb(checkup.data, folders.unknown, removed)
