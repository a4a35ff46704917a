"""Parquet files of drawn pictures, as the Hub and other writers make them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from datasets.boxes.structure import DetectionData
from tests.datasets.tar_fakes import jpeg

IMAGE = {"_type": "Image"}
NAMES = ["car", "bus"]
BOX = [4.0, 2.0, 12.0, 10.0]  # x, y, width, height in pictures of 24 x 20.
CORNERS = [4.0, 2.0, 16.0, 12.0]


def save_table(
    file: Path,
    columns: dict[str, Any],
    *,
    features: dict[str, Any] | None = None,
    rows: int = 2,
    compression: str = "snappy",
) -> Path:
    """Write columns, lists or arrays, in groups of so many rows."""
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if features is not None:
        told = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": told})
    parquet.write_table(table, file, row_group_size=rows, compression=compression)
    return file


def pictures(count: int, *, start: int = 0, named: bool = True) -> list[dict[str, Any]]:
    """Pictures of 24 x 20, none like another, as the Hub holds them."""
    numbers = range(start, start + count)
    return [
        {"bytes": jpeg(10 + 9 * k), "path": f"{k:02d}.jpg" if named else None} for k in numbers
    ]


def objects(count: int, *, key: str = "category", box: Any = None) -> list[dict[str, Any]]:
    """A box in each picture, of each class in turn."""
    return [{"bbox": [box or BOX], key: [k % 2], "area": [60.0], "id": [k]} for k in range(count)]


def described(key: str = "category") -> dict[str, Any]:
    """What the Hub writes of such columns."""
    kinds = {"names": NAMES, "_type": "ClassLabel"}
    inner = {"bbox": {"feature": {"dtype": "float32", "_type": "Value"}}, key: kinds}
    return {"image": IMAGE, "objects": {"feature": inner, "_type": "Sequence"}}


def box_table(file: Path, count: int = 6, *, start: int = 0, **columns: Any) -> Path:
    """A table as the Hub's sets of boxes have it, and more columns, or others."""
    fields = {
        "image_id": list(range(100 + start, 100 + start + count)),
        "image": pictures(count, start=start),
        "width": [24] * count,
        "height": [20] * count,
        "objects": objects(count),
        **columns,
    }
    kept = {name: values for name, values in fields.items() if values is not None}
    return save_table(file, kept, features=described())


def box_parquet(root: Path) -> Path:
    """A set with both parts."""
    box_table(root / "data/train-00000-of-00002.parquet", 4)
    box_table(root / "data/train-00001-of-00002.parquet", 2, start=4)
    box_table(root / "data/validation-00000-of-00001.parquet", 3, start=6)
    return root


def as_parquet(parts: Mapping[str, DetectionData], root: Path) -> Path:
    """The same set as Parquet."""
    for split, data in parts.items():
        sides = data.boxes.copy()
        sides[:, 2:] -= sides[:, :2]
        things = []
        for k in range(len(data)):
            rows = slice(data.offsets[k], data.offsets[k + 1])
            kinds = (data.labels[rows] - 1).tolist()
            things.append({"bbox": sides[rows].tolist(), "category": kinds})
        shots = [{"bytes": data.content(k), "path": None} for k in range(len(data))]
        columns = {"image": shots, "objects": things}
        kinds = {"names": list(data.classes.names), "_type": "ClassLabel"}
        features = {"image": IMAGE, "objects": {"bbox": {}, "category": {"feature": kinds}}}
        save_table(root / f"data/{split}-0.parquet", columns, features=features, rows=5)
    return root
