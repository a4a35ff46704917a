"""Hugging Face's Parquet files: read, parted, damaged ones named."""

import itertools
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from datasets import parallel, parquet_files, parquet_pictures, reading_order
from datasets.errors import InputError
from datasets.kind import CheckOptions
from datasets.kinds import recognise
from datasets.labels import parquet
from datasets.labels.augmentation import LabelTransform
from datasets.labels.checking import examine_labels
from datasets.labels.opening import open_labelled
from datasets.labels.torch_set import LabelledSet, label_loader
from datasets.ledger import ARCHIVES, traced
from datasets.loader import EpochSampler, ResumableLoader
from datasets.shards.photos import list_photos
from datasets.shards.tar import open_shards
from datasets.shards.writing import write_shards
from datasets.types import LabelBatch
from tests.datasets.label_fakes import save_photos
from tests.datasets.parquet_fakes import save_table

NAMES = ["ant", "bee", "cat"]


def encoded(level: int, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, np.full((6, 8, 3), level, np.uint8))[1].tobytes()


def write(
    file: Path,
    labels: list[Any],
    *,
    names: list[str] | None = NAMES,
    column: str = "label",
    pictures: list[Any] | None = None,
) -> Path:
    import pyarrow as pa
    import pyarrow.parquet

    file.parent.mkdir(parents=True, exist_ok=True)
    level = [encoded(20 * k, ".jpg" if k % 2 else ".png") for k in range(len(labels))]
    rows = [{"bytes": one, "path": f"{k}.png"} for k, one in enumerate(pictures or level)]
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(rows, struct), column: labels})
    if names is not None:
        features = {"image": {"_type": "Image"}, column: {"names": names, "_type": "ClassLabel"}}
        told = {"info": {"features": features}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(told)})
    pyarrow.parquet.write_table(table, file, row_group_size=2)
    return file


@pytest.mark.parametrize("folder", ["", "data"])
def test_parts_in_several_files(tmp_path: Path, folder: str) -> None:
    write(tmp_path / folder / "train-00000-of-00002.parquet", [2, 0, 0])
    write(tmp_path / folder / "train-00001-of-00002.parquet", [0, 0])
    write(tmp_path / folder / "test-00000-of-00001.parquet", [0, 2])
    train, val = open_labelled(tmp_path, "train"), open_labelled(tmp_path, "val")
    assert (train.format, train.classes.names) == ("parquet", tuple(NAMES))
    assert train.labels.tolist() == [2, 0, 0, 0, 0]
    assert val.labels.tolist() == [0, 2]
    assert [int(train.image(k)[0, 0, 0]) for k in range(5)] == [0, 20, 40, 0, 20]
    assert [train.content(k)[1] for k in range(2)] == [".png", ".jpg"]
    assert train.content(1)[0] == encoded(20, ".jpg")
    some = train.select(train.labels == 0)
    assert int(some.image(1)[0, 0, 0]) == 40
    found = recognise(tmp_path)
    with traced() as trace:
        checkup = found.kind.examine(tmp_path, found.parts, CheckOptions())
    assert checkup.summary["images"] == 5
    assert not checkup.refusals
    (ledger,) = trace.account(tmp_path)
    assert (ledger.used[ARCHIVES], ledger.seen, ledger.elsewhere) == (3, 3, 0)


def test_copies_are_told(tmp_path: Path) -> None:
    one, other = encoded(9), encoded(90)
    write(tmp_path / "train.parquet", [0, 1, 2], pictures=[one, other, one])
    write(tmp_path / "val.parquet", [1, 2], pictures=[other, encoded(200)])
    found = recognise(tmp_path)
    checkup = found.kind.examine(tmp_path, found.parts, CheckOptions())
    told = {(f.kind, Path(f.file).name) for f in checkup.findings if "copy" in f.kind}
    assert told == {
        ("copy in two classes", "train.parquet:0"),
        ("copy in both splits", "train.parquet:1"),
    }


def test_one_file_of_texts(tmp_path: Path) -> None:
    file = write(tmp_path / "all.parquet", ["pug", "boxer", "pug"], names=None)
    data = open_labelled(file, "all")
    assert data.classes.names == ("boxer", "pug")
    assert data.labels.tolist() == [1, 0, 1]
    held = open_labelled(file, "val")
    assert len(held) == 1
    shards = open_shards(write_shards(data, tmp_path / "shards"))
    assert (len(shards), shards.classes.names) == (3, ("boxer", "pug"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": [0, None]}, r"train.parquet: row 1 has the label None"),
        ({"labels": [0, -1]}, r"row 1 has the label -1; leave it out"),
        ({"labels": [0, 7]}, r"train.parquet: class '7' is not one of the set's"),
        ({"labels": [0, 1], "column": "text"}, r"one called label are needed; it has image, text"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    write(tmp_path / "train.parquet", **fields)
    with pytest.raises(ValueError, match=message):
        open_labelled(tmp_path, "all")


def test_pictures_that_cannot_be_read(tmp_path: Path) -> None:
    pictures = [encoded(3), b"no picture", None]
    write(tmp_path / "train.parquet", [0, 1, 2], pictures=pictures)
    data = open_labelled(tmp_path, "all")
    with pytest.raises(ValueError, match=r"train.parquet:1: not an image"):
        data.image(1)
    with pytest.raises(ValueError, match=r"train.parquet:1: not an image"):
        data.content(1)
    with pytest.raises(ValueError, match=r"train.parquet:2: holds no image"):
        data.image(2)


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, 0.9])
def test_a_file_that_is_cut_short(tmp_path: Path, kept: float) -> None:
    file = write(tmp_path / "train.parquet", [0, 1, 0])
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(ValueError, match=r"train.parquet: not a Parquet file that can be read"):
        open_labelled(tmp_path, "all")


def test_without_pyarrow_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train-00000.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(parquet_files.importlib.util, "find_spec", lambda _: None)
    for path in (tmp_path, tmp_path / "train-00000.parquet"):
        with pytest.raises(ValueError, match=r"to read it, pip install pyarrow"):
            open_labelled(path, "train")


@pytest.mark.parametrize("kind", ["binary", "large_binary", "list", "struct", "no path"])
@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_how_pictures_are_held(tmp_path: Path, kind: str, compression: str) -> None:
    pa = pytest.importorskip("pyarrow")
    contents = [encoded(20 * k) for k in range(4)]
    column: Any = {
        "binary": contents,
        "large_binary": pa.array(contents, pa.large_binary()),
        "list": pa.array([np.frombuffer(one, np.uint8) for one in contents], pa.list_(pa.uint8())),
        "struct": [{"bytes": one, "path": None} for one in contents],
        "no path": [{"bytes": one} for one in contents],
    }[kind]
    columns = {"mask": [b"x"] * 4, "image": column, "label": ["a", "b"] * 2}
    save_table(tmp_path / "train.parquet", columns, compression=compression)
    data = open_labelled(tmp_path, "all")
    assert [data.content(k)[0] for k in range(4)] == contents


def test_labels_of_pandas(tmp_path: Path) -> None:
    """A column of numbers in which one is missing becomes one of floats."""
    columns = {"image": [encoded(k) for k in range(4)], "label": [1.0, 0.0, 2.0, 1.0]}
    file = save_table(tmp_path / "train.parquet", columns)
    data = open_labelled(tmp_path, "all")
    assert (data.classes.names, data.labels.tolist()) == (("0", "1", "2"), [1, 0, 2, 1])
    save_table(file, {**columns, "label": [1.0, float("nan"), 2.0, 1.0]})
    with pytest.raises(ValueError, match=r"row 1 has the label nan; leave it out"):
        open_labelled(tmp_path, "all")
    save_table(file, {**columns, "label": [[1, 2], [0], [], [1]]})
    with pytest.raises(ValueError, match=r"column 'label' has several classes per image, not one"):
        open_labelled(tmp_path, "all")


def test_photos_beside_the_table(tmp_path: Path) -> None:
    rows = [{"bytes": None, "path": f"/home/anna/set/shots/{k}.png"} for k in range(3)]
    file = save_table(tmp_path / "train.parquet", {"image": rows, "label": [0, 1, 0]})
    with pytest.raises(ValueError, match=r"row 0: image has the path of an image, not the imag"):
        open_labelled(tmp_path, "all")
    save_photos(tmp_path / "shots", [f"{k}.png" for k in range(3)])
    for path in (tmp_path, file):
        data = open_labelled(path, "all")
        assert data.in_files
        assert data.files.tolist() == [str(tmp_path / f"shots/{k}.png") for k in range(3)]
    save_table(file, {"image": [*rows[:2], {"bytes": None, "path": None}], "label": [0, 1, 0]})
    with pytest.raises(ValueError, match=r"row 2: image has neither an image nor a path; leave"):
        open_labelled(tmp_path, "all")


@pytest.mark.parametrize("folder", ["train", "data/train", "default/train", "small"])
def test_where_the_files_lie(tmp_path: Path, folder: str) -> None:
    write(tmp_path / folder / "0000.parquet", [0, 1, 0])
    assert len(open_labelled(tmp_path, "all")) == 3
    if folder == "small":
        write(tmp_path / "large/train.parquet", [0, 1, 0])
        with pytest.raises(ValueError, match=r"sets of Parquet files in large and small: name"):
            open_labelled(tmp_path, "all")
    if folder == "data/train":
        write(tmp_path / "data/validation/0000.parquet", [0, 1])
        assert len(open_labelled(tmp_path, "val")) == 2


def test_a_table_without_the_column(tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet", [0, 1])
    write(tmp_path / "train-1.parquet", [0, 1], column="text")
    with pytest.raises(ValueError, match=r"train-1.parquet: no column 'label', which other tabl"):
        open_labelled(tmp_path, "all")


def test_a_table_beside_pictures(tmp_path: Path) -> None:
    save_table(tmp_path / "vectors.parquet", {"name": ["a"], "vector": [[1.0]]})
    with pytest.raises(ValueError, match=r"label are needed; it has name, vector"):
        open_labelled(tmp_path, "all")
    for name in ("ants", "bees"):
        save_photos(tmp_path / name, ["0.png"])
    assert open_labelled(tmp_path, "all").format == "folders"


# Groups of three photos, of which two are held.
NUM, GROUP = 24, 3


@pytest.fixture
def grouped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> parquet.ParquetPhotos:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (NUM, 8, 8, 3), np.uint8)
    contents = [cv2.imencode(".png", one)[1].tobytes() for one in noise]
    columns = {"image": contents, "label": [k * 2 // NUM for k in range(NUM)]}
    save_table(tmp_path / "train.parquet", columns, rows=GROUP)
    data = open_labelled(tmp_path, "all")
    assert isinstance(data, parquet.ParquetPhotos)
    monkeypatch.setattr(reading_order, "HELD", int(2.5 * data.stored.shelf.size(0, 0)))
    return data


def fresh(data: parquet.ParquetPhotos) -> parquet.ParquetPhotos:
    """As another process gets it."""
    copy = pickle.loads(pickle.dumps(data))
    assert copy.stored.shelf.reads == 0
    return copy  # type: ignore[no-any-return]


def test_each_group_is_read_once_in_order(grouped: parquet.ParquetPhotos) -> None:
    for k in range(NUM):
        grouped.image(k)
    assert grouped.stored.shelf.reads == NUM // GROUP
    half = fresh(grouped).select(np.arange(NUM) % 2 == 0)
    assert isinstance(half, parquet.ParquetPhotos)
    for k in range(len(half)):
        assert half.content(k) == grouped.content(2 * k)
    assert half.stored.shelf.reads == NUM // GROUP


def test_each_group_is_read_once_in_an_epoch(grouped: parquet.ParquetPhotos) -> None:
    photos = LabelledSet(grouped, LabelTransform(16, "none"))
    loader = label_loader(photos, batch_size=4, train=True, workers=0)
    orders = []
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        orders.append([k for batch in loader for k in batch["image_ids"]])
        assert sorted(orders[-1]) == list(range(NUM))
    assert grouped.stored.shelf.reads <= 3 * NUM // GROUP
    assert orders[0] != orders[1] != orders[2]
    # Groups are mixed with each other: no photo is followed by all others of its group.
    assert any(a // GROUP != b // GROUP for a, b in itertools.pairwise(orders[0][: 2 * GROUP]))


@pytest.mark.slow
def test_a_changed_file_ends_a_resume(grouped: parquet.ParquetPhotos) -> None:
    """In other groups of rows the same photos come in another order."""
    import pyarrow.parquet

    def loader() -> ResumableLoader[LabelBatch]:
        photos = LabelledSet(open_labelled(file.parent, "all"), LabelTransform(16, "none"))
        return label_loader(photos, batch_size=4, train=True, workers=0)

    file = grouped.stored.shelf.tables[0]
    state = loader().state_dict()
    loader().load_state_dict(state)
    loader().load_state_dict({"epoch": 0, "batches": 0})  # Of before files had versions.
    rows = pyarrow.parquet.read_table(file)
    pyarrow.parquet.write_table(rows, file, row_group_size=GROUP + 1)
    with pytest.raises(InputError, match=rf"{file.name} has changed since this run's checkpoint"):
        loader().load_state_dict(state)


@pytest.mark.parametrize("workers", [2, 3])
def test_each_process_reads_each_group_once(grouped: parquet.ParquetPhotos, workers: int) -> None:
    for rank in range(2):
        draws = EpochSampler(
            NUM, shuffle=True, rank=rank, world=2, read_together=grouped.read_together
        )
        order = [index for _, index in draws]
        for worker in range(workers):
            own = fresh(grouped)
            for start in range(2 * worker, len(order), 2 * workers):
                for index in order[start : start + 2]:
                    own.image(index)
            assert own.stored.shelf.reads <= NUM // GROUP


def test_the_doctor_and_writers_read_groups_a_few_times(
    grouped: parquet.ParquetPhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one thread: of several, one may lag behind by as many photos as tiny groups have."""
    monkeypatch.setattr(parallel, "ThreadPoolExecutor", partial(ThreadPoolExecutor, 1))
    examine_labels(grouped, decode=True)
    assert grouped.stored.shelf.reads <= 3 * NUM // GROUP
    own = fresh(grouped)
    shards = list_photos(open_shards(write_shards(own, tmp_path / "shards")))
    assert own.stored.shelf.reads == NUM // GROUP
    contents = {grouped.content(k)[0] for k in range(NUM)}
    assert {shards.content(k)[0] for k in range(NUM)} == contents


def test_a_set_that_is_held_is_drawn_in_any_order(grouped: parquet.ParquetPhotos) -> None:
    together, rng = grouped.read_together, np.random.default_rng
    assert together is not None
    some = together.select(np.arange(NUM) < 2 * GROUP)
    plain = rng(7).permutation(2 * GROUP)
    assert reading_order.shuffled(2 * GROUP, rng(7), some).tolist() == plain.tolist()


def test_a_group_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "train.parquet", [0, 1, 0])
    monkeypatch.setattr(parquet_pictures, "MOST_BYTES", 100)
    with pytest.raises(ValueError, match=f"{file}: group of rows 0 has 0 MB .*row_group_size=100"):
        open_labelled(tmp_path, "all")
