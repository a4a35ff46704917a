"""Two processes that share a batch learn what one process learns from it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed
import torch.multiprocessing
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from datasets.errors import InputError
from datasets.types import ClassMap
from tasks.classification.losses import class_loss
from tasks.classification.spec import ClassLossSpec
from tasks.detection.model import build_detector
from tasks.detection.spec import DetectorSpec, LossSpec
from tasks.face_attributes.losses import attribute_loss
from tasks.fitting.base import BATCH_NORMS
from tasks.fitting.engine import make_trainer
from tasks.fitting.shared_count import shared_count
from tasks.fitting.spec import FitSpec
from tasks.geolocation.losses import hard_loss, soft_loss
from tests.tasks.two_stage import ALL, SIZE, build, targets_of

Losses = dict[str, Tensor]
THREE = ClassMap((3, 7, 90), ("cup", "cat", "kite"))
# Uneven shares: the first process has seven objects, the second one and an image without any.
BOX = (0.1, 0.2, 0.6, 0.7)
TARGETS = targets_of(
    [(BOX, 1), ((0.5, 0.5, 0.9, 0.9), 2), ((0.0, 0.4, 0.3, 0.8), 3), ((0.2, 0.2, 0.4, 0.4), 1)],
    [(BOX, 3), ((0.4, 0.1, 0.9, 0.5), 2), ((0.6, 0.6, 1.0, 1.0), 1)],
    [],
    [((0.3, 0.3, 0.8, 0.9), 2)],
)


class Detector(nn.Module):
    """A detector with its batch norms held, and its share of the batch."""

    def __init__(self, model: nn.Module, size: int) -> None:
        super().__init__()
        self.model = model.train()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        torch.manual_seed(1)
        self.images = torch.randint(0, 256, (4, 3, size, size), dtype=torch.uint8)

    def forward(self, share: slice) -> Losses:
        found: Losses = self.model(self.images[share], TARGETS[share])
        return found


class Linear(nn.Module):
    """A layer whose outputs are scored by a loss that counts what is known."""

    def __init__(self, loss: Callable[[Tensor, slice], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.inputs, self.loss = nn.Linear(8, 5), torch.randn(4, 8), loss

    def forward(self, share: slice) -> Losses:
        return {"loss": self.loss(self.layer(self.inputs[share]), share)}


COLUMNS = torch.tensor([1, 3, -1, 0])
VALUES = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 1, 1, 0], [-1, -1, -1, -1, -1], [-1, 1, -1, -1, 0]])


def _ssd(loss: str) -> nn.Module:
    torch.manual_seed(0)
    spec = DetectorSpec(alpha=0.25, size=96)
    return Detector(build_detector(spec, THREE, loss=LossSpec(loss=loss)), 96)  # type: ignore[arg-type]


def make(name: str) -> nn.Module:
    """A network that gives its losses on a share of four images."""
    if name in ("hard_negative", "focal"):
        return _ssd(name)
    if name == "faster_rcnn":
        return Detector(build(loss=ALL), SIZE)
    units = nn.functional.normalize(torch.ones(4, 3) + torch.eye(4, 3), dim=1)
    cells = nn.functional.normalize(torch.ones(5, 3) - torch.eye(5, 3), dim=1)
    losses: dict[str, Callable[[Tensor, slice], Tensor]] = {
        "classes": lambda out, share: class_loss(out, COLUMNS[share].clamp(0), ClassLossSpec()),
        "cells": lambda out, share: hard_loss(out, COLUMNS[share]),
        "soft cells": lambda out, share: soft_loss(
            out, COLUMNS[share], units[share], cells, tau=500.0
        ),
        "attributes": lambda out, share: attribute_loss(
            out, VALUES[share], torch.ones(5), torch.full((5,), 2.0)
        ),
    }
    return Linear(losses[name])


def first_step(network: nn.Module, share: slice) -> dict[str, Tensor]:
    """Losses of the first step, and gradients by parameter."""
    losses: Losses = network(share)
    torch.stack(list(losses.values())).sum().backward()
    grads = {n.removeprefix("module."): p.grad for n, p in network.named_parameters()}
    return {
        **{f"loss {name}": loss.detach() for name, loss in losses.items()},
        **{name: grad for name, grad in grads.items() if grad is not None},
    }


NAMES = (
    "hard_negative",
    "focal",
    "faster_rcnn",
    "classes",
    "cells",
    "soft cells",
    "attributes",
)


def process(rank: int, folder: str) -> None:
    """One of two processes: what it computes lies in the folder afterwards."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    found = {}
    for name in NAMES:
        network = DistributedDataParallel(make(name), find_unused_parameters=True)
        found[name] = first_step(network, slice(2 * rank, 2 * rank + 2))
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(process, (str(folder),), nprocs=2)
    return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_losses_and_gradients(name: str, shares: list[dict[str, dict[str, Tensor]]]) -> None:
    alone = first_step(make(name), slice(0, 4))
    one, two = (share[name] for share in shares)
    assert alone.keys() == one.keys() == two.keys()
    largest = max(1.0, *(float(value.abs().max()) for value in alone.values()))
    for key, value in alone.items():
        difference = ((one[key] + two[key]) / 2 - value).abs().max()
        assert difference <= 1e-6 * largest, key


def test_one_process_divides_by_what_it_counts() -> None:
    assert shared_count(torch.tensor(7)) == 7
    assert shared_count(torch.tensor(0)) == 1


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_statistics_of_one_process_are_not_shared(device: str) -> None:
    with pytest.raises(InputError, match="--sync-bn is for several processes on GPUs"):
        make_trainer(FitSpec(sync_bn=True), device)


def test_shared_statistics_are_batch_norm() -> None:
    """Lightning puts others in their place while it trains; they forget and freeze alike."""
    network = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.BatchNorm2d(3)))
    assert isinstance(network[0], BATCH_NORMS)
    assert network.state_dict().keys() == nn.Sequential(nn.BatchNorm2d(3)).state_dict().keys()
