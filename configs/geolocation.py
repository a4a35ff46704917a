"""Presets of the geolocators. Each docstring is its lab note: table, command, time, result."""

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
    """Train and evaluate a geolocator: from a photo to a place on Earth.

    Without --data it trains on built-in places. Everything it needs is in the run folder
    afterwards: weights with their card and cells, cells.csv, report.html with maps, checkpoint,
    metrics, configuration. It is --out, by default runs/<preset>/<time>. With --grid it is a
    folder of runs with one table. Do not locate photos of people without their consent.
    """

    preset: GeoPreset = "auto"
    """Recipe: auto is demo without --data, finetune with --weights, else modern."""
    data: Path | None = None
    """CSV list of photos with their positions (IMG_ID,AUTHOR,LAT,LON: MP-16, Im2GPS, YFCC4k;
    OSV-5M's), the photos below its folder; or a folder with such a list, or with one for each
    part; or a folder of photos with GPS tags."""
    val: Path | None = None
    """Data to evaluate on, in any of these forms, once, at the end: weights and temperature are
    then chosen on authors held out of --data (a fifth, or about 5000 photos), and the rest is
    trained on, or the rest of its part for training. By default --data's own part for it, or the
    photos of a fifth of its authors, which then choose the weights too."""
    weights: Path | None = None
    """Run folder or weights file to start from; its head comes too if the cells are the same."""
    resume: Path | None = None
    """Run folder to go on with after an interruption; its own configuration is used."""
    cells: tuple[Path, ...] = ()
    """Cells to use: a list of them (class_label, hex_id, imgs_per_cell, latitude_mean,
    longitude_mean), or several, coarse to fine; or positions to divide the globe by (CSV with
    LAT and LON, or a folder of photos with GPS tags). By default those of the training photos."""
    partition: PartitionSpec = field(default_factory=PartitionSpec)
    loss: GeoLossSpec = field(default_factory=GeoLossSpec)
    decode: DecodeSpec = field(default_factory=DecodeSpec)
    augment: LabelAugmentation = "mild"
    """tf_slim: TensorFlow's for MobileNet; mild: the paper's, few small crops; modern: crops,
    flip, RandAugment; small: for pictures of about the input's size; none."""
    copy_bits: int = COPY_BITS
    """Training photos that look like a photo to evaluate on (perceptual hashes of 64 bits that
    differ in this many or fewer) and were taken within a kilometre of it are left out; -1 does
    not look."""
    gap_km: float = 0.0
    """Training photos this near to a photo to evaluate on are left out, whatever they show."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not -1 <= self.copy_bits < 32:
            raise InputError(f"--copy-bits {self.copy_bits} is not in -1..31")
        require_at_least(self, 0, "gap_km")


@dataclass(frozen=True)
class MakeCells:
    """Divide the globe into cells by where photos were taken: many photos, small cells.

    Writes cells.csv (class_label, hex_id, imgs_per_cell, latitude_mean, longitude_mean; with
    several --split-above a file for each but the last, cells_0.csv and so on) and report.html with
    maps to --out, by default cells/. train_geo.py --cells takes the files.
    """

    positions: Annotated[Path, tyro.conf.Positional]
    """CSV with the columns LAT and LON (or latitude and longitude), or a folder of photos with
    GPS tags."""
    partition: PartitionSpec = field(default_factory=PartitionSpec)
    common: Common = field(default_factory=Common)


PAPER_GEO = TrainGeo(
    preset="paper",
    partition=PartitionSpec(split_above=(10_000,), drop_below=50),
    loss=GeoLossSpec(labels="hard"),
    fit=replace(PAPER_CLS.fit, epochs=10, eval_every=1),
    decode=DecodeSpec(decoding="centre"),
)
"""Table 11: 11.4, 31.7, 45.2, 60.3, 79.3 % of Im2GPS's 237 photos within 1, 25, 200, 750, 2500 km.

``tools/train_geo.py --preset paper --data MP16 --val IM2GPS``. PlaNet's partition and hard labels,
the paper's optimiser. Weights are chosen on about 5,000 photos held out of MP-16, never on the
237. The 91 million photos of the paper were never published; MP-16's 4.7 million are the public
stand-in. Not run to its end here: it takes days of a GPU.
"""

MODERN_GEO = TrainGeo(
    preset="modern",
    loss=GeoLossSpec(labels="soft"),
    fit=replace(MODERN.fit, epochs=20, eval_every=1),
)
"""Own photos from scratch: soft labels, averaged weights, cosine, the local mean as the answer."""

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
"""Own photos from existing weights."""

GEO_PRESETS = Presets((PAPER_GEO, MODERN_GEO, DEMO_GEO, FINETUNE_GEO), with_data="modern")
