"""The searches for a learning rate and a batch size, on a network of a few numbers."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from datasets.errors import InputError
from tasks.fitting.base import Task
from tasks.fitting.spec import FitSpec
from tasks.fitting.tuning import (
    bytes_per_image,
    diverging_rate,
    find_batch_size,
    find_rate,
    raw_losses,
)


class Product(nn.Module):
    """A line, whose loss diverges at rates above one over its inputs' mean square."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(64, 1)

    def forward(self, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        if len(images) > 32:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return {"all": (self.body(images.flatten(1)) - targets).square().mean()}


class ProductTask(Task):
    """Has no metric."""

    monitor = None

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Nothing is measured."""


class Loader:
    """Batches of a size."""

    def __init__(self, size: int) -> None:
        self.batch_size = size
        self.images = torch.randn(size, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return 5

    def __iter__(self) -> Any:
        for _ in range(5):
            targets = torch.ones(self.batch_size, 1)
            yield {"images": self.images, "targets": targets, "files": ["a"] * self.batch_size}


def task() -> ProductTask:
    torch.manual_seed(0)
    spec = FitSpec(epochs=1, momentum=0.0, clip_norm=0.0, precision="fp32")
    return ProductTask(Product(), spec, seed=0)


@pytest.mark.slow
def test_the_rate_is_below_where_it_diverges() -> None:
    """Two over the largest curvature: twice the largest eigenvalue of the mean square."""
    loader = Loader(16)
    rows = np.c_[loader.images.flatten(1).numpy(), np.ones(16)]
    limit = 1 / np.linalg.eigvalsh(rows.T @ rows / 16).max()
    found = find_rate(task(), loader, "cpu")
    assert limit / 30 < found.found < limit
    assert len(found.rates) == len(found.losses)


@pytest.mark.slow
@pytest.mark.parametrize("last", [60, 0])
def test_a_loss_that_is_no_number_ends_the_test(
    monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    inner = ProductTask.losses

    def broken(self: ProductTask, batch: Any) -> dict[str, Tensor]:
        factor = 1.0 if self.global_step < last else float("nan")
        return {name: loss * factor for name, loss in inner(self, batch).items()}

    monkeypatch.setattr(ProductTask, "losses", broken)
    if last:
        assert len(find_rate(task(), Loader(16), "cpu").losses) == last
    else:
        with pytest.raises(InputError, match="--find-lr: the loss is no number"):
            find_rate(task(), Loader(16), "cpu")


def test_lightnings_mean_is_undone() -> None:
    raw, means, total = [2.0, 3.0, 1.0, 5.0], [], 0.0
    for k, loss in enumerate(raw):
        total = 0.98 * total + 0.02 * loss
        means.append(total / (1 - 0.98 ** (k + 2)))
    assert raw_losses([*means, float("nan"), 1.0]) == pytest.approx(raw)


def test_a_loss_that_rises_by_a_tenth_diverges() -> None:
    assert diverging_rate([1, 2, 3, 4], [2.0, 1.0, 1.05, 1.2]) == 4
    assert diverging_rate([1, 2, 3], [2.0, 1.0, 1.05]) == 3
    assert diverging_rate([1, 2, 3, 4, 5], [1.0, 1.2, 0.9, 0.95, 2.0]) == 5, "for good"


@pytest.mark.slow
def test_the_batch_size_fits_memory() -> None:
    """Lightning's trials, in which 64 images do not fit."""
    assert find_batch_size(task(), Loader, "cpu", most=1024) == 32
    assert find_batch_size(task(), Loader, "cpu", most=16) == 16


@pytest.mark.slow
def test_memory_grows_with_images() -> None:
    """The images that the line keeps, of 64 numbers, and half as much again."""
    assert bytes_per_image(task(), Loader(16), "cpu") == pytest.approx(64 * 4 * 1.5, rel=0.2)
