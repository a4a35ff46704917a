"""Weights to start from: of a folder, of models on the Hub, or of the Hub's local cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backbone.formats.hub import fetch_hub
from backbone.spec import MOBILENET
from configs.ship import Ship
from configs.tools import ImportWeights
from datasets.errors import InputError
from tasks.runtime.open import is_export, read_card
from tasks.weights.file import save_weights
from tasks.weights.names import WEIGHTS_NAME
from tools import cli
from tools.flows.importing import Importer, importer_for

START_FOLDER = "start"
_HUB_FILES = {"config.json", WEIGHTS_NAME}


@dataclass(frozen=True)
class Start:
    """Weights of one width, as a file of this suite.

    Attributes:
        alpha: Width multiplier of the body.
        size: Side of the input in pixels that the weights were trained with.
        task: Task of the weights.
        path: Run folder or weights file.
        origin: Path or name that the user knows them by.
    """

    alpha: float
    size: int
    task: str
    path: Path
    origin: str


def find_starts(args: Ship, folder: Path, importers: Sequence[Importer]) -> list[Start]:
    """All weights that networks can start from; what cannot be used is listed with the reason.

    Args:
        args: Flags.
        folder: Folder for imported weights.
        importers: Importers of weights of other frameworks.

    Raises:
        InputError: If weights were named and none of them can be used.
    """
    if args.scratch:
        return []
    sources = [(str(path), path) for path in _in_folder(args.weights)]
    sources += [(name, _from_hub(name)) for name in args.hub]
    named = bool(sources) or args.weights is not None
    if not named:
        sources = _in_cache()
    found: list[Start] = []
    for number, (origin, source) in enumerate(sources):
        try:
            found.append(_start(origin, source, folder / f"{number}.safetensors", importers))
        except InputError as error:
            cli.say(f"weights left out: {str(error).partition(chr(10))[0]}")
    if named and not found:
        where = args.weights or ", ".join(args.hub)
        raise InputError(
            f"{where}: no weights of a MobileNet v1 there that training can start from; name a "
            "folder or file that tools/import_weights.py reads, or leave it out and start from "
            "scratch"
        )
    return found


def choose_start(starts: Sequence[Start], alpha: float, size: int, task: str) -> Start | None:
    """The best weights for a network: of its width, then of its task, then of its size."""
    same = [one for one in starts if one.alpha == alpha]
    return min(same, key=lambda one: (one.task != task, abs(one.size - size)), default=None)


def _in_folder(path: Path | None) -> list[Path]:
    """The files and run folders of ``--weights``. Raises InputError if it does not exist."""
    if path is None:
        return []
    if not path.exists():
        raise InputError(f"--weights {path}: no such file or folder")
    if path.is_file() or (path / WEIGHTS_NAME).exists():
        return [path]
    return sorted(
        one
        for one in path.iterdir()
        if (one.is_file() or (one / WEIGHTS_NAME).exists())
        and one.suffix not in (".txt", ".md", ".json")
    )


def _from_hub(name: str) -> Path:
    """A model's files: of another library, or of this suite. May raise InputError."""
    try:
        return fetch_hub(name)
    except InputError as error:
        try:
            return fetch_hub(name, (WEIGHTS_NAME,))
        except InputError:
            raise InputError(f"--hub {error}") from error


def _in_cache() -> list[tuple[str, Path]]:
    """MobileNets in the local cache of the Hub's client, by name. Nothing is downloaded."""
    try:
        from huggingface_hub import scan_cache_dir
        from huggingface_hub.errors import CacheNotFound
    except ImportError:
        return []
    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return []
    found = []
    for one in sorted(repositories, key=lambda one: one.repo_id):
        whole = [
            revision
            for revision in one.revisions
            if {file.file_name for file in revision.files} >= _HUB_FILES
        ]
        if one.repo_type == "model" and MOBILENET.replace("_", "") in one.repo_id and whole:
            newest = max(whole, key=lambda revision: revision.last_modified)
            found.append((one.repo_id, Path(newest.snapshot_path)))
    return found


def _start(origin: str, source: Path, file: Path, importers: Sequence[Importer]) -> Start:
    """Weights as a file of this suite. Raises InputError if training cannot start from them."""
    path = source
    if is_export(source):
        raise InputError(f"{source}: is an export; training starts from weights")
    try:
        card = read_card(source)
    except InputError:  # None of this suite's.
        found = importer_for(source, importers).read(ImportWeights(source), source)
        card, path = found.card, file
        save_weights(file, found.tensors, card)
    body = card.model.get("backbone", MOBILENET)
    if body != MOBILENET or card.model.get("variant", "standard") != "standard":
        raise InputError(f"{source}: has another body: {body} {card.model.get('variant', '')}")
    if "alpha" not in card.model:
        raise InputError(f"{source}: weights of {card.task} state no width")
    return Start(float(card.model["alpha"]), int(card.flavour.input.size), card.task, path, origin)
