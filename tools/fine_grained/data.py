"""The data of the fine-grained tool: breeds, noisy web images, and deliberately wrong labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from configs.fine_grained import TrainDogs
from datasets.builtin.shapes_and_breeds import BREEDS_STAMP, WEB_STAMP, draw_breeds, draw_web
from datasets.errors import InputError
from datasets.labels.checking import examine_labels
from datasets.labels.structure import LabelledData, mislabel
from datasets.labels.web_photos import Removed, match_folders, read_web, remove_copies
from datasets.types import ClassMap
from tools import cli
from tools.flows.photo_loaders import Data
from tools.flows.recipe import BuiltIn

BREEDS = BuiltIn("breeds", "built-in breeds", draw_breeds, BREEDS_STAMP)
_WEB = BuiltIn("web", "a built-in web", draw_web, WEB_STAMP)
_SHOWN = 3


def web_of(config: TrainDogs) -> Path | None:
    """The user's web; for built-in breeds the built-in one; None if there is no first stage."""
    if not config.web_epochs:
        return None
    if config.data is None and config.web is None:
        return _WEB.drawn(config.common.seed)
    return config.web


def with_wrong_labels(train: Data, config: TrainDogs) -> tuple[LabelledData, LabelledData]:
    """Training images with some wrong labels, and these alone. Raises InputError for shards."""
    if not isinstance(train, LabelledData):
        raise InputError(f"--noise {config.noise}: the labels of shards stay as they are")
    noisy, mask = mislabel(train, config.noise, config.common.seed)
    if not mask.any():
        raise InputError(f"--noise {config.noise}: of {len(train)} images that is none")
    cli.say(f"--noise {config.noise}: {mask.sum()} of {len(train)} labels are wrong on purpose")
    return noisy, noisy.select(mask)


@dataclass(frozen=True)
class CleanWeb:
    """Web images of the data's classes, folders of other classes, and images left out."""

    data: LabelledData
    unknown: tuple[str, ...]
    removed: Removed

    @property
    def text(self) -> str:
        """One line for the report."""
        return (
            f"{self.data.root}: {len(self.data)} images; left out: {len(self.removed.copies)} "
            f"that look like test images, {len(self.removed.damaged)} damaged, "
            f"{len(self.unknown)} folders that are no class of the data"
        )


def clean_web(path: Path, classes: ClassMap, val: Data, bits: int) -> CleanWeb:
    """Open a web folder, and report what it contains and what is left out.

    Copies of images in ``val`` are left out: their hashes differ by at most ``bits`` bits.

    Args:
        path: The web folder.
        classes: Classes of the data.
        val: Evaluation images.
        bits: Largest number of differing bits of a copy.

    Raises:
        InputError: If nothing in it can be used, or the evaluation images are not files.
    """
    if not isinstance(val, LabelledData):
        raise InputError(
            f"--web {path}: copies of test images cannot be looked for in shards; name the test "
            "images as files by --val"
        )
    folders = match_folders(path, classes)
    web, removed = remove_copies(read_web(folders, classes), val, bits)
    for what, names in (
        ("folders are no class of the data", folders.unknown),
        ("images look like test images", [f"{web} ({test})" for web, test in removed.copies]),
        ("images cannot be read", removed.damaged),
    ):
        if names:
            shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
            cli.say(f"web: left out: {len(names)} {what}: {shown}")
    checkup = examine_labels(web)
    checkup.raise_if_refused("--web")
    cli.say(f"web: {checkup.describe(5)}")
    return CleanWeb(checkup.data, folders.unknown, removed)
