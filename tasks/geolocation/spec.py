"""What a geolocator learns and answers. Nothing heavy is imported: help is built from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from datasets.errors import InputError
from tasks.flag_values import require_above_0, require_at_least, require_within

TASK = "geolocation"
USE_NOTE = (
    "Locating photos of people, their homes or their children without their consent is misuse of "
    "this model."
)
Labels = Literal["hard", "soft"]
Decoding = Literal["local", "mean", "centre"]


@dataclass(frozen=True)
class PartitionSpec:
    """How the globe is divided, if no list of cells is given."""

    split_above: tuple[int, ...] = ()
    """Photos above which a cell is split in four (t1; PlaNet's is 10000). Several numbers,
    falling, give the model a head for each partition, coarse to fine: 5000 2000 1000. By default a
    hundredth of all photos, from 50 to 10000."""
    drop_below: int = 0
    """Photos below which a cell is dropped (t2; PlaNet's is 50): nobody can learn it. 0 takes a
    twentieth of --split-above, from 5 to 50."""

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
        """Both thresholds for so many photos."""
        above = self.split_above or (min(max(count // 100, 50), 10_000),)
        return above, self.drop_below or min(max(min(above) // 20, 5), 50, min(above))


@dataclass(frozen=True)
class GeoLossSpec:
    """The training objective."""

    labels: Labels = "hard"
    """hard: the cell of the photo alone is right, as in the paper. soft: so are its neighbours,
    the less the farther their photos lie: exp(-(distance - least) / tau)."""
    tau: float = 75.0
    """Of soft labels, in km: with the distance beyond the nearest cell a label falls to 1/e."""
    dropout: float = 0.001
    """Share of the features that are dropped before the last layer in training."""

    def __post_init__(self) -> None:
        """Refuse what teaches nothing. Raises InputError naming the flag and its value."""
        require_above_0(self, "tau")
        require_within(self, "[0, 1)", "dropout")


@dataclass(frozen=True)
class DecodeSpec:
    """From probabilities of cells to a position, and whether to answer at all."""

    decoding: Decoding = "local"
    """The answer: the centre of the most likely cell; the mean position of its photos; or local:
    the mean of these of the most likely cells around it, weighted by their probabilities."""
    top_cells: int = 20
    """Of local: how many cells count, if they are near enough."""
    near_km: float = 300.0
    """Of local: how far from the most likely cell they may lie. It is also what confidence means:
    the probability that the photo was taken in a cell this near to the answer."""
    region: float = 0.9
    """The region that is told beside the answer is the smallest set of cells with this
    probability."""
    abstain: float = 0.0
    """Give no answer where the confidence is below this."""

    def __post_init__(self) -> None:
        """Refuse impossible numbers. Raises InputError naming the flag and its value."""
        if self.decoding not in get_args(Decoding):
            choices = ", ".join(get_args(Decoding))
            raise InputError(f"--decoding {self.decoding}: choose one of {choices}")
        require_at_least(self, 1, "top_cells")
        require_above_0(self, "near_km")
        require_within(self, "(0, 1)", "region")
        require_within(self, "[0, 1]", "abstain")
