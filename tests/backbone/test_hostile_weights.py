"""Weights that are pointers, of another kind than their suffix says, or made to exhaust."""

import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from backbone.formats.keras import is_keras_zip
from backbone.formats.network import STEM, find_alpha
from backbone.formats.recognise import read_network
from backbone.formats.tf_bundle import read_bundle
from datasets.errors import InputError
from tests.backbone import foreign
from tests.backbone.graph_files import (
    Graph,
    classifier_graph,
    tensor_message,
    write_graph_def,
    write_graph_model,
)
from tests.conftest import Tool
from tests.tools.mistakes import expect

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n"
FETCH = "is a pointer of Git LFS, not the file itself: run git lfs pull"


@pytest.mark.parametrize("name", ["m.onnx", "m.pb", "m.index", "m.tflite"])
def test_pointers_are_told(tool: Tool, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(POINTER)
    expect(tool("import_weights", tmp_path / name, "--out", tmp_path / "o"), name, FETCH)


def test_pointers_beside_a_file_are_told(tmp_path: Path) -> None:
    file = write_graph_model(tmp_path, classifier_graph(foreign.random_state()))
    shard = json.loads(file.read_text())["weightsManifest"][0]["paths"][0]
    (tmp_path / shard).write_text(POINTER)
    with pytest.raises(InputError, match=rf"{shard}: is a pointer of Git LFS"):
        read_network(file)
    foreign.write_bundle(tmp_path / "m.ckpt", foreign.slim_names(foreign.random_state()))
    (data,) = tmp_path.glob("*.data-*")
    data.write_text(POINTER)
    with pytest.raises(InputError, match=r"data-.*: is a pointer of Git LFS"):
        read_network(tmp_path / "m.ckpt.index")


def test_a_saved_model_is_told_from_a_graph(tool: Tool, tmp_path: Path) -> None:
    file = tmp_path / "saved_model.pb"
    file.write_bytes(b"\x08\x01\x12\x00")
    expect(tool("import_weights", file, "--out", tmp_path / "o"), "SavedModel", "freeze it")


def constants(count: int, kind: bytes) -> bytes:
    """Constants of 2 ** 22 numbers each in a few bytes."""
    sides = tensor_message(np.zeros((1, 1), np.float32), one_by_one=True)
    shape = foreign.field(2, foreign.field(2, foreign.field(1, 2**22)))
    many = sides[:2] + shape + sides[-6:]
    attr = foreign.field(1, b"value") + foreign.field(2, foreign.field(8, many))
    node = foreign.field(2, kind) + foreign.field(5, attr)
    rows = [foreign.field(1, f"c{k}".encode()) + node for k in range(count)]
    return b"".join(foreign.field(1, row) for row in rows)


@pytest.mark.slow
def test_constants_of_few_bytes_have_one_budget(tmp_path: Path) -> None:
    file = tmp_path / "m.pb"
    file.write_bytes(constants(3, b"Const"))
    with pytest.raises(InputError, match="no input"):
        read_network(file)
    file.write_bytes(constants(17, b"Const"))
    with pytest.raises(InputError, match="constants of more than"):
        read_network(file)


@pytest.mark.slow
def test_folded_constants_have_one_budget(tmp_path: Path) -> None:
    graph = Graph()
    graph.add("input", "Placeholder", [], dtype=1, shape=[1, 8, 8, 3])
    x = graph.constant("a", np.zeros(2**20, np.float32))
    for number in range(70):
        graph.add(f"r{number}", "Add", [x, x])
    with pytest.raises(InputError, match="constants of more than"):
        read_network(write_graph_def(tmp_path / "m.pb", graph))


def test_a_checkpoint_index_that_points_far_away_is_damaged(tmp_path: Path) -> None:
    foreign.write_bundle(tmp_path / "m.ckpt", foreign.slim_names(foreign.random_state()))
    index = tmp_path / "m.ckpt.index"
    content = bytearray(index.read_bytes())
    far = foreign.varint(0) + foreign.varint(0) + foreign.varint(2**63) + foreign.varint(2**63)
    content[-48:-8] = far.ljust(40, b"\0")
    index.write_bytes(content)
    with pytest.raises(InputError, match="damaged checkpoint index"):
        read_bundle(index, lambda _: True)


def test_archives_with_damaged_lists_of_members_are_not_kerass(tmp_path: Path) -> None:
    """Whatever is wrong there: a name that is no UTF-8, a version of its own."""
    file = tmp_path / "m.pth"
    torch.save(foreign.in_order(foreign.random_state()), file)
    content = file.read_bytes()
    at = content.rindex(b"PK\x01\x02")
    for place, value in ((at + 8, b"\0\x08"), (at + 46, b"\xf3" * 4), (at + 6, b"\xff\xff")):
        content = content[:place] + value + content[place + len(value) :]
        file.write_bytes(content)
        assert not is_keras_zip(file)


def test_arrays_that_nobody_wrote_have_one_budget(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("layers/conv2d/vars/0", (2**27,), np.float32)
    with pytest.raises(InputError, match=r"m\.h5: damaged Keras file \(.*too large"):
        read_network(tmp_path / "m.h5")


@pytest.mark.slow
def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2**27)}, tmp_path / "large.pth")
    large = zipfile.ZipFile(tmp_path / "large.pth")
    with large, zipfile.ZipFile(tmp_path / "m.pth", "w", zipfile.ZIP_DEFLATED) as small:
        for name in large.namelist():
            small.writestr(name, large.read(name))
    with pytest.raises(InputError, match=r"m\.pth: damaged weights file \(it unpacks to 0\.5 GB"):
        read_network(tmp_path / "m.pth")


@pytest.mark.parametrize("change", [{"mean": [10**400] * 3}, {"input_size": [3, float("inf")]}])
def test_numbers_beyond_all_bounds_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    save_file(foreign.timm_names(foreign.random_state()), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(foreign.timm_config(**change))
    with pytest.raises(InputError, match=r"config\.json: not the configuration of a timm model"):
        read_network(tmp_path)


def test_a_first_layer_of_no_axis_gives_no_width() -> None:
    state = {key: torch.tensor(1.0) for key in (STEM, STEM.replace("0", "13.pointwise"))}
    with pytest.raises(InputError, match="first layer 0 and last layer 0"):
        find_alpha("x", state)


@pytest.mark.parametrize(
    "flags", [("--out", "o"), ("--labels", "l"), ("--key-map", "k"), ("--bn-eps", "0.1")]
)
def test_a_draft_of_keys_takes_no_other_flags(
    tool: Tool, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    torch.save(foreign.in_order(foreign.random_state()), tmp_path / "m.pth")
    answer = tool("import_weights", tmp_path / "m.pth", "--list-keys", *flags)
    expect(answer, f"{flags[0]} {flags[1]}: --list-keys only prints a draft")
