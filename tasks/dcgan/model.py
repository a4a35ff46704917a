"""Generator and discriminator together, with the losses of their game."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.dcgan.augment import augment, mirror_some
from tasks.dcgan.networks import Discriminator, Generator
from tasks.dcgan.spec import GanLossSpec, GanSpec, Objective

# Of the tensors of the discriminator, which stays out of the weights file.
DISCRIMINATOR_PREFIX = "discriminator."
GENERATOR_PREFIX = "generator."


class Gan(nn.Module):
    """Both networks, and what each of them minimises."""

    networks: tuple[str, ...] = ()

    def __init__(self, spec: GanSpec, num_classes: int, loss: GanLossSpec) -> None:
        super().__init__()
        self.loss = loss
        self.generator = Generator(spec, num_classes)
        self.discriminator = Discriminator(spec, num_classes, normalised=loss.spectral_norm)

    def judge(
        self, photos: Tensor, fakes: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The discriminator's loss, and its logits for real and for generated pictures, (B,) each.

        Both are (B, 3, S, S) in -1..1, of the same classes (B,).
        """
        if self.loss.mirror:
            photos = mirror_some(photos)
        seen = augment(torch.cat((photos, fakes.detach())), self.loss.diff_augment)
        logits: Tensor = self.discriminator(seen, labels.repeat(2))
        real, fake = logits.chunk(2)
        return discriminator_loss(real, fake, self.loss.objective), real, fake

    def persuade(self, fakes: Tensor, labels: Tensor) -> Tensor:
        """The generator's loss for its pictures (B, 3, S, S) of classes (B,)."""
        logits = self.discriminator(augment(fakes, self.loss.diff_augment), labels)
        return generator_loss(logits, self.loss.objective)

    def slope_penalty(self, photos: Tensor, labels: Tensor) -> Tensor:
        """R1 for one of ``r1_every`` steps (arXiv 1801.04406, equation 9).

        It is r1 / 2 times the mean squared gradient at real photos (B, 3, S, S) in -1..1, as the
        discriminator sees them, times the steps that it stands for.
        """
        seen = augment(photos, self.loss.diff_augment).detach().requires_grad_()
        with torch.autocast(seen.device.type, enabled=False):
            logits = self.discriminator(seen.float(), labels)
            (slope,) = torch.autograd.grad(logits.sum(), seen, create_graph=True)
        squared = slope.square().sum(dim=(1, 2, 3)).mean()
        return squared * (self.loss.r1 / 2 * self.loss.r1_every)


def discriminator_loss(real: Tensor, fake: Tensor, objective: Objective) -> Tensor:
    """Mean loss for logits (B,) of real and of generated pictures."""
    if objective == "hinge":
        return (1 - real).relu().mean() + (1 + fake).relu().mean()
    return functional.softplus(-real).mean() + functional.softplus(fake).mean()


def generator_loss(fake: Tensor, objective: Objective) -> Tensor:
    """Mean loss for logits (B,) of generated pictures."""
    return -fake.mean() if objective == "hinge" else functional.softplus(-fake).mean()


def undecided_loss(objective: Objective) -> float:
    """The discriminator's loss when it cannot tell real from generated: all logits are 0."""
    zero = torch.zeros(1)
    return float(discriminator_loss(zero, zero, objective))
