"""Teachers of a geolocator: other geolocators that have its cells."""

from __future__ import annotations

from pathlib import Path

import torch

from backbone.layers import fold_batchnorm
from datasets.errors import InputError
from tasks.distillation.spec import DistillSpec
from tasks.distillation.teacher import Teacher
from tasks.geolocation.application import GEOLOCATION
from tasks.geolocation.atlas import Atlas, atlas_of
from tasks.geolocation.partition import Partition
from tasks.predictor import open_network


def open_geo_teacher(spec: DistillSpec, atlas: Atlas) -> Teacher:
    """The geolocator that ``spec.teacher`` names, with its outputs in the student's order.

    Cells are matched by token: each partition of the student's atlas must be contained in one of
    the teacher's, which may have more cells.

    Args:
        spec: Options of distillation.
        atlas: The student's partitions.

    Raises:
        InputError: If it is not a geolocator of this suite, or lacks a cell.
    """
    name = spec.teacher
    assert name is not None
    if not Path(name).exists():
        raise InputError(
            f"--teacher {name}: no such run folder or weights file; places are learnt from "
            "geolocators of this suite alone: others do not know the cells"
        )
    model, _ = open_network(Path(name), GEOLOCATION)
    known = atlas_of(model.cells)
    columns = [k for part in atlas.partitions for k in _columns(name, part, known)]
    return Teacher(
        name, fold_batchnorm(model), size=model.spec.size, columns=torch.tensor(columns)
    )


def _columns(name: str, partition: Partition, known: Atlas) -> list[int]:
    """The teacher's outputs for a partition's cells, all of one of its own partitions."""
    fewest, before = partition.tokens, 0
    for theirs in known.partitions:
        places = {token: before + k for k, token in enumerate(theirs.tokens)}
        before += len(theirs)
        lacking = [token for token in partition.tokens if token not in places]
        if not lacking:
            return [places[token] for token in partition.tokens]
        fewest = min(fewest, lacking, key=len)
    shown = ", ".join(fewest[:3]) + (", ..." if len(fewest) > 3 else "")
    raise InputError(
        f"--teacher {name}: is of another partition: it lacks {len(fewest)} of {len(partition)} "
        f"cells ({shown}); take its own by --cells and the cells.csv of its run folder (with "
        "several heads cells_0.csv and so on before it)"
    )
