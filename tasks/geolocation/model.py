"""The geolocator: a classifier whose outputs are the cells of one or several partitions."""

from __future__ import annotations

from functools import partial
from typing import TypedDict

import torch
from torch import Tensor
from torch.nn import functional

from backbone.flavour import Flavour
from tasks.body_network import LastLayerNetwork, Losses
from tasks.body_spec import ClassifierSpec
from tasks.distillation.losses import cells_loss
from tasks.distillation.target_source import TeacherTargets
from tasks.geolocation.atlas import Atlas
from tasks.geolocation.losses import hard_loss, soft_loss
from tasks.geolocation.spec import GeoLossSpec


class GeoTargets(TypedDict):
    """Positions of B images."""

    columns: Tensor  # (B, partitions) int64 cell in each partition, -1 for none
    units: Tensor  # (B, 3) float32 vectors of length one


class Geolocator(LastLayerNetwork):
    """Body, one linear layer with the outputs for all partitions, and the loss of each.

    Args:
        spec: Architecture.
        atlas: Partitions, coarse to fine.
        flavour: Flavour of the body.
        loss: Training objective.

    Attributes:
        cells: The atlas as a tensor, which is stored with the weights.
    """

    objective = GeoLossSpec
    loss: GeoLossSpec
    cells: Tensor

    def __init__(
        self,
        spec: ClassifierSpec,
        atlas: Atlas,
        flavour: Flavour | None = None,
        loss: GeoLossSpec | None = None,
    ) -> None:
        super().__init__(spec, sum(atlas.sizes), flavour, loss)
        self.sizes = atlas.sizes
        self.register_buffer("cells", atlas.to_tensor())
        for level, partition in enumerate(atlas.partitions):
            # Not stored in files: all of them follow from the cells.
            units = torch.from_numpy(partition.units).float()
            self.register_buffer(f"units{level}", units, persistent=False)
            above = torch.from_numpy(atlas.ancestors[level])
            self.register_buffer(f"above{level}", above, persistent=False)

    def losses(self, images: Tensor, targets: GeoTargets, taught: TeacherTargets | None) -> Losses:
        """The loss of each partition; a teacher has the same cells."""
        logits = self.raw(images).float()
        heads = torch.split(logits, self.sizes, dim=1)
        count = len(heads)
        losses = {}
        for level, (head, columns) in enumerate(zip(heads, targets["columns"].T, strict=True)):
            name = "cells" if count == 1 else f"cells{level}"
            losses[name] = self._loss(level, head, columns, targets["units"]) / count
        if taught is None:
            return losses
        compare = partial(cells_loss, sizes=self.sizes, temperature=taught.spec.temperature)
        return taught.join(losses, images, logits, compare)

    def combine(self, logits: Tensor) -> Tensor:
        """One logit for each cell of the finest partition: (B, cells), float32.

        With several heads, each cell's log probability and those of the coarser cells around it
        are added (Mueller-Budack et al., ECCV 2018).

        Args:
            logits: (B, cells of all partitions).
        """
        heads = torch.split(logits, self.sizes, dim=1)
        if len(heads) == 1:
            return heads[0]
        logs = [functional.log_softmax(head, dim=1) for head in heads]
        above = [self.get_buffer(f"above{level}") for level in range(len(logs))]
        fine = [log.index_select(1, k) for log, k in zip(logs, above, strict=True)]
        return torch.stack(fine).sum(dim=0)

    def _loss(self, level: int, logits: Tensor, columns: Tensor, units: Tensor) -> Tensor:
        if self.loss.labels == "hard":
            return hard_loss(logits, columns)
        centres = self.get_buffer(f"units{level}")
        return soft_loss(logits, columns, units, centres, self.loss.tau)
