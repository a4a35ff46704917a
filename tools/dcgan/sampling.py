"""Images of a trained generator, in a folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from configs.gan import TrainGan
from datasets.errors import InputError
from datasets.names import safe_name, shown
from tasks.dcgan.networks import Generator
from tasks.dcgan.sampling import generate, load_generator
from tools import cli
from tools.flows.pictures import write_picture


def sample_to_folder(config: TrainGan) -> tuple[dict[str, Any], str]:
    """Write ``--sample`` images of each class to ``--out``; return the result as data and as text.

    Raises:
        InputError: If weights or flags do not fit, or the folder is not empty.
    """
    device = cli.prepare(config.common)
    assert config.weights is not None
    folder = config.common.out or Path("samples")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"--out {folder}: holds something already; choose another folder")
    generator, card = load_generator(config.weights)
    names = card.classes.names
    write_classes(
        generator, names, [config.sample] * len(names), folder, config.common.seed, device
    )
    total = config.sample * len(names)
    size = generator.spec.size
    text = f"{total} images of {size} pixels, {config.sample} of each class: {folder}"
    return {"folder": folder, "pictures": total, "classes": list(names)}, text


def write_classes(
    generator: Generator,
    names: tuple[str, ...],
    counts: list[int],
    folder: Path,
    seed: int,
    device: str,
) -> list[list[Path]]:
    """Write a number of images of each class as PNG files, in a folder of its name.

    More images with the same seed begin with the same ones.

    Returns:
        The files, per class.

    Raises:
        OSError: If a file cannot be written.
    """
    files: list[list[Path]] = []
    places = class_folders(names)
    for label, (name, count) in enumerate(zip(names, counts, strict=True)):
        place = folder / places[label]
        place.mkdir(parents=True, exist_ok=True)
        labels = np.full(count, label, dtype=np.int64)
        pictures = generate(generator, labels, seed, device, f"generating {shown(name)}")
        files.append([place / f"{number:05d}.png" for number in range(count)])
        for file, picture in zip(files[-1], pictures, strict=True):
            write_picture(file, picture)
    return files


def class_folders(names: Sequence[str]) -> list[str]:
    """Class names as unique folder names, for tools that read a folder per class."""
    folders: list[str] = []
    for name in names:
        plain, number = safe_name(name), 1
        place = plain
        while place in folders:
            number += 1
            place = f"{plain}_{number}"
        folders.append(place)
    return folders
