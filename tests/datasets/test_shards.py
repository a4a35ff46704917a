"""Shards: written, counted, streamed in the same order for any workers and interruptions."""

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.labels.augmentation import LabelTransform
from datasets.labels.opening import open_labelled
from datasets.loader import EpochSampler
from datasets.shards.loader import ShardLoader, shuffle_within
from datasets.shards.tar import COUNT_FILE, ShardedData, open_shards, walk
from datasets.shards.writing import write_shards
from datasets.types import ClassMap
from tests.datasets.label_fakes import write_folders
from tests.datasets.tar_fakes import jpeg, write_tar

NUM = 23


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(tmp_path_factory.mktemp("set"), {"cat": 9, "dog": 14})


@pytest.fixture
def shards(folders: Path, tmp_path: Path) -> Path:
    return write_shards(open_labelled(folders, "all"), tmp_path / "shards", per_shard=5)


def loader(data: ShardedData, workers: int = 0, **options: Any) -> ShardLoader:
    kind = "small" if options.get("train", True) else "none"
    settings = {"batch_size": 4, "train": True, "seed": 3, "window": 6, **options}
    reading = {name: settings.pop(name) for name in ("batch_size", "window")}
    draws = EpochSampler(len(data), shuffle=settings.pop("train"), **settings)
    return ShardLoader(data, LabelTransform(16, kind), draws, workers=workers, **reading)


def digest(batches: Any) -> list[Any]:
    return [
        (b["image_ids"], b["targets"].tolist(), b["images"].numpy().tobytes()) for b in batches
    ]


def ids(batches: Any) -> list[int]:
    return [k for b in batches for k in b["image_ids"]]


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


@pytest.mark.slow
def test_what_was_written_is_read(folders: Path, shards: Path) -> None:
    whole, data = open_labelled(folders, "all"), open_shards(shards)
    assert [file.name for file in data.shards] == [f"00000{k}.tar" for k in range(5)]
    assert data.counts.tolist() == [5, 5, 5, 5, 3]
    assert len(data) == NUM
    assert data.classes == whole.classes
    batches = list(loader(data, train=False))
    assert ids(batches) == list(range(NUM))
    targets = np.concatenate([b["targets"].numpy() for b in batches])
    assert np.bincount(targets).tolist() == [9, 14]
    order = np.random.default_rng(0).permutation(NUM)
    exact = LabelTransform(16, "none")
    images = np.concatenate([b["images"].permute(0, 2, 3, 1).numpy() for b in batches])
    for image, index in zip(images, order, strict=True):
        assert np.array_equal(image, exact(whole.image(index), 0))


def test_patterns(shards: Path, tmp_path: Path) -> None:
    assert open_shards(f"{shards}/{{000001..000003}}.tar").counts.tolist() == [5, 5, 5]
    assert len(open_shards(shards / "000004.tar")) == 3
    with pytest.raises(ValueError, match=r"000005.tar: the shard is missing \(2 of 4\)"):
        open_shards(f"{shards}/{{000003..000006}}.tar")
    with pytest.raises(ValueError, match=r"no \.tar shards there"):
        open_shards(tmp_path)
    other = open_labelled(write_folders(tmp_path / "x", {"a": 2}), "all")
    with pytest.raises(ValueError, match="holds shards already"):
        write_shards(other, shards)


def test_counts_are_remembered_and_renewed(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for shard in shards.glob("*.tar"):
        os.utime(shard, (1e9, 1e9))
    open_shards(shards)
    known = json.loads((shards / COUNT_FILE).read_text())
    assert known["000004.tar"]["records"] == 3
    monkeypatch.setattr("datasets.shards.tar.walk", lambda _: pytest.fail("walked again"))
    assert len(open_shards(shards)) == NUM
    monkeypatch.undo()
    (shards / "000004.tar").unlink()
    (shards / "000003.tar").rename(shards / "000004.tar")
    assert open_shards(shards).counts.tolist() == [5, 5, 5, 5]
    (shards / COUNT_FILE).write_text("broken")
    assert open_shards(shards).counts.tolist() == [5, 5, 5, 5]


def test_shards_of_the_same_second_are_counted_anew(tmp_path: Path) -> None:
    """Those of just now are not remembered; others by the nanosecond and the file's number."""
    members = {"a.jpg": jpeg(1), "a.cls": b"0", "b.jpg": jpeg(2), "b.cls": b"1"}
    file = write_tar(tmp_path / "a.tar", members)
    open_shards(file)
    assert json.loads((tmp_path / COUNT_FILE).read_text()) == {}
    for number in range(2):
        os.utime(file, ns=(10**18, 10**18))
        assert len(open_shards(file).classes) == 2 + 3 * number
        (row,) = json.loads((tmp_path / COUNT_FILE).read_text()).values()
        assert row["bytes"] == file.stat().st_size
        write_tar(tmp_path / "new", members | {"b.cls": b"4"}).rename(file)
    os.utime(file, ns=(10**18, 10**18 + 1))
    write_tar(file, members)
    assert len(open_shards(file).classes) == 2


def test_a_folder_that_cannot_be_written_to(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "write_text", refuse)
    assert len(open_shards(shards)) == NUM
    assert not (shards / COUNT_FILE).exists()


def test_webdatasets_other_members(tmp_path: Path, folders: Path) -> None:
    photo = (folders / "cat/0.png").read_bytes()
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "x/1.cls", b"2")
        add(tar, "x/1.png", photo)
        add(tar, "x/1.seg.png", photo)
        add(tar, "x/2.png", photo)  # No label: no record.
        add(tar, "x/3.json", b'{"label": 1, "caption": "cat"}')
        add(tar, "x/3.txt", b"cat")
        add(tar, "x/3.png", photo)
        add(tar, "y/3.PNG", photo)
        add(tar, "y/3.cls", b"0\n")
    data = open_shards(tmp_path)
    assert data.classes.names == ("0", "1", "2")
    (batch,) = loader(data, train=False)
    assert batch["targets"].tolist() == [2, 1, 0]
    assert [file.partition(":")[2] for file in batch["files"]] == ["x/1.png", "x/3.png", "y/3.PNG"]
    with pytest.raises(ValueError, match="holds the label 2, but there are 2 classes"):
        open_shards(tmp_path, ClassMap.from_names(["a", "b"]))


@pytest.mark.parametrize("label", [b"cat", b"-1", b"1.5", b"\xff", b""])
def test_a_label_that_is_no_column_is_named(tmp_path: Path, folders: Path, label: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "1.png", (folders / "cat/0.png").read_bytes())
        add(tar, "1.cls", label)
    with pytest.raises(ValueError, match=r"a.tar: 1.cls: .* a label is a column number"):
        open_shards(tmp_path)


def test_no_records(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "1.txt", b"cat")
    with pytest.raises(ValueError, match="no records of an image"):
        open_shards(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("train", [True, False])
def test_workers_change_nothing(shards: Path, train: bool) -> None:
    data = open_shards(shards)
    seen = []
    for workers in (0, 1, 2):
        batches = loader(data, workers, train=train)
        batches.sampler.set_epoch(4)
        seen.append(digest(batches))
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == len(batches) == (5 if train else 6)


@pytest.mark.slow
def test_epochs_and_seeds_differ(shards: Path) -> None:
    data = open_shards(shards)
    batches = loader(data)
    first = ids(batches)
    batches.sampler.set_epoch(1)
    assert first != ids(batches)
    assert first != ids(loader(data, seed=4))
    assert len(set(first)) == len(first) == 20
    assert first == ids(loader(data))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("done", [1, 2, 3, 5])
def test_resume_inside_an_epoch(shards: Path, workers: int, done: int) -> None:
    data = open_shards(shards)
    straight = loader(data)
    straight.sampler.set_epoch(1)
    wanted = digest(straight)
    straight.sampler.set_epoch(2)
    following = digest(straight)
    broken = loader(data, workers)
    broken.sampler.set_epoch(1)
    batches = iter(broken)
    for _ in range(done):
        next(batches)
    state = broken.state_dict()
    broken.close()
    assert {**state, "versions": {}} == {"epoch": 1, "batches": done, "versions": {}}
    resumed = loader(data, workers)
    resumed.load_state_dict(state)
    if done == len(wanted):  # After a whole epoch comes the next.
        assert digest(resumed) == following
        return
    assert digest(resumed) == wanted[done:]
    assert resumed.state_dict() == {**state, "batches": len(wanted)}
    resumed.sampler.set_epoch(2)
    assert digest(resumed) == following


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_ranks_are_disjoint_and_complete(shards: Path, world: int) -> None:
    data = open_shards(shards)
    parts = [ids(loader(data, rank=r, world=world, batch_size=1)) for r in range(world)]
    assert len({len(part) for part in parts}) == 1
    drawn = sorted(k for part in parts for k in part)
    assert set(drawn) == set(range(NUM))
    assert len(drawn) - NUM < world  # Only what does not divide is drawn again.


@pytest.mark.slow
@given(length=st.integers(0, 40), window=st.integers(1, 12), seed=st.integers(0, 99))
def test_a_shuffle_loses_nothing(length: int, window: int, seed: int) -> None:
    shuffled = list(shuffle_within(range(length), np.random.default_rng(seed), window))
    assert sorted(shuffled) == list(range(length))
    # Nothing comes long before its turn.
    assert all(item <= place + window for place, item in enumerate(shuffled))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_photos_are_left_out_and_counted(shards: Path, workers: int) -> None:
    for shard in (1, 3):
        file = shards / f"00000{shard}.tar"
        record = list(walk(file))[2]
        content = bytearray(file.read_bytes())
        content[record.picture[0] : sum(record.picture)] = bytes(record.picture[1])
        file.write_bytes(bytes(content))
    batches = loader(open_shards(shards), workers, train=False)
    with pytest.warns(UserWarning, match=r"2 damaged images were left out of epoch 0; the first"):
        assert ids(batches) == [k for k in range(NUM) if k not in (7, 17)]
    assert len(batches.damaged) == 2
    assert "000001.tar:00000007.png" in batches.damaged[0]


def test_a_batch_of_damaged_photos_is_an_error(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for k in range(2):
            add(tar, f"{k}.jpg", b"no picture")
            add(tar, f"{k}.cls", b"0")
    with pytest.raises(ValueError, match="not an image that can be read; so are all 2 images"):
        list(loader(open_shards(tmp_path), train=False))


@pytest.mark.parametrize("cut", [700, 4096])
def test_a_shard_that_is_cut_short_gives_what_is_whole(shards: Path, cut: int) -> None:
    file = shards / "000004.tar"
    last = list(walk(file))[-1]
    file.write_bytes(file.read_bytes()[: last.picture[0] - 512 + (cut == 700) * 700])
    with pytest.warns(UserWarning, match=r"000004.tar: damaged"):
        data = open_shards(shards)
    assert data.counts.tolist() == [5, 5, 5, 5, 2]


def test_a_shard_that_shrank_since_is_an_error(shards: Path) -> None:
    data = open_shards(shards)
    (shards / "000000.tar").write_bytes((shards / "000004.tar").read_bytes())
    with pytest.raises(ValueError, match=r"000000.tar: holds fewer than the 5 records .* delete"):
        list(loader(data, train=False))
