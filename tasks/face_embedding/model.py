"""The embedding network: images of faces in, vectors of length one out, on any body."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from backbone.flavour import Flavour
from tasks.body_network import LastLayerNetwork, Losses
from tasks.distillation.losses import embedding_loss
from tasks.distillation.target_source import TeacherTargets
from tasks.face_embedding.losses import MarginHead, triplet_loss
from tasks.face_embedding.spec import EmbedderSpec, EmbedLossSpec


class FaceEmbedder(LastLayerNetwork):
    """Normalisation, body, a linear layer, and losses.

    Args:
        spec: Architecture.
        flavour: Conventions; None means the body's default. The input size is replaced by the
            spec's.
        loss: Training objective.
        num_identities: Number of identities in the training set if the margin loss learns from
            them; otherwise, and after training, 0.
    """

    objective = EmbedLossSpec
    loss: EmbedLossSpec

    def __init__(
        self,
        spec: EmbedderSpec,
        flavour: Flavour | None = None,
        loss: EmbedLossSpec | None = None,
        num_identities: int = 0,
    ) -> None:
        super().__init__(spec, spec.dim, flavour, loss)
        self.margin_head: MarginHead | None = None
        if num_identities and self.loss.objective == "margin":
            margin, scale = self.loss.chosen_margin, self.loss.scale
            self.margin_head = MarginHead(spec.dim, num_identities, margin=margin, scale=scale)

    def answers(self, raw: Tensor) -> Tensor:
        """Embeddings (B, dim) float32 of length one."""
        return unit(raw)

    def losses(self, images: Tensor, targets: Tensor, taught: TeacherTargets | None) -> Losses:
        """Losses for the identity (B,) int64 of each image, from 0.

        A teacher's embeddings are scaled to length one.
        """
        embeddings = unit(self.raw(images))
        share = 0.0 if taught is None else taught.spec.distill_weight
        theirs = None if taught is None else unit(taught.answers(images))
        losses: Losses = {}
        # In bfloat16 the cosines of two images of a person could not be distinguished.
        with torch.autocast(images.device.type, enabled=False):
            if theirs is not None:
                losses["teacher"] = share * embedding_loss(embeddings, theirs)
            if share < 1:
                losses[self.loss.objective] = (1 - share) * self._own_loss(embeddings, targets)
        return losses

    def _own_loss(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        if self.loss.objective == "triplet":
            return triplet_loss(embeddings, targets, self.loss.chosen_margin)
        assert self.margin_head is not None, "the margin loss needs the number of identities"
        loss: Tensor = self.margin_head(embeddings, targets)
        return loss


def unit(vectors: Tensor) -> Tensor:
    """Vectors (B, D) scaled to length one, in float32."""
    return functional.normalize(vectors.float(), dim=1)
