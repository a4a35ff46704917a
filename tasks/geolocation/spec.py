"""The options of geolocation. It imports nothing slow: --help is built from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from datasets.errors import InputError
from tasks.flag_values import require_above_0, require_at_least, require_within

TASK = "geolocation"
USE_NOTE = (
    "Locating images of people, their homes or their children without their consent is misuse of "
    "this model."
)
Labels = Literal["hard", "soft"]
Decoding = Literal["local", "mean", "centre"]


@dataclass(frozen=True)
class PartitionSpec:
    """How the globe is divided into cells, if no list of cells is given."""

    split_above: tuple[int, ...] = ()
    """A cell with more images than this is split into four (t1; PlaNet uses 10000). Several
    falling numbers give the model one head per partition, from coarse to fine: 5000 2000 1000. By
    default a hundredth of all images, from 50 to 10000."""
    drop_below: int = 0
    """A cell with fewer images than this is dropped (t2; PlaNet uses 50), because it cannot be
    learnt. 0 means a twentieth of --split-above, from 5 to 50."""

    def __post_init__(self) -> None:
        """Refuse numbers that divide nothing. Raises InputError naming the flag and its value."""
        values = " ".join(map(str, self.split_above))
        if self.split_above and min(self.split_above) < 1:
            raise InputError(f"--split-above {values}: 1 or more each")
        if sorted(set(self.split_above), reverse=True) != list(self.split_above):
            raise InputError(f"--split-above {values}: the numbers must fall, coarse to fine")
        require_at_least(self, 0, "drop_below")
        if self.split_above and self.drop_below > min(self.split_above):
            raise InputError(
                f"--drop-below {self.drop_below} is above {min(self.split_above)}, the least of "
                "--split-above"
            )

    def resolve(self, count: int) -> tuple[tuple[int, ...], int]:
        """Both thresholds for a given number of images.

        Args:
            count: Number of images.

        Returns:
            The thresholds of --split-above, coarse to fine, and that of --drop-below, in images.
        """
        above = self.split_above or (min(max(count // 100, 50), 10_000),)
        return above, self.drop_below or min(max(min(above) // 20, 5), 50, min(above))


@dataclass(frozen=True)
class GeoLossSpec:
    """The training objective of a geolocator."""

    labels: Labels = "hard"
    """Target of each image. hard: only its own cell is correct, as in the paper. soft:
    neighbouring cells are correct in part, less the farther away their images are: exp(-(distance
    - least) / tau)."""
    tau: float = 75.0
    """For soft labels: distance in km beyond the nearest cell at which the target falls to 1/e."""
    dropout: float = 0.001
    """Dropout before the last layer: share of the features that are set to zero in training, from
    0 to below 1."""

    def __post_init__(self) -> None:
        """Refuse values that cannot train. Raises InputError naming the flag and its value."""
        require_above_0(self, "tau")
        require_within(self, "[0, 1)", "dropout")


@dataclass(frozen=True)
class DecodeSpec:
    """How cell probabilities become a position, and when to give no answer."""

    decoding: Decoding = "local"
    """How the answer is computed. centre: centre of the most likely cell. mean: mean position of
    that cell's images. local: mean of these positions over the most likely cells near it, weighted
    by their probabilities."""
    top_cells: int = 20
    """For local: largest number of cells that are averaged."""
    near_km: float = 300.0
    """For local: largest distance in km between an averaged cell and the most likely one. It also
    defines the confidence: the probability that the image was taken in a cell within this distance
    of the answer."""
    region: float = 0.9
    """Probability of the region that is reported beside the answer: the smallest set of cells that
    reaches it, between 0 and 1."""
    abstain: float = 0.0
    """Give no answer if the confidence is below this, 0 to 1; 0 always answers."""

    def __post_init__(self) -> None:
        """Refuse impossible numbers. Raises InputError naming the flag and its value."""
        if self.decoding not in get_args(Decoding):
            choices = ", ".join(get_args(Decoding))
            raise InputError(f"--decoding {self.decoding}: choose one of {choices}")
        require_at_least(self, 1, "top_cells")
        require_above_0(self, "near_km")
        require_within(self, "(0, 1)", "region")
        require_within(self, "[0, 1]", "abstain")
