"""Generator and discriminator, with their losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.dcgan.networks import Discriminator, Generator
from tasks.dcgan.spec import GanLossSpec, GanSpec, Objective, Policy

# Prefix of the discriminator's tensors, which are not in the weights file.
DISCRIMINATOR_PREFIX = "discriminator."
GENERATOR_PREFIX = "generator."
_SHIFT = 1 / 8  # Of the side, each way.
_HOLE = 1 / 2  # Of the side.


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
        """The discriminator's loss, and its logits for real and for generated images, (B,) each.

        Args:
            photos: Real images (B, 3, S, S) in -1..1.
            fakes: Generated images (B, 3, S, S) in -1..1.
            labels: (B,) classes of both.
        """
        if self.loss.mirror:
            photos = mirror_some(photos)
        seen = augment(torch.cat((photos, fakes.detach())), self.loss.diff_augment)
        logits: Tensor = self.discriminator(seen, labels.repeat(2))
        real, fake = logits.chunk(2)
        return discriminator_loss(real, fake, self.loss.objective), real, fake

    def persuade(self, fakes: Tensor, labels: Tensor) -> Tensor:
        """The generator's loss for its images (B, 3, S, S) of classes (B,)."""
        logits = self.discriminator(augment(fakes, self.loss.diff_augment), labels)
        return generator_loss(logits, self.loss.objective)

    def slope_penalty(self, photos: Tensor, labels: Tensor) -> Tensor:
        """R1 penalty for one of ``r1_every`` steps (arXiv 1801.04406, equation 9).

        It is r1 / 2 times the mean squared gradient at real images (B, 3, S, S) in -1..1, as the
        discriminator sees them, times the number of steps that it stands for.
        """
        seen = augment(photos, self.loss.diff_augment).detach().requires_grad_()
        with torch.autocast(seen.device.type, enabled=False):
            logits = self.discriminator(seen.float(), labels)
            (slope,) = torch.autograd.grad(logits.sum(), seen, create_graph=True)
        squared = slope.square().sum(dim=(1, 2, 3)).mean()
        return squared * (self.loss.r1 / 2 * self.loss.r1_every)


def discriminator_loss(real: Tensor, fake: Tensor, objective: Objective) -> Tensor:
    """Mean loss for logits (B,) of real and of generated images."""
    if objective == "hinge":
        return (1 - real).relu().mean() + (1 + fake).relu().mean()
    return functional.softplus(-real).mean() + functional.softplus(fake).mean()


def generator_loss(fake: Tensor, objective: Objective) -> Tensor:
    """Mean loss for logits (B,) of generated images."""
    return -fake.mean() if objective == "hinge" else functional.softplus(-fake).mean()


def undecided_loss(objective: Objective) -> float:
    """The discriminator's loss when it cannot decide: all logits are 0."""
    zero = torch.zeros(1)
    return float(discriminator_loss(zero, zero, objective))


def augment(pictures: Tensor, policies: Sequence[Policy]) -> Tensor:
    """Change images (B, 3, S, S) in -1..1 at random: colours, position, and a hole in each.

    Differentiable augmentation (Zhao et al., arXiv 2006.10738) lets a GAN learn from little data.
    Real and generated images are changed alike, in the steps of discriminator and generator; so
    the changes do not appear in generated images, and gradients pass through them.
    """
    if "colour" in policies:
        pictures = _colour(pictures)
    if "translation" in policies:
        pictures = _translate(pictures)
    if "cutout" in policies:
        pictures = _cut_out(pictures)
    return pictures


def mirror_some(pictures: Tensor) -> Tensor:
    """Mirror a random half of the images (B, 3, S, S)."""
    chosen = torch.rand(len(pictures), 1, 1, 1, device=pictures.device) < 0.5
    return torch.where(chosen, pictures.flip(3), pictures)


def _colour(pictures: Tensor) -> Tensor:
    """Brightness +-.5, saturation times 0..2, contrast times .5..1.5."""
    draws = torch.rand(3, len(pictures), 1, 1, 1, device=pictures.device)
    pictures = pictures + (draws[0] - 0.5)
    grey = pictures.mean(dim=1, keepdim=True)
    pictures = (pictures - grey) * (2 * draws[1]) + grey
    mean = pictures.mean(dim=(1, 2, 3), keepdim=True)
    return (pictures - mean) * (draws[2] + 0.5) + mean


def _translate(pictures: Tensor) -> Tensor:
    """Shift by whole pixels, an eighth of the side at most; the uncovered part is zero."""
    count, _, height, width = pictures.shape
    limit = max(1, round(height * _SHIFT))
    shifts = torch.randint(-limit, limit + 1, (2, count, 1), device=pictures.device)
    # Row 0 of the padded image, and its last, are zero: everything outside is read from there.
    rows = (torch.arange(height, device=pictures.device) + shifts[0] + 1).clamp(0, height + 1)
    columns = (torch.arange(width, device=pictures.device) + shifts[1] + 1).clamp(0, width + 1)
    padded = functional.pad(pictures, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    which = torch.arange(count, device=pictures.device)[:, None, None]
    return padded[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cut_out(pictures: Tensor) -> Tensor:
    """Set a square of half the side to zero, anywhere, also across the edge."""
    count, _, height, width = pictures.shape
    side = round(height * _HOLE)
    centres = torch.randint(0, height + 1, (2, count, 1), device=pictures.device)
    inside = [
        ((torch.arange(length, device=pictures.device) - centre + 0.5).abs() * 2) < side
        for length, centre in ((height, centres[0]), (width, centres[1]))
    ]
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return pictures * (~hole).to(pictures.dtype)
