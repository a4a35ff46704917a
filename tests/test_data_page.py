"""docs/data.md lists what is read, written and refused, and nothing else."""

import re
from pathlib import Path

import pytest

from datasets.boxes.opening import open_detection
from datasets.errors import InputError
from datasets.kind import CheckOptions
from datasets.kinds import KINDS, recognise
from datasets.refused import BOXES_IN, REFUSED
from tests.datasets.label_fakes import save_photos
from tests.datasets.tar_fakes import write_tar
from tests.house import ROOT

PAGE = (ROOT / "docs/data.md").read_text(encoding="utf-8")
FILES = {
    "TFRecord": ("train.tfrecord-00000-of-00010", "a.tfrecords"),
    "LMDB": ("train/data.mdb",),
    "HDF5": ("camelyon_x.h5",),
    "NumPy arrays": ("x_train.npy", "medmnist.npz"),
    "pickles (CIFAR)": ("data_batch_1", "test.pkl"),
    "IDX (MNIST)": ("train-images-idx3-ubyte", "t10k-labels-idx1-ubyte.gz"),
    "Arrow files": ("train/data-00000-of-00001.arrow",),
    "archives": ("dogs.zip", "images.tar.gz"),
    "videos": ("film.MP4",),
}


def rows(title: str) -> list[list[str]]:
    """Cells of the table below a title, without its head."""
    section = re.split(r"\n##+ ", PAGE.partition(f"# {title}\n")[2])[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_format_that_is_read_and_written(kind: object) -> None:
    table = rows(kind.name)
    assert [row[0] for row in table] == list(kind.formats)
    assert all(len(row) == 4 and row[2] and row[3] for row in table)
    assert {row[1].strip("`") for row in table} - {""} == {*kind.targets}


def test_every_format_that_is_refused() -> None:
    assert [row[0] for row in rows("Not read")] == list(REFUSED) == list(FILES)


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_format_is_named_with_a_way_out(tmp_path: Path, name: str) -> None:
    for k, file in enumerate(FILES[name]):
        written = tmp_path / str(k) / file
        written.parent.mkdir(parents=True)
        written.write_bytes(b"\x89HDF\x00")
        for path in (tmp_path / str(k), written):
            with pytest.raises(ValueError, match="not recognised") as told:
                recognise(path)
            assert f"{written}: {name} are not read: {REFUSED[name].advice}." in str(told.value)


def _examine(path: Path) -> None:
    found = recognise(path)
    found.kind.examine(path, found.parts, CheckOptions())


@pytest.mark.parametrize("suffix", BOXES_IN)
def test_boxes_in_such_files_are_refused_with_a_way_out(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"train{suffix}"
    write_tar(file, {"0.jpg": b"x", "0.json": b'{"objects": {"bbox": []}}'})
    for path in (tmp_path, file):
        with pytest.raises(InputError, match=re.escape(f"{file}: {BOXES_IN[suffix]}")):
            open_detection(path, "train")
        with pytest.raises(InputError, match=re.escape(BOXES_IN[suffix])):
            _examine(path)


def test_a_set_with_such_a_file_in_it_is_read(tmp_path: Path) -> None:
    for folder in ("cat", "dog"):
        save_photos(tmp_path / folder, ["0.png"])
    (tmp_path / "copy.zip").write_bytes(b"PK")
    assert recognise(tmp_path).kind.name == "labels"
