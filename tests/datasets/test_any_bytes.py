"""Whatever the bytes of a file: a reader reads it, or says what is wrong with it, and soon."""

import contextlib
import io
import pickle
import struct
import tarfile
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage
from scipy.io import savemat  # type: ignore[import-untyped]

from datasets.attributes import celeba, lfwa
from datasets.errors import InputError
from datasets.identities.lfw import read_lfw
from datasets.identities.recordio import read_records
from datasets.identities.verification_bin import read_bin
from datasets.images import probe_image, read_image, read_orientation
from datasets.labels import csv_list, metadata, pets, stanford_dogs, text_list
from datasets.matlab import NewerFileError, read_mat
from datasets.positions.opening import open_places
from datasets.shards.tar import open_shards
from datasets.text import number_in
from tests.datasets.record_files import write_records


def png() -> bytes:
    file = io.BytesIO()
    PilImage.new("RGB", (9, 7), (200, 10, 10)).save(file, "PNG")
    return file.getvalue()


def jpeg() -> bytes:
    exif, file = PilImage.Exif(), io.BytesIO()
    exif[0x0112] = 6
    PilImage.new("RGB", (9, 7), (200, 10, 10)).save(file, "JPEG", exif=exif)
    return file.getvalue()


def mat(*, packed: bool = False) -> bytes:
    file = io.BytesIO()
    names = np.array([["Male", "Young"]], dtype=object)
    files = np.array([["A\\A_1.jpg"], ["B\\B_1.jpg"]], dtype=object)
    content = {"AttrName": names, "label": np.array([[0, 1], [1, 0]]), "name": files}
    savemat(file, {**content, "file_list": files}, do_compression=packed)
    return file.getvalue()


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as out:
        for name, content in (
            ("0.jpg", jpeg()),
            ("0.cls", b"0"),
            ("1.jpg", jpeg()),
            ("1.cls", b"1"),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    return file.getvalue()


def records() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_records(Path(folder) / "a.rec", [[b"one"], [b"two", b"three"]])
        return (Path(folder) / "a.rec").read_bytes()


def _read_rec(file: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_records(Path(folder) / "a.rec", [[b"one"], [b"two", b"three"]])
        file.with_suffix(".idx").write_bytes((Path(folder) / "a.idx").read_bytes())
    read_records(file)


def _read_index(file: Path) -> None:
    write_records(file.with_suffix(".rec"), [[b"one"], [b"two", b"three"]])
    index = file.with_suffix(".idx")
    index.write_bytes(file.read_bytes())
    read_records(file.with_suffix(".rec"))


def _in_folder(name: str, read: Callable[[Path], Any], *others: str) -> Callable[[Path], Any]:
    """Reads the folder of a file that is to be called otherwise, with pictures beside it."""

    def work(file: Path) -> Any:
        root = file.parent / "set"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(file.read_bytes())
        for other in others:
            (root / other).parent.mkdir(parents=True, exist_ok=True)
            (root / other).write_bytes(png())
        return read(root)

    return work


PICKLE = pickle.dumps(([b"a", b"b", b"c", b"d"], [True, False]), 2)
CELEBA = b"2\nMale Young\n0.jpg -1 1\n1.jpg 1 -1\n"
PAIRS = b"1\t1\nanna\t1\t2\nanna\t1\tbert\t1\n"
FACES = ("anna/anna_0001.png", "anna/anna_0002.png", "bert/bert_0001.png")
READERS: dict[str, tuple[bytes, Callable[[Path], Any]]] = {
    "photo.png": (png(), lambda file: read_image(file, upright=True)),
    "photo.jpg": (jpeg(), lambda file: read_image(file, upright=True)),
    "header.jpg": (jpeg(), probe_image),
    "tags.jpg": (jpeg(), read_orientation),
    "list.mat": (mat(), lambda file: read_mat(file, ("label", "name"))),
    "packed.mat": (mat(packed=True), lambda file: read_mat(file, ("label", "name"))),
    "lfwa.mat": (mat(), _in_folder("lfw_att_40.mat", lfwa.read, "lfw/A/A_1.jpg")),
    "dogs.mat": (mat(), _in_folder("train_list.mat", stanford_dogs.find_splits, "Images/A/a.jpg")),
    "a.tar": (tar(), open_shards),
    "a.rec": (records(), _read_rec),
    "index": (b"0\t0\n1\t32\n2\t64\n", _read_index),
    "a.bin": (PICKLE, read_bin),
    "celeba.txt": (
        CELEBA,
        _in_folder("list_attr_celeba.txt", celeba.read, "img_align_celeba/0.jpg"),
    ),
    "pairs.txt": (PAIRS, _in_folder("pairs.txt", read_lfw, *FACES)),
    "one_hot.csv": (b"image,cat,dog\na,1,0\nb,0,1.0\n", csv_list.find_splits),
    "train.txt": (b"a.jpg 0\nb.jpg 1\n", text_list.find_splits),
    "classes.txt": (b"0 cat\ndog,1\n2: cow\n", text_list.read_numbered),
    "metadata.jsonl": (
        b'{"file_name": "a.jpg", "label": 1}\n{"file_name": "b.jpg", "label": "2"}\n',
        _in_folder("metadata.jsonl", metadata.find_splits),
    ),
    "labels.csv": (b"path,label\na.jpg,cat\nb.jpg,dog\n", csv_list.find_splits),
    "places.csv": (b"id,LAT,LON\n0.jpg,1,2\n", lambda file: open_places(file, "all")),
    "pets.txt": (
        b"cat_1 1 1 1\ndog_1 2 2 1\n",
        _in_folder("annotations/trainval.txt", pets.find_splits, "images/cat_1.jpg"),
    ),
}
change = st.tuples(st.floats(0, 1, allow_subnormal=False), st.binary(min_size=1, max_size=8))


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
@settings(deadline=None, max_examples=40)
@given(
    changes=st.lists(change, max_size=4),
    cut=st.floats(0.2, 1, allow_subnormal=False),
    noise=st.booleans(),
)
def test_only_what_is_wrong_is_told(
    name: str, changes: list[tuple[float, bytes]], cut: float, noise: bool
) -> None:
    content, read = READERS[name]
    data = bytearray(content)
    for place, put in changes:
        start = int(place * len(data))
        data[start : start + len(put)] = put
    if cut < 0.9:
        del data[int(cut * len(data)) :]
    if noise:
        data = bytearray(b"".join(put for _, put in changes))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # A shard that is cut short is told of so.
        file = Path(folder) / name
        file.write_bytes(data)
        with contextlib.suppress(InputError, NewerFileError):
            read(file)


def test_matlab_files_are_read_as_scipy_writes_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kinds = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
    numbers = {f"v_{kind}": rng.integers(0, 99, (3, 4)).astype(kind) for kind in kinds}
    names = np.array([["a/é.jpg"], ["b/longer name.jpg"], [""]], dtype=object)
    for packed in (False, True):
        savemat(tmp_path / "a.mat", {**numbers, "names": names}, do_compression=packed)
        found = read_mat(tmp_path / "a.mat", (*numbers, "names", "other"))
        assert found.keys() == {*numbers, "names"}
        for name, array in numbers.items():
            assert np.array_equal(found[name], array), name
        assert [name or "" for name in found["names"][:2]] == ["a/é.jpg", "b/longer name.jpg"]


def test_a_matlab_file_with_a_wrong_type(tmp_path: Path) -> None:
    """SciPy would take the process down."""
    data = mat()
    small = struct.pack("<I", 16 | 4 << 16)  # UTF-8, four bytes.
    assert small in data
    (tmp_path / "a.mat").write_bytes(data.replace(small, struct.pack("<I", 4 << 16), 1))
    with pytest.raises(InputError, match=r"a\.mat: .*an element of type 0"):
        read_mat(tmp_path / "a.mat", ("AttrName",))


def test_spans_end_where_the_archive_ends(tmp_path: Path) -> None:
    write_records(tmp_path / "a.rec", [[b"one"], [b"two"]])
    data = (tmp_path / "a.rec").read_bytes()
    far = data.replace(struct.pack("<2f", 1, 2), struct.pack("<2f", 0, 1e30), 1)
    assert far != data
    (tmp_path / "a.rec").write_bytes(far)
    with pytest.raises(InputError, match=r"a\.rec: record 3 states images from 0 to 1e\+30"):
        read_records(tmp_path / "a.rec")


def test_a_pickle_that_asks_for_memory(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\x80\x02Nr" + struct.pack("<I", 300_000_000) + b".")
    with pytest.raises(InputError, match=r"a\.bin: .*place 300000000 of a memo \(byte 3\)"):
        read_bin(tmp_path / "a.bin")


def test_a_pickle_that_takes_years(tmp_path: Path) -> None:
    """Lists of the same list twice, forty deep, would be shown 2**40 times."""
    deep: Any = ()
    for _ in range(40):
        deep = (deep, deep)
    (tmp_path / "a.bin").write_bytes(pickle.dumps(([b"a", b"b"], [deep]), 2))
    with pytest.raises(InputError, match="a tuple instead of true or false"):
        read_bin(tmp_path / "a.bin")
    (tmp_path / "d.bin").write_bytes(pickle.dumps([{"a": 1}], 2))
    with pytest.raises(InputError, match="a dictionary or set"):
        read_bin(tmp_path / "d.bin")


def test_numbers_in_lists() -> None:
    assert number_in("0012") == 12
    assert [number_in(text) for text in ("", "-1", "²", "1.0", "٣", "9" * 19)] == [None] * 6
