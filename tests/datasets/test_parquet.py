"""Hugging Face's Parquet files: read, parted, damaged ones named."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from datasets.kind import CheckOptions
from datasets.kinds import recognise
from datasets.labels import parquet
from datasets.labels.opening import open_labelled
from datasets.ledger import ARCHIVES, traced
from datasets.shards.tar import open_shards, write_shards

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
    with pytest.raises(ValueError, match=r"train.parquet:1: not a picture"):
        data.image(1)
    with pytest.raises(ValueError, match=r"train.parquet:1: not a picture"):
        data.content(1)
    with pytest.raises(ValueError, match=r"train.parquet:2: holds no picture"):
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
    monkeypatch.setattr(parquet.importlib.util, "find_spec", lambda _: None)
    for path in (tmp_path, tmp_path / "train-00000.parquet"):
        with pytest.raises(ValueError, match=r"to read it, pip install pyarrow"):
            open_labelled(path, "train")
