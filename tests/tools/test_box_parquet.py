"""Boxes in Parquet files, trained on, evaluated and converted by the tools."""

from pathlib import Path

import numpy as np
import pytest

from datasets.boxes.opening import open_parts
from tests.conftest import Tool
from tests.datasets.parquet_fakes import as_parquet
from tests.tools.runs import SMALL

pytest.importorskip("pyarrow")


@pytest.mark.slow
def test_a_set_goes_through_the_tools(scenes: Path, tool: Tool, tmp_path: Path) -> None:
    parts = open_parts(scenes)
    data = as_parquet(parts, tmp_path / "set")
    status, out, err = tool("check_data", data)
    assert status == 0, err
    assert "format parquet (data/train-0.parquet has columns image and objects)" in out
    args = (*SMALL, "--epochs", 1, "--workers", 2)
    status, out, err = tool("train_det", "--data", data, "--out", tmp_path / "run", *args)
    assert status == 0, err
    assert "2 archives of images, 0 passed over" in err
    assert "AP50" in out
    status, out, err = tool("evaluate", tmp_path / "run", "--data", data)
    assert status == 0, err
    status, out, err = tool("convert", data, "--to", "coco", "--out", tmp_path / "coco")
    assert status == 0, err
    back = open_parts(tmp_path / "coco")
    for split, ours in parts.items():
        np.testing.assert_allclose(back[split].boxes, ours.boxes, atol=1e-9)
        assert back[split].classes.names == ours.classes.names
        assert [back[split].content(k) for k in range(len(ours))] == [
            ours.content(k) for k in range(len(ours))
        ]
