"""Presets of the geolocators. The docstring of each gives its table, command, time and result."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from configs.classification import FINETUNE_CLS, MODERN, PAPER_CLS
from configs.common import Common
from configs.presets import Presets
from configs.training import PhotoTraining
from datasets.errors import InputError
from datasets.spec import COPY_BITS, LabelAugmentation
from tasks.body_spec import ClassifierSpec
from tasks.flag_values import require_at_least
from tasks.geolocation.spec import DecodeSpec, GeoLossSpec, PartitionSpec

GeoPreset = Literal["auto", "demo", "paper", "modern", "finetune"]


@dataclass(frozen=True)
class TrainGeo(PhotoTraining):
    """Train and evaluate a geolocator, which predicts where on Earth an image was taken.

    Without --data it trains on built-in synthetic places. The run folder is --out, by default
    runs/<preset>/<time>. It contains everything that was produced: weights with their card and
    cells, cells.csv, report.html with maps, checkpoint, metrics and configuration. With --grid it
    holds one folder per run and a table that compares them. Do not locate images of people without
    their consent.
    """

    preset: GeoPreset = "auto"
    """Set of default values. auto means demo without --data, finetune with --weights, and modern
    otherwise."""
    data: Path | None = None
    """CSV list of images and their positions (with columns such as IMG_ID,AUTHOR,LAT,LON, as in
    MP-16, Im2GPS and YFCC4k; or OSV-5M's), with the images below its folder; a folder with such a
    list, or with one list per part; or a folder of images with GPS tags."""
    val: Path | None = None
    """Data to evaluate on once, at the end, in any format that --data accepts. The weights and the
    temperature are then selected on authors held out of --data (a fifth of them, or about 5000
    images), and the rest of it, or of its training part, is used for training. By default the
    evaluation part of --data, or the images of a fifth of its authors, on which the weights are
    then selected too."""
    weights: Path | None = None
    """Run folder or weights file to start from; its head is used too if the cells are the same."""
    resume: Path | None = None
    """Run folder of an interrupted training to continue, with the configuration stored in it."""
    cells: tuple[Path, ...] = ()
    """Cells to use: one list of cells (class_label, hex_id, imgs_per_cell, latitude_mean,
    longitude_mean) or several, from coarse to fine; or positions from which to make them (a CSV
    file with LAT and LON, or a folder of images with GPS tags). By default they are made from the
    training images."""
    partition: PartitionSpec = field(default_factory=PartitionSpec)
    loss: GeoLossSpec = field(default_factory=GeoLossSpec)
    decode: DecodeSpec = field(default_factory=DecodeSpec)
    augment: LabelAugmentation = "mild"
    """Augmentation of training images. tf_slim: TensorFlow's for MobileNet. mild: the paper's,
    with few small crops. modern: crops, flips and RandAugment. small: shifts and flips, for images
    of about the input's size. none: no augmentation."""
    copy_bits: int = COPY_BITS
    """Training images that are similar to an evaluation image and were taken within one kilometre
    of it are left out. Images are similar if at most this many of the 64 bits of their perceptual
    hashes differ, 0 to 31; -1 disables the search."""
    gap_km: float = 0.0
    """Training images taken within this distance of an evaluation image, in km, are left out,
    whatever they show."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not -1 <= self.copy_bits < 32:
            raise InputError(f"--copy-bits {self.copy_bits} is not in -1..31")
        require_at_least(self, 0, "gap_km")


@dataclass(frozen=True)
class MakeCells:
    """Divide the globe into cells that hold similar numbers of images: many images, small cells.

    Writes cells.csv (class_label, hex_id, imgs_per_cell, latitude_mean, longitude_mean) and
    report.html with maps to --out, by default cells/. With several values of --split-above each
    coarser division has its own file, cells_0.csv and so on. train_geo.py --cells takes these
    files.
    """

    positions: Annotated[Path, tyro.conf.Positional]
    """CSV file with the columns LAT and LON (or latitude and longitude), or a folder of images
    with GPS tags."""
    partition: PartitionSpec = field(default_factory=PartitionSpec)
    common: Common = field(default_factory=Common)


PAPER_GEO = TrainGeo(
    preset="paper",
    partition=PartitionSpec(split_above=(10_000,), drop_below=50),
    loss=GeoLossSpec(labels="hard"),
    fit=replace(PAPER_CLS.fit, epochs=10, eval_every=1),
    decode=DecodeSpec(decoding="centre"),
)
"""Table 11: 11.4, 31.7, 45.2, 60.3, 79.3 % of Im2GPS within 1, 25, 200, 750, 2500 km.

``tools/train_geo.py --preset paper --data MP16 --val IM2GPS``; Im2GPS has 237 images. PlaNet's
partition and hard labels, the paper's optimiser. Weights are selected on about 5,000 images held
out of MP-16, never on the 237. The 91 million images of the paper were never published; MP-16's
4.7 million are the public stand-in. It has not been run to the end here: that takes days on a GPU.
"""

MODERN_GEO = TrainGeo(
    preset="modern",
    loss=GeoLossSpec(labels="soft"),
    fit=replace(MODERN.fit, epochs=20, eval_every=1),
)
"""Own images from scratch: soft labels, averaged weights, cosine schedule, local mean as the
answer."""

DEMO_GEO = replace(
    MODERN_GEO,
    preset="demo",
    model=ClassifierSpec(alpha=0.25, size=64),
    partition=PartitionSpec(split_above=(60,), drop_below=8),
    loss=GeoLossSpec(labels="soft", tau=150.0),
    fit=replace(MODERN.fit, epochs=30, batch_size=64, lr=4e-3, ema_decay=0.99, eval_every=10),
    augment="small",
    crop=1.0,
)
"""Built-in places, sized for two CPU cores: ``tools/train_geo.py``."""

FINETUNE_GEO = replace(
    MODERN_GEO, preset="finetune", fit=replace(FINETUNE_CLS.fit, epochs=10, eval_every=1)
)
"""Own images, starting from existing weights."""

GEO_PRESETS = Presets((PAPER_GEO, MODERN_GEO, DEMO_GEO, FINETUNE_GEO), with_data="modern")
