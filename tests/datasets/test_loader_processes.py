"""Loader processes where shared memory is short, and where they do nothing any more."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datasets import loader_processes
from datasets.boxes.augmentation import DetectionTransform
from datasets.boxes.opening import open_detection
from datasets.boxes.torch_set import DetectionSet, detection_loader
from datasets.builtin.shapes_and_breeds import draw_shapes
from datasets.labels.augmentation import LabelTransform
from datasets.labels.opening import open_labelled
from datasets.loader import EpochSampler, ResumableLoader
from datasets.loader_processes import bytes_of, processes_that_fit, while_they_work
from datasets.shards.loader import ShardLoader
from datasets.shards.tar import open_shards
from datasets.shards.writing import write_shards

BATCH = 64 * 64 * 3 * 6
TIMED_OUT = "DataLoader timed out after 60 seconds"


def short(patch: pytest.MonkeyPatch, free: int | None) -> None:
    patch.setattr(loader_processes, "free_bytes", lambda: free)


@pytest.mark.parametrize(
    ("free", "fit"),
    [
        (None, (8, 2)),
        (1 << 40, (8, 2)),
        (34_000, (8, 2)),
        (33_000, (8, 1)),
        (9_000, (3, 1)),
        (3_000, (0, 1)),
    ],
)
def test_as_many_as_fit(
    monkeypatch: pytest.MonkeyPatch, free: int | None, fit: tuple[int, int]
) -> None:
    """Half of what is free may be taken, by all batches of 1000 bytes and the one in use."""
    short(monkeypatch, free)
    if fit == (8, 2):
        assert processes_that_fit(8, lambda: 1000) == fit
    else:
        with pytest.warns(UserWarning, match=rf"too little for 8 loader .*: {fit[0]} are used"):
            assert processes_that_fit(8, lambda: 1000) == fit


def test_much_memory_is_shared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is plenty for one loader is not for each of four."""
    short(monkeypatch, 5 << 30)
    assert processes_that_fit(8, lambda: 200 << 20) == (8, 2)
    with pytest.warns(UserWarning, match="too little for 8 loader processes"):
        assert processes_that_fit(8, lambda: 200 << 20, share=0.25) == (2, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("free", "workers"), [(5 * BATCH, 1), (BATCH, 0)])
def test_fewer_processes_load_the_same(
    scenes: Path, monkeypatch: pytest.MonkeyPatch, free: int, workers: int
) -> None:
    data = DetectionSet(open_detection(scenes, "train"), DetectionTransform(64, "ssd"), seed=3)
    plain = detection_loader(data, workers=0, batch_size=6, train=True, seed=3)
    loader = detection_loader(data, workers=3, batch_size=6, train=True, seed=3)
    short(monkeypatch, free)
    with pytest.warns(UserWarning, match="too little for 3 loader processes"):
        found = list(loader)
    assert loader.num_workers == workers
    for one, other in zip(plain, found, strict=True):
        assert torch.equal(one["images"], other["images"])
    assert len(list(loader)) == len(plain)  # Nothing is said a second time.
    loader.close()


@pytest.mark.slow
def test_shards_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = draw_shapes(tmp_path / "shapes", num_train=3, num_val=1, size=32)
    write_shards(open_labelled(root, "train"), tmp_path / "shards")
    loader = ShardLoader(
        open_shards(tmp_path / "shards"),
        LabelTransform(32, "none"),
        EpochSampler(24, shuffle=True),
        batch_size=8,
        workers=2,
    )
    short(monkeypatch, 1000)
    with pytest.warns(UserWarning, match="too little for 2 loader processes"):
        assert len(list(loader)) == 3
    assert loader.num_workers == 0


def test_bytes_of_a_batch() -> None:
    batch = {"images": torch.zeros(2, 3), "boxes": [np.zeros(5), (torch.zeros(1),)], "files": "x"}
    assert bytes_of(batch) == 24 + 40 + 4


class Blocked:
    """Each sample waits for a byte in a pipe."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe

    def __len__(self) -> int:
        return 4

    def __getitem__(self, draw: tuple[int, int]) -> int:
        os.read(self.pipe, 1)
        return draw[1]


@pytest.mark.slow
def test_processes_that_do_nothing_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.loader.PATIENCE_SECONDS", 1)
    out, into = os.pipe()

    def numbers(samples: Sequence[int]) -> list[int]:
        return list(samples)

    sampler = EpochSampler(4, shuffle=False)
    loader = ResumableLoader(Blocked(out), sampler, numbers, numbers, batch_size=2, workers=1)
    with pytest.raises(ValueError, match=r"no batch has come from 1 loader .* --workers 0 loads"):
        next(iter(loader))
    os.write(into, b"xxxx")
    loader.close()
    os.close(out)
    os.close(into)


def test_slow_ones_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as they compute."""
    seconds = iter((0.0, 5.0, 9.0, 9.0, 9.1, 9.2))
    monkeypatch.setattr(loader_processes, "_seconds_of_work", lambda _: next(seconds))

    class Slow:
        told = iter((*(RuntimeError(TIMED_OUT),) * 2, 1, *(RuntimeError(TIMED_OUT),) * 2))

        def __next__(self) -> Any:
            found = next(self.told)
            if isinstance(found, RuntimeError):
                raise found
            return found

    batches: Iterator[Any] = while_they_work(Slow())
    assert next(batches) == 1
    with pytest.raises(ValueError, match="they do nothing"):
        next(batches)
