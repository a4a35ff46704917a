"""The reader of ncnn's files, against the same network built from torch's layers."""

from pathlib import Path

import pytest
import torch

from tests.tasks.ncnn import NcnnNetwork
from tests.tasks.ncnn_files import write_ncnn


def test_it_answers_as_the_same_layers_of_torch(tmp_path: Path) -> None:
    original = write_ncnn(tmp_path / "small.param")
    network = NcnnNetwork(tmp_path / "small.param", tmp_path / "small.bin").eval()
    images = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(1)) * 255
    with torch.inference_mode():
        theirs = original(images)
        torch.testing.assert_close(network(images), theirs, rtol=1e-5, atol=1e-4)
    assert theirs.std() > 1


def test_bytes_left_over_are_told(tmp_path: Path) -> None:
    write_ncnn(tmp_path / "small.param")
    file = tmp_path / "small.bin"
    file.write_bytes(file.read_bytes() + bytes(8))
    with pytest.raises(AssertionError, match="8 bytes are left over"):
        NcnnNetwork(tmp_path / "small.param", file)
