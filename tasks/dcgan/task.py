"""Training and evaluation steps of a GAN: two optimisers by hand, and a check of the training.

If one network wins for good, the training stops and states why.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import PIL.Image
import PIL.ImageDraw
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tasks.dcgan.model import Gan, undecided_loss
from tasks.dcgan.networks import from_bytes
from tasks.dcgan.sampling import draw_some, generate
from tasks.dcgan.scores import Judge
from tasks.dcgan.spec import GanFitSpec
from tasks.fitting.base import Task
from tasks.reporting.pictures import GROUND, TEXT, Image, font, shorten
from tasks.weights.atomic_write import replacing

ROWS, COLUMNS = 12, 10
_LEAST_SIDE, _GAP, _MARGIN, _FONT = 64, 2, 150, 13
_NAME = 20
SAMPLES_FOLDER = "samples"
# Number of steps whose mean is one point of the curves; Lightning writes logged values then.
WINDOW = 10
# Share of the loss of a discriminator that cannot decide: below it, nothing more is learnt.
_SATURATED = 0.05
# Share of the real images' variety: below it, the images of a class are all alike.
_COLLAPSED = 0.05


class GanTask(Task):
    """Trains generator and discriminator in turn; the scorer scores images during the training.

    Sample sheets of the classes, by their names, go to ``samples/`` in the folder of the run.

    Attributes:
        stopped: Why the training stopped before its end; empty if it did not.
    """

    model: Gan
    monitor = "minus_frechet"

    def __init__(
        self,
        model: Gan,
        fit: GanFitSpec,
        seed: int,
        *,
        names: Sequence[str],
        judge: Judge,
        folder: Path,
    ) -> None:
        super().__init__(model, fit.engine(), seed)
        self.automatic_optimization = False
        self._fit, self._names, self._judge, self._folder = fit, names, judge, folder
        self._watch = Watch(fit.patience, undecided_loss(model.loss.objective))
        self._sums, self._counted = torch.zeros(4, dtype=torch.float64), 0
        self._features: list[NDArray[np.float32]] = []
        self.stopped = ""

    def configure_optimizers(self) -> Any:
        """An Adam for each network, at its own rate."""
        betas, spec = (self._fit.beta1, self._fit.beta2), self._fit
        return [
            torch.optim.Adam(self.model.generator.parameters(), spec.lr_generator, betas),
            torch.optim.Adam(self.model.discriminator.parameters(), spec.lr_discriminator, betas),
        ]

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Give images the memory layout of the networks; an evaluation has no images."""
        return super().on_after_batch_transfer(batch, dataloader_idx) if self.training else batch

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """A step of the discriminator, then one of the generator on the same images.

        Raises FloatingPointError if a loss is not a number.
        """
        gan, labels = self.model, batch["targets"]
        # The second optimiser is used without its wrapper: Lightning would count its steps as
        # steps of the run.
        generators = cast("Any", self.optimizers())[0]
        discriminators = cast("Any", self.optimizers(use_pl_optimizer=False))[1]
        photos = from_bytes(batch["images"])
        latents = torch.randn(len(labels), gan.generator.spec.latent, device=photos.device)
        fakes = gan.generator(latents, labels)

        gan.discriminator.requires_grad_(True)
        loss_d, real, fake = gan.judge(photos, fakes, labels)
        total = loss_d
        if gan.loss.r1 and self.global_step % gan.loss.r1_every == 0:
            total = loss_d + gan.slope_penalty(photos, labels)
        discriminators.zero_grad(set_to_none=True)
        self.manual_backward(total)
        discriminators.step()

        gan.discriminator.requires_grad_(False)
        loss_g = gan.persuade(fakes, labels)
        generators.zero_grad(set_to_none=True)
        self.manual_backward(loss_g)
        generators.step()
        gan.discriminator.requires_grad_(True)

        if not (total.isfinite() and loss_g.isfinite()):
            raise FloatingPointError(
                f"a loss is not a number any more at step {self.global_step} (discriminator "
                f"{total.item():g}, generator {loss_g.item():g}); lower --lr-discriminator and "
                "--lr-generator, or take --precision fp32"
            )
        values = torch.stack((real.sigmoid().mean(), fake.sigmoid().mean(), loss_d, loss_g))
        self._sums += values.detach().double().cpu()
        self._counted += 1
        if self.global_step % WINDOW == 0:
            self._close_window(fakes, photos, labels)
        return loss_g.detach()

    def _close_window(self, fakes: Tensor, photos: Tensor, labels: Tensor) -> None:
        """Log the means of the last steps, and stop if one network has won."""
        differ = variety(fakes, photos, labels, self.model.generator.num_classes)
        window = Window._make([*(self._sums / self._counted).tolist(), float(differ)])
        steps, self._counted = self._counted, 0
        self._sums.zero_()
        named = {**window._asdict(), "loss": window.loss_d}
        for name, value in named.items():
            self.log(name, value, prog_bar=name == "loss", batch_size=len(labels), sync_dist=True)
        why = self._watch.look(window, steps)
        if why:
            self.stopped = f"stopped at step {self.global_step} of {self.total_steps}: {why}"
            self.trainer.should_stop = True
            self.trainer.check_val_every_n_epoch = 1  # What there is is looked at once more.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the open window and the state of the check."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["window"] = {"sums": self._sums.clone(), "counted": self._counted}
        checkpoint["watch"] = self._watch.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore both."""
        super().on_load_checkpoint(checkpoint)
        self._sums = checkpoint["window"]["sums"].clone()
        self._counted = checkpoint["window"]["counted"]
        self._watch.load_state_dict(checkpoint["watch"])

    def on_validation_epoch_start(self) -> None:
        """Draw the sheet of this step: always the same random numbers, by the averaged weights."""
        self._features = []
        columns = shown_classes(len(self._names))
        labels = columns.repeat(COLUMNS)
        made = generate(self.model.generator, labels, self.seed, str(self.device))
        rows = made.reshape(len(columns), COLUMNS, *made.shape[1:])
        file = self._folder / SAMPLES_FOLDER / f"step-{self.global_step:06d}.png"
        save_png(file, draw_sheet(rows, [self._names[column] for column in columns]))

    def validation_step(self, batch: dict[str, NDArray[np.int64]], batch_idx: int) -> None:
        """Generate the images that a batch names, and collect their features."""
        labels, numbers = batch["labels"], batch["numbers"]
        made = draw_some(self.model.generator, labels, numbers, self.seed, self.device)
        self._features.append(self._judge.net(made))

    def on_validation_epoch_end(self) -> None:
        """Score the generated images, and log the scores."""
        figures = self._judge.score(np.concatenate(self._features))
        self._features = []
        self.log_dict({**figures, self.monitor: -figures["frechet"]})


def shown_classes(num_classes: int) -> NDArray[np.int64]:
    """(R,) columns of the classes on a sheet: all, or an even selection."""
    count = min(num_classes, ROWS)
    return np.linspace(0, num_classes - 1, count).round().astype(np.int64)


def draw_sheet(pictures: Image, names: Sequence[str]) -> Image:
    """A sheet, (H, W, 3) RGB, of images (R, C, S, S, 3), a row for each of the R names.

    Small images are enlarged, pixel by pixel.
    """
    grow = max(1, _LEAST_SIDE // pictures.shape[2])
    tiles = pictures.repeat(grow, axis=2).repeat(grow, axis=3)
    step = tiles.shape[2] + _GAP
    rows, columns = tiles.shape[:2]
    canvas = PIL.Image.new("RGB", (_MARGIN + columns * step, rows * step + _GAP), GROUND)
    draw = PIL.ImageDraw.Draw(canvas)
    for row, name in enumerate(names):
        top = row * step + _GAP
        place = _GAP * 3, top + step // 2
        draw.text(place, shorten(name, _NAME), TEXT, font(_FONT), anchor="lm")
        for column in range(columns):
            tile = PIL.Image.fromarray(tiles[row, column])
            canvas.paste(tile, (_MARGIN + column * step, top))
    return np.array(canvas)


def save_png(path: Path, picture: Image) -> None:
    """Write (H, W, 3) RGB atomically. Raises OSError if it cannot be written."""
    data = io.BytesIO()
    PIL.Image.fromarray(picture).save(data, "PNG")
    with replacing(path) as temporary:
        temporary.write_bytes(data.getvalue())


class Window(NamedTuple):
    """Means over some steps.

    Attributes:
        d_real: The discriminator's probability that real images are real, 0..1.
        d_fake: The discriminator's probability that generated images are real, 0..1.
        loss_d: The discriminator's loss, without R1.
        loss_g: The generator's loss.
        variety: Variation of generated images of one class, relative to that of real images.
    """

    d_real: float
    d_fake: float
    loss_d: float
    loss_g: float
    variety: float


class Watch:
    """Counts for how many steps one network has been winning; a patience of 0 never stops.

    ``undecided`` is the discriminator's loss when it cannot distinguish the images.
    """

    def __init__(self, patience: int, undecided: float) -> None:
        self.patience, self.undecided = patience, undecided
        self.saturated = self.collapsed = 0

    def look(self, window: Window, steps: int) -> str:
        """Take note of a window; returns why to stop, or an empty text."""
        sure = window.loss_d < _SATURATED * self.undecided
        self.saturated = self.saturated + steps if sure else 0
        alike = window.variety < _COLLAPSED
        self.collapsed = self.collapsed + steps if alike else 0
        if self.patience and self.saturated >= self.patience:
            return (
                f"the discriminator is saturated: for {self.saturated} steps its loss has been "
                f"under {_SATURATED:.0%} of that of guessing ({window.loss_d:.3f} of "
                f"{self.undecided:.3f}; D(real) {window.d_real:.3f}, D(fake) "
                f"{window.d_fake:.3f}), and the generator learns nothing from it. Lower "
                "--lr-discriminator, keep --spectral-norm, add --r1 1, or give --diff-augment all "
                "three"
            )
        if self.patience and self.collapsed >= self.patience:
            return (
                f"the generator has collapsed: for {self.collapsed} steps its images of one "
                f"class have differed {window.variety:.1%} as much as images do. Lower "
                "--lr-generator, or raise --batch-size"
            )
        return ""

    def state_dict(self) -> dict[str, int]:
        """What a checkpoint stores."""
        return {"saturated": self.saturated, "collapsed": self.collapsed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore the counts."""
        self.saturated, self.collapsed = state["saturated"], state["collapsed"]


def variety(fakes: Tensor, photos: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Variation of images of one class, relative to that of real images: about 0..1.

    It is the ratio of the root mean squared distances from the class's mean image; 1 if no class
    has two images, so that nothing can be computed. Both sets are (B, 3, S, S), labels (B,).
    """
    shares = functional.one_hot(labels, num_classes).float()
    counts = shares.sum(dim=0)
    if int(counts.max()) < 2:
        return torch.ones(())

    def spread(pictures: Tensor) -> Tensor:
        flat = pictures.detach().float().flatten(1)
        means = (shares.T @ flat) / counts.clamp(min=1)[:, None]
        return (flat - means[labels]).square().mean().sqrt()

    return spread(fakes) / spread(photos).clamp(min=1e-6)
