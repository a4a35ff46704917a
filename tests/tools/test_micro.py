"""``tools/export.py --micro``: networks of 8 bits for microcontrollers."""

from pathlib import Path

import numpy as np
import pytest

from datasets.images import save_image
from tasks.runtime.open import open_export
from tests.conftest import Tool
from tests.exports import Exports, photos
from tests.litert import kinds_in, open_litert


@pytest.mark.slow
def test_signed_bytes_come_in(exports: Exports, tool: Tool, tmp_path: Path) -> None:
    """Whoever runs the file through the suite does not notice."""
    source, out = exports.source("attributes"), tmp_path / "model.tflite"
    album = tmp_path / "album"
    album.mkdir()
    for number, photo in enumerate(photos(3)):
        save_image(album / f"{number}.png", photo)
    micro = ("--target", "litert", "--int8", "--micro", "--calibrate", album, "--out", out)
    status, _, err = tool("export", source.file, *micro)
    assert status == 0, err
    assert open_litert(out).get_input_details()[0]["dtype"] == np.int8
    assert "FULLY_CONNECTED" not in kinds_in(out), "it would want weights in real numbers"
    exported = open_export(out, 1)
    assert exported.precision == "int8"
    for found, wanted in zip(exported(photos()), source.predict()(photos()), strict=True):
        assert np.abs(found["probabilities"] - wanted["probabilities"]).mean() < 0.1


def test_flags_that_it_needs(tool: Tool, tmp_path: Path) -> None:
    for given in ((), ("--target", "litert"), ("--int8", "--calibrate", tmp_path)):
        status, _, err = tool("export", tmp_path, "--micro", *given)
        assert status == 2
        assert "--micro: goes with --target litert --int8" in err
