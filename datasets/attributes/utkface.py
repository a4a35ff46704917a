"""UTKFace: file names contain age, gender and ethnicity, ``26_1_0_20170116184024662.jpg``.

These are estimates that other people made by looking at the images. Ages are read as groups, each
of which is an attribute.
"""

from __future__ import annotations

import os
import re
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.attributes.structure import AttributeData, name_attributes
from datasets.images import is_picture, pictures_below, walk_files

# Age, gender (0 male, 1 female), ethnicity (0 to 4), time; cropped images end in .chip.
_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_\d{8,}(\.jpg)?(\.chip)?", re.ASCII)
_ETHNICITIES = ("White", "Black", "Asian", "Indian", "Other_Ethnicity")
# First age of each group, and its name.
_AGES = (0, 3, 10, 20, 30, 40, 50, 60, 70)
_GROUPS = (
    *(f"Age_{low}_to_{high - 1}" for low, high in pairwise(_AGES)),
    "Age_70_or_More",
)
# Number of names to look at, most of which must match.
_LOOKED_AT = 100


def holds(path: Path) -> bool:
    """Whether most of the first images below a folder have such names."""
    found = (name for _, files in walk_files(path) for name in files if is_picture(name))
    first = list(islice(found, _LOOKED_AT)) if path.is_dir() else []
    return 2 * sum(_parse(name) is not None for name in first) > len(first)


def read(path: Path) -> tuple[AttributeData, NDArray[np.int64] | None] | None:
    """The data set, which has no parts; None if the images do not have such names.

    Images whose names do not match, such as those that lack the ethnicity, are left out.
    """
    if not holds(path):
        return None
    told = {file: _parse(os.path.basename(file)) for file in pictures_below(path)}  # noqa: PTH119
    known = {file: row for file, row in told.items() if row is not None}
    names = ("Male", *_ETHNICITIES, *_GROUPS)
    values = np.zeros((len(known), len(names)), np.int8)
    for row, (age, gender, ethnicity) in zip(values, known.values(), strict=True):
        row[0] = gender == 0
        row[1 + ethnicity] = 1
        row[1 + len(_ETHNICITIES) + int(np.searchsorted(_AGES, age, side="right")) - 1] = 1
    data = AttributeData(
        format="utkface",
        root=path,
        files=np.array(list(known), dtype=np.str_),
        values=values,
        attributes=name_attributes(names, path),
    )
    return data, None


def misnamed(path: Path) -> list[str]:
    """The images below a folder whose names do not match, for the data doctor."""
    return [one for one in pictures_below(path) if _parse(os.path.basename(one)) is None]  # noqa: PTH119


def _parse(name: str) -> tuple[int, int, int] | None:
    """Age in years, gender and ethnicity in a name."""
    found = _NAME.fullmatch(name.rpartition(".")[0])
    return (int(found[1]), int(found[2]), int(found[3])) if found else None
