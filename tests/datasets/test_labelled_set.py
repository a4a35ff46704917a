"""A classifier's samples and batches: functions of (seed, epoch, index), cached or not."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datasets.builtin.shapes_and_breeds import draw_shapes
from datasets.labels import torch_set as labelled_set
from datasets.labels.augmentation import LabelTransform
from datasets.labels.opening import open_labelled
from datasets.labels.structure import cut_to_boxes, mislabel
from datasets.labels.torch_set import LabelledSet, label_loader
from datasets.loader import ResumableLoader
from tests.datasets.label_fakes import write_dogs


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets") / "shapes"
    return draw_shapes(root, num_train=3, num_val=1, size=32)


def loader(root: Path, workers: int = 0, **options: Any) -> ResumableLoader[Any]:
    cache = options.pop("cache", False)
    kind = "small" if options.get("train", True) else "none"
    dataset = LabelledSet(open_labelled(root, "train"), LabelTransform(32, kind), 3, cache=cache)
    settings = {"batch_size": 5, "train": True, "seed": 3, **options}
    return label_loader(dataset, workers=workers, **settings)


def digest(batches: Any) -> list[Any]:
    return [
        (b["image_ids"], b["targets"].tolist(), b["images"].numpy().tobytes()) for b in batches
    ]


@pytest.mark.slow
def test_a_batch(shapes: Path) -> None:
    (batch, *_) = loader(shapes, train=False)
    assert batch["images"].shape == (5, 3, 32, 32)
    assert batch["images"].dtype == torch.uint8
    assert batch["targets"].dtype == torch.int64
    assert batch["targets"].tolist() == [0, 0, 0, 1, 1]
    assert batch["image_ids"] == [0, 1, 2, 3, 4]
    assert all(Path(file).exists() for file in batch["files"])


def test_evaluation_sees_all_in_order_and_training_whole_batches(shapes: Path) -> None:
    ids = [k for b in loader(shapes, train=False) for k in b["image_ids"]]
    assert ids == list(range(24))
    assert [len(b["files"]) for b in loader(shapes)] == [5] * 4


@pytest.mark.slow
@pytest.mark.parametrize("cache", [False, True])
def test_workers_and_cache_change_nothing(shapes: Path, cache: bool) -> None:
    straight = loader(shapes)
    straight.sampler.set_epoch(2)
    wanted = digest(straight)
    for workers in (0, 2):
        other = loader(shapes, workers, cache=cache)
        other.sampler.set_epoch(2)
        assert digest(other) == wanted
    straight.sampler.set_epoch(3)
    assert digest(straight) != wanted


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_resume_inside_an_epoch(shapes: Path, workers: int) -> None:
    wanted = digest(loader(shapes))
    broken = loader(shapes, workers)
    batches = iter(broken)
    for _ in range(3):
        next(batches)
    state = broken.state_dict()
    assert state == {"epoch": 0, "batches": 3}
    resumed = loader(shapes, workers)
    resumed.load_state_dict(state)
    assert digest(resumed) == wanted[3:]


def test_ranks_are_disjoint_and_complete(shapes: Path) -> None:
    parts = [
        [k for b in loader(shapes, rank=r, world=3, batch_size=4) for k in b["image_ids"]]
        for r in range(3)
    ]
    assert sorted(k for part in parts for k in part) == list(range(24))


def test_too_many_photos_are_not_cached(shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelled_set, "cache_bytes", lambda: 24 * 32 * 32 * 3 - 1)
    with pytest.warns(UserWarning, match="not kept in memory"):
        loader(shapes, cache=True)
    # Photos that are larger than the first guess said.
    monkeypatch.setattr(labelled_set, "_PROBED", 1)
    data = open_labelled(shapes, "train")
    big = np.zeros((99, 99, 3), np.uint8)
    monkeypatch.setattr(
        type(data), "image", lambda _, k: big if k else np.zeros((9, 9, 3), np.uint8)
    )
    with pytest.warns(UserWarning, match="not kept in memory"):
        LabelledSet(data, LabelTransform(32, "none"), cache=True)


@pytest.mark.parametrize("cache", [False, True])
def test_photos_are_cut_to_their_boxes(tmp_path: Path, cache: bool) -> None:
    data = open_labelled(write_dogs(tmp_path), "train")

    def same(photo: np.ndarray[Any, Any], _: int) -> np.ndarray[Any, Any]:
        return photo

    cut = LabelledSet(cut_to_boxes(data, margin=0.0), same, cache=cache)
    assert [cut[0, k].image.shape for k in range(3)] == [(18, 18, 3), (20, 24, 3), (8, 8, 3)]
    assert LabelledSet(data, same, cache=cache)[0, 0].image.shape == (20, 24, 3)


def test_boxes_that_are_not_there_cannot_be_cut_to(shapes: Path) -> None:
    with pytest.raises(ValueError, match=r"--boxes: .*format folders has no boxes"):
        cut_to_boxes(open_labelled(shapes, "val"))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_photo_is_named(shapes: Path, tmp_path: Path, workers: int) -> None:
    root = shutil.copytree(shapes, tmp_path / "shapes")
    broken = root / "train/circle/0001.png"
    broken.write_bytes(broken.read_bytes()[:500])
    with pytest.raises(ValueError, match=f"{broken}: the image is damaged"):
        list(loader(root, workers, train=False))
    with pytest.raises(ValueError, match=f"{broken}: the image is damaged"):
        loader(root, cache=True)


def test_labels_are_made_wrong_on_purpose(shapes: Path) -> None:
    data = open_labelled(shapes, "train")
    noisy, wrong = mislabel(data, 0.5, 1)
    assert wrong.sum() == len(data) / 2
    np.testing.assert_array_equal(noisy.labels != data.labels, wrong)
    assert set(noisy.labels.tolist()) <= set(range(len(data.classes)))
    np.testing.assert_array_equal(mislabel(data, 0.5, 1)[0].labels, noisy.labels)
    assert (mislabel(data, 0.5, 2)[0].labels != noisy.labels).any()
    assert not mislabel(data, 0, 1)[1].any()
