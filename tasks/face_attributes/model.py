"""The network of attributes: a classifier's body and head, with one sigmoid per attribute."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from backbone.flavour import Flavour
from tasks.body_network import LastLayerNetwork, Losses
from tasks.body_spec import ClassifierSpec
from tasks.distillation.losses import sigmoid_loss
from tasks.distillation.target_source import TeacherTargets
from tasks.face_attributes.losses import attribute_loss
from tasks.face_attributes.spec import AttributeLossSpec

# Largest factor by which balancing multiplies the weight of a rare answer.
_MOST = 20.0


class AttributeNet(LastLayerNetwork):
    """Body, one linear layer and a sigmoid for each attribute.

    Attributes:
        thresholds: (A,) probability from which the answer is yes; stored with the weights.
    """

    objective = AttributeLossSpec
    loss: AttributeLossSpec
    thresholds: Tensor
    yes_weight: Tensor
    no_weight: Tensor

    def __init__(
        self,
        spec: ClassifierSpec,
        num_attributes: int,
        flavour: Flavour | None = None,
        loss: AttributeLossSpec | None = None,
    ) -> None:
        super().__init__(spec, num_attributes, flavour, loss)
        self.register_buffer("thresholds", torch.full((num_attributes,), 0.5))
        for name in ("yes_weight", "no_weight"):  # Of the training alone.
            self.register_buffer(name, torch.ones(num_attributes), persistent=False)

    def weigh(self, names: Sequence[str], prevalence: Tensor) -> None:
        """Set the weight of each attribute in the loss.

        Args:
            names: Names of the attributes.
            prevalence: (A,) share of the training images with each, NaN where nothing is known.

        Raises:
            InputError: If a weight's attribute is unknown.
        """
        weights = torch.tensor(self.loss.weights_of(names))
        yes, no = torch.ones_like(weights), torch.ones_like(weights)
        if self.loss.balance:
            share = torch.nan_to_num(prevalence.float(), 0.5)
            yes, no = (0.5 / side.clamp(min=0.5 / _MOST) for side in (share, 1 - share))
        self.yes_weight.copy_(yes * weights)
        self.no_weight.copy_(no * weights)

    def losses(self, images: Tensor, targets: Tensor, taught: TeacherTargets | None) -> Losses:
        """Losses for targets (B, A): 1 yes, 0 no, -1 unknown."""
        logits = self.raw(images).float()
        gamma = self.loss.focal_gamma
        loss = attribute_loss(logits, targets, self.yes_weight, self.no_weight, gamma)
        losses = {"attributes": loss}
        return losses if taught is None else taught.join(losses, images, logits, sigmoid_loss)
