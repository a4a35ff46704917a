"""Parts of shards, and single photos out of them."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import InputError
from datasets.kinds import recognise
from datasets.labels.opening import is_sharded, open_labelled
from datasets.shards.photos import list_photos
from datasets.shards.tar import CLASS_FILE, open_shard_part, open_shards
from datasets.shards.writing import write_shards
from tests.datasets.label_fakes import save_photos, write_folders


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(tmp_path_factory.mktemp("set"), {"cat": 5, "dog": 6})


def write(folders: Path, root: Path) -> Path:
    return write_shards(open_labelled(folders, "all"), root, per_shard=4)


def test_single_photos(folders: Path, tmp_path: Path) -> None:
    whole = open_labelled(folders, "all")
    photos = list_photos(open_shards(write(folders, tmp_path / "s")))
    assert photos.format == "shards"
    order = np.random.default_rng(0).permutation(len(whole))
    assert photos.labels.tolist() == whole.labels[order].tolist()
    for index in (0, 5, 10):
        assert np.array_equal(photos.image(index), whole.image(order[index]))
    assert photos.files[5] == f"{tmp_path}/s/000001.tar:00000005.png"
    kept = photos.select(photos.labels == 1)
    rows = np.flatnonzero(photos.labels == 1)
    assert np.array_equal(kept.image(2), photos.image(rows[2]))
    assert kept.files[2] == photos.files[rows[2]]


def test_parts(folders: Path, tmp_path: Path) -> None:
    both, lone = tmp_path / "both", write(folders, tmp_path / "lone")
    write(folders, both / "train")
    write(folders, both / "validation")
    (both / "train" / CLASS_FILE).rename(both / CLASS_FILE)  # For both parts.
    (both / "validation" / "000002.tar").unlink()
    assert len(open_shard_part(both, "train")) == 11
    assert len(open_shard_part(both, "val")) == 8
    assert open_shard_part(both, "train").classes.names == ("cat", "dog")
    with pytest.raises(ValueError, match="holds train and val; choose one of them"):
        open_shard_part(both, "all")
    assert len(open_shard_part(lone, "train")) == 11
    assert len(open_shard_part(lone, "val", whole=True)) == 11
    for path in (lone, both / "train"):
        with pytest.raises(ValueError, match="has no shards to validate on; put them in train/"):
            open_shard_part(path, "val")
    (both / "validation").rename(both / "spare")
    with pytest.raises(ValueError, match="has no shards to validate on"):
        open_shard_part(both, "val")
    assert len(open_shard_part(both, "val", whole=True)) == 11


def test_what_shards_are(folders: Path, tmp_path: Path) -> None:
    lone = write(folders, tmp_path / "lone")
    assert is_sharded(lone)
    assert is_sharded(lone / "000000.tar")
    assert is_sharded(Path(f"{lone}/{{000000..000002}}.tar"))
    assert is_sharded(lone.rename(tmp_path / "train").parent)
    assert not is_sharded(tmp_path / "nowhere")
    save_photos(tmp_path / "set/a", ["0.png"])
    (tmp_path / "set/download.tar").touch()  # Not a data set, but its archive.
    assert not is_sharded(tmp_path / "set")
    save_photos(tmp_path / "set/b", ["0.png"])
    for files in ({"a/0.png": b"x", "b/0.png": b"x"}, {"0.png": b"x", "0.json": b"{}"}):
        with tarfile.open(tmp_path / "set/download.tar", "w") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        assert not is_sharded(tmp_path / "set")


def test_shards_beside_pictures(folders: Path, tmp_path: Path) -> None:
    root = write(folders, tmp_path / "s")
    save_photos(root / "examples", ["0.png"])
    assert is_sharded(root)
    assert recognise(root).parts == ()
    save_photos(root / "more", ["0.png"])
    for ask in (is_sharded, recognise):
        with pytest.raises(
            InputError, match=r"shards \(000000.tar holds.*classes \(examples, more"
        ):
            ask(root)
    assert is_sharded(Path(f"{root}/{{000000..000002}}.tar"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("no json", "line 1, column 1: not valid JSON"),
        *((text, "not a list of classes") for text in ("[1]", '[{"id": 1}]', '{"a": 2}')),
    ],
)
def test_a_class_list_that_is_none(folders: Path, tmp_path: Path, content: str, told: str) -> None:
    shards = write(folders, tmp_path / "s")
    (shards / CLASS_FILE).write_text(content)
    with pytest.raises(InputError, match=rf"classes\.json: {told}"):
        open_shards(shards)
    (shards / CLASS_FILE).write_text(json.dumps([{"id": 1, "name": "cat"}]))
    with pytest.raises(ValueError, match="holds the label 1, but there are 1 classes"):
        open_shards(shards)
