"""A classifier's loader beside torchvision's ImageFolder with the same augmentation.

Both read the same files in the same number of processes (none: in this one) and make batches of
the same uint8 pictures. With ``MOBILENETS_DATA`` set real photos are read, else built-in shapes.

    python -m tests.benchmarks.bench_label_loader
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from datasets.builtin.shapes_and_breeds import draw_shapes
from datasets.labels.augmentation import LabelTransform
from datasets.labels.opening import open_labelled
from datasets.labels.torch_set import LabelledSet, label_loader
from datasets.spec import LabelAugmentation
from tests.benchmarks.timing import medians, pin_threads

ROUNDS, BATCH, PHOTOS = 7, 32, 192
SMALL = 64  # Up to this side "small" is for.
AUGMENTATIONS: tuple[LabelAugmentation, ...] = ("none", "mild", "tf_slim", "modern", "small")
# Real sets below MOBILENETS_DATA: folder, part, side of the input.
REAL = (("pets", "train", 224), ("imagenet", "val", 224), ("tiny-imagenet-16", "train", 64))


def peer_transform(augmentation: LabelAugmentation, size: int) -> Callable[[Any], Any]:
    """Torchvision's steps, on Pillow's pictures, that do what ours of a name do."""
    window = partial(v2.RandomResizedCrop, size, ratio=(3 / 4, 4 / 3), antialias=True)
    flip = v2.RandomHorizontalFlip()
    steps: dict[str, list[Any]] = {
        "none": [v2.Resize(round(size / 0.875)), v2.CenterCrop(size)],
        "mild": [window(scale=(0.35, 1.0)), flip],
        "tf_slim": [
            window(scale=(0.05, 1.0)),
            flip,
            v2.ColorJitter(brightness=32 / 255, saturation=(0.5, 1.5)),
        ],
        "modern": [window(scale=(0.08, 1.0)), flip, v2.RandAugment(2, 9)],
        "small": [
            v2.Resize(size),
            v2.CenterCrop(size),
            v2.RandomCrop(size, padding=size // 8, padding_mode="reflect"),
            flip,
        ],
    }
    return v2.Compose([*steps[augmentation], v2.PILToTensor()])  # type: ignore[no-any-return]


def choose_sets(scratch: Path) -> list[tuple[Path, str, int]]:
    """Folder, part and side of the input of each set to read."""
    if os.environ.get("MOBILENETS_DATA"):
        root = Path(os.environ["MOBILENETS_DATA"])
        return [(root / name, part, size) for name, part, size in REAL]
    return [(draw_shapes(scratch / "shapes", num_train=24, num_val=1), "train", 64)]


def some_photos(source: Path, part: str, folder: Path) -> Path:
    """Links to some photos of any set, in a folder per class that both sides read."""
    data = open_labelled(source, part)  # type: ignore[arg-type]
    for index in np.linspace(0, len(data) - 1, PHOTOS).astype(int).tolist():
        file = Path(data.files[index]).resolve()
        link = folder / f"class {data.labels[index]}" / f"{index}{file.suffix}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)
    return folder


def sides(
    folder: Path, size: int, augmentation: LabelAugmentation, workers: int
) -> dict[str, Callable[[], object]]:
    """A pass over all photos: ours from files, ours from memory, torchvision's."""
    data = open_labelled(folder, "all")
    transform = LabelTransform(size, augmentation)
    kept = {"ours": False, "kept": True}
    loaders: dict[str, Any] = {
        name: label_loader(
            LabelledSet(data, transform, cache=cache),
            batch_size=BATCH,
            train=augmentation != "none",
            workers=workers,
        )
        for name, cache in kept.items()
    }
    loaders["torchvision"] = DataLoader(
        ImageFolder(folder, peer_transform(augmentation, size)),
        batch_size=BATCH,
        shuffle=augmentation != "none",
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    return {name: lambda loader=loader: list(loader) for name, loader in loaders.items()}  # type: ignore[misc]


def main() -> None:
    """Measure and print."""
    pin_threads()
    torch.set_num_threads(1)
    print("images per second and process: from files, kept in memory; torchvision's ImageFolder")
    with TemporaryDirectory() as scratch:
        for source, part, size in choose_sets(Path(scratch)):
            folder = some_photos(source, part, Path(scratch) / f"{source.name} links")
            for workers in (0, 1):
                print(f"{source.name}, {size} pixels, {workers or 'no'} loader process")
                for name in AUGMENTATIONS if size <= SMALL else AUGMENTATIONS[:-1]:
                    found = medians(sides(folder, size, name, workers), ROUNDS, warmup=1)
                    ours, kept, peer = (PHOTOS / seconds for seconds in found.values())
                    print(
                        f"  {name:8}{ours:7.0f}{kept:8.0f}{peer:8.0f}   "
                        f"{ours / peer:.2f} ({kept / peer:.2f}) times as fast",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
