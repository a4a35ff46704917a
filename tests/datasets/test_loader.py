"""Draws are a function of (seed, epoch, index): for any workers, ranks and interruptions."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datasets.boxes.augmentation import DetectionTransform
from datasets.boxes.opening import open_detection
from datasets.boxes.torch_set import DetectionSet, detection_loader
from datasets.loader import EpochSampler, ResumableLoader


def loader(scenes: Path, workers: int = 0, **options: Any) -> ResumableLoader[Any]:
    data = DetectionSet(open_detection(scenes, "train"), DetectionTransform(64, "ssd"), seed=3)
    settings = {"batch_size": 5, "train": True, "seed": 3, **options}
    return detection_loader(data, workers=workers, **settings)


def digest(batches: list[Any]) -> list[tuple[list[int], int, float]]:
    return [
        (
            b["image_ids"],
            int(b["images"].sum()),
            sum(float(t["boxes"].sum()) for t in b["targets"]),
        )
        for b in batches
    ]


def test_ranks_share_an_epoch_and_epochs_differ() -> None:
    orders = []
    for epoch in range(2):
        parts = []
        for rank in range(3):
            sampler = EpochSampler(10, shuffle=True, seed=1, rank=rank, world=3)
            sampler.set_epoch(epoch)
            draws = list(sampler)
            assert len(draws) == len(sampler) == 4
            assert {e for e, _ in draws} == {epoch}
            parts += [index for _, index in draws]
        assert set(parts) == set(range(10))
        orders.append(parts)
    assert orders[0] != orders[1]


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [0, 4])
def test_workers_change_nothing(scenes: Path, epoch: int) -> None:
    seen = []
    for workers in (0, 1, 2):
        batches = loader(scenes, workers)
        batches.sampler.set_epoch(epoch)
        seen.append(digest(list(batches)))
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == 4  # 24 images in whole batches of 5.


@pytest.mark.slow
def test_epochs_augment_differently(scenes: Path) -> None:
    batches = loader(scenes)
    sums = []
    for epoch in range(2):
        batches.sampler.set_epoch(epoch)
        pairs = [p for b in batches for p in zip(b["image_ids"], b["images"], strict=True)]
        sums.append({image_id: int(image.sum()) for image_id, image in pairs})
    common = sums[0].keys() & sums[1].keys()
    assert common
    assert any(sums[0][i] != sums[1][i] for i in common)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_restored_loader_goes_on_with_the_next_batch(scenes: Path, workers: int) -> None:
    straight = loader(scenes)
    straight.sampler.set_epoch(1)
    wanted = digest(list(straight))
    broken = loader(scenes, workers)
    broken.sampler.set_epoch(1)
    for number, _ in enumerate(broken, start=1):
        if number == 2:
            break
    state = broken.state_dict()
    assert state == {"epoch": 1, "batches": 2}
    resumed = loader(scenes, workers)
    resumed.load_state_dict(state)
    assert digest(list(resumed)) == wanted[2:]
    assert resumed.state_dict() == {"epoch": 1, "batches": 4}
    resumed.sampler.set_epoch(2)
    assert len(list(resumed)) == 4  # Only the first epoch is cut short.


@pytest.mark.slow
def test_after_a_whole_epoch_comes_the_next(scenes: Path) -> None:
    resumed = loader(scenes)
    resumed.load_state_dict({"epoch": 6, "batches": 4})
    straight = loader(scenes)
    straight.sampler.set_epoch(7)
    assert digest(list(resumed)) == digest(list(straight))


def test_batches_are_bytes_and_relative_boxes(scenes: Path) -> None:
    batch = next(iter(loader(scenes, train=False)))
    assert batch["images"].dtype == torch.uint8
    assert batch["images"].shape == (5, 3, 64, 64)
    assert batch["image_ids"] == [1, 2, 3, 4, 5]
    for target in batch["targets"]:
        assert target["boxes"].dtype == torch.float32
        assert (target["boxes"] >= 0).all()
        assert (target["boxes"] <= 1).all()
        assert target["labels"].dtype == torch.int64
    assert all(Path(file).exists() for file in batch["files"])


@pytest.mark.slow
def test_a_set_smaller_than_a_batch_is_not_dropped(scenes: Path) -> None:
    assert [len(b["files"]) for b in loader(scenes, batch_size=100)] == [24]


@pytest.mark.slow
def test_evaluation_sees_every_image_in_order(scenes: Path) -> None:
    ids = [i for b in loader(scenes, train=False) for i in b["image_ids"]]
    assert ids == list(range(1, 25))
    assert np.array_equal(ids, open_detection(scenes, "train").image_ids)


@pytest.mark.slow
def test_a_set_travels_to_processes_that_start_anew(scenes: Path) -> None:
    """As on systems that do not fork."""
    for augmentation in ("none", "flip", "tf", "ssd"):
        data = DetectionSet(
            open_detection(scenes, "train"), DetectionTransform(64, augmentation), seed=3
        )
        there = pickle.loads(pickle.dumps(data))
        assert np.array_equal(there[0, 5].image, data[0, 5].image)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_picture_is_named_by_the_process_that_met_it(
    scenes: Path, tmp_path: Path, workers: int
) -> None:
    data = open_detection(shutil.copytree(scenes, tmp_path / "scenes"), "train")
    broken = Path(data.files[0])
    broken.write_bytes(broken.read_bytes()[:900])
    dataset = DetectionSet(data, DetectionTransform(64, "none"))
    batches = detection_loader(dataset, batch_size=4, train=False, workers=workers)
    with pytest.raises(ValueError, match=f"{broken}: the image is damaged") as caught:
        list(batches)
    assert "Traceback" not in str(caught.value)
