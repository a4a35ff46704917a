"""Foreign weights files: what was written is what is read, and everything else is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from backbone.formats.hub import fetch_hub
from backbone.formats.network import Network
from backbone.formats.partial import PLAIN, TENSORFLOW, PartialFlavour, resolve
from backbone.formats.recognise import read_network
from backbone.formats.tf_bundle import read_bundle
from tests.backbone import foreign

FLAGS = PartialFlavour(
    padding="symmetric",
    bn_eps=1e-5,
    activation="relu",
    size=96,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)


def expect_equal(network: Network, state: dict[str, Tensor], atol: float = 0.0) -> None:
    assert network.state.keys() == state.keys()
    for name, value in state.items():
        torch.testing.assert_close(network.state[name], value, rtol=0, atol=atol, msg=name)
    assert network.alpha == pytest.approx(foreign.ALPHA)


# TF-slim.


def test_the_checksum_is_crc32c() -> None:
    assert foreign.crc32c(b"123456789") == 0xE3069283  # The catalogue's check value.


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x", "x.index", "x.data-00000-of-00001", "x.meta", "."])
def test_a_checkpoint_is_read_by_any_of_its_names(tmp_path: Path, name: str) -> None:
    state = foreign.random_state(columns=11)
    tensors = foreign.slim_names(state)
    conv0 = tensors["MobilenetV1/Conv2d_0/weights"]
    slots: dict[str, NDArray[Any]] = {
        "MobilenetV1/Conv2d_0/weights/RMSProp": conv0,
        "MobilenetV1/Conv2d_0/weights/ExponentialMovingAverage": conv0,
        "global_step": np.array(7, np.int64),
    }
    foreign.write_bundle(tmp_path / "x", {**tensors, **slots})
    network = read_network(tmp_path / name)
    expect_equal(network, state)
    flavour = resolve("x", network.stated, network.usual, PartialFlavour(size=160))
    assert (flavour.padding, flavour.bn_eps, flavour.activation) == ("same", 1e-3, "relu6")
    assert flavour.input.mean == flavour.input.std == (0.5, 0.5, 0.5)


@pytest.mark.slow
def test_the_size_is_in_the_name_or_asked_for(tmp_path: Path) -> None:
    tensors = foreign.slim_names(foreign.random_state())
    network = read_network(foreign.write_bundle(tmp_path / "mobilenet_v1_0.25_128.ckpt", tensors))
    assert network.usual.size == 128
    network = read_network(foreign.write_bundle(tmp_path / "model.ckpt-1234567", tensors))
    with pytest.raises(ValueError, match=r"model\.ckpt-1234567.*give --size PIXELS"):
        resolve(network.name, network.stated, network.usual, PartialFlavour())


CONV0, CONV4 = "MobilenetV1/Conv2d_0/weights", "MobilenetV1/Conv2d_4_pointwise/weights"
BETA, GAMMA = "Conv2d_3_depthwise/BatchNorm/beta", "MobilenetV1/Conv2d_0/BatchNorm/gamma"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda t: t.pop(f"MobilenetV1/{BETA}"), "lacks the tensor"),
        (lambda t: t.update({"MobilenetV1/More/weights": t[CONV0]}), "'MobilenetV1/More/weights'"),
        (lambda t: t.update({CONV4: np.zeros((1, 1, 2, 3), "f4")}), r"wise/weights' is \(3, 2, 1"),
        (lambda t: t[GAMMA].fill(np.nan), "not finite"),
    ],
)
def test_every_tensor_is_checked(
    tmp_path: Path, change: Callable[[dict[str, foreign.Array]], object], part: str
) -> None:
    whole = foreign.slim_names(foreign.random_state())
    tensors = {name: value.copy() for name, value in whole.items()}
    change(tensors)
    with pytest.raises(ValueError, match=part):
        read_network(foreign.write_bundle(tmp_path / "x", tensors))


@pytest.mark.parametrize("at", [10, 3000, -60])
def test_a_damaged_index_is_refused(tmp_path: Path, at: int) -> None:
    foreign.write_bundle(tmp_path / "x", foreign.slim_names(foreign.random_state()))
    index = tmp_path / "x.index"
    data = bytearray(index.read_bytes())
    data[at] ^= 0x40
    index.write_bytes(data)
    with pytest.raises(ValueError, match="damaged checkpoint index"):
        read_network(tmp_path / "x")


@pytest.mark.slow
def test_damaged_data_is_refused(tmp_path: Path) -> None:
    foreign.write_bundle(tmp_path / "x", foreign.slim_names(foreign.random_state()))
    file = tmp_path / "x.data-00000-of-00001"
    whole = file.read_bytes()
    file.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    with pytest.raises(ValueError, match=r"x\.data.*damaged: the checksum of 'Mob"):
        read_network(tmp_path / "x")
    file.write_bytes(whole[:-10])
    with pytest.raises(ValueError, match="cut short"):
        read_network(tmp_path / "x")
    file.unlink()
    with pytest.raises(ValueError, match=r"its data file x\.data-00000-of-00001 is not beside it"):
        read_network(tmp_path / "x")


@pytest.mark.parametrize("whole_folder", [False, True])
def test_a_checkpoint_of_the_first_format_is_told_as_such(
    tmp_path: Path, whole_folder: bool
) -> None:
    """It is one file, a table that holds the tensors themselves."""
    foreign.write_bundle(tmp_path / "x", {"a": np.ones(3, "f4")})
    (tmp_path / "x.index").rename(tmp_path / "model.ckpt")
    with pytest.raises(ValueError, match=r"model\.ckpt: a TensorFlow checkpoint of the first"):
        read_network(tmp_path if whole_folder else tmp_path / "model.ckpt")


def test_other_kinds_of_tensor_are_only_named(tmp_path: Path) -> None:
    foreign.write_bundle(tmp_path / "x", {"a": np.ones(3, "f4"), "step": np.array(7, np.int64)})
    tensors, others = read_bundle(tmp_path / "x.index", lambda name: name == "a")
    assert tensors["a"].tolist() == [1, 1, 1]
    assert others == ["step"]
    with pytest.raises(ValueError, match="'step' is of TensorFlow's kind 9, no float"):
        read_bundle(tmp_path / "x.index", lambda _: True)


# Caffe.


@pytest.mark.slow
@pytest.mark.parametrize("old", [False, True])
def test_a_caffemodel_is_read(tmp_path: Path, old: bool) -> None:
    state = foreign.random_state()
    network = read_network(foreign.write_caffe(tmp_path / "m.caffemodel", state, old=old))
    expect_equal(network, state, atol=1e-6)
    flavour = resolve("m", network.stated, network.usual, PartialFlavour())
    assert (flavour.padding, flavour.bn_eps, flavour.activation) == ("symmetric", 1e-5, "relu")
    assert flavour.input.channels == "bgr"
    blue, _, red = flavour.input.mean
    assert (255 * blue, 255 * red) == pytest.approx((103.94, 123.68))
    assert 1 / (255 * flavour.input.std[0]) == pytest.approx(0.017)


@pytest.mark.slow
def test_caffes_own_parameters_count(tmp_path: Path) -> None:
    state = foreign.random_state()
    network = read_network(foreign.write_caffe(tmp_path / "m.caffemodel", state, eps=1e-3))
    assert network.stated.bn_eps == 1e-3
    with pytest.raises(ValueError, match="conv1 pads by"):
        read_network(foreign.write_caffe(tmp_path / "m.caffemodel", state, pad=0))


@pytest.mark.parametrize("size", [0, 1, 1000, -5])
def test_a_cut_caffemodel_is_refused(tmp_path: Path, size: int) -> None:
    file = foreign.write_caffe(tmp_path / "m.caffemodel", foreign.random_state())
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"m\.caffemodel: (damaged caffemodel|no layers|unknown)"):
        read_network(file)


# PyTorch.


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("columns", [6, 0])
def test_timms_names_are_known(tmp_path: Path, suffix: str, columns: int) -> None:
    state = foreign.random_state(columns)
    file = tmp_path / f"m.{suffix}"
    theirs = foreign.timm_names(state)
    save_file(theirs, file) if suffix == "safetensors" else torch.save(theirs, file)
    network = read_network(file)
    expect_equal(network, state)
    assert network.columns == columns
    flavour = resolve("m", network.stated, network.usual, PartialFlavour())
    assert (flavour.padding, flavour.bn_eps, flavour.activation) == ("symmetric", 1e-5, "relu6")
    assert (flavour.input.interpolation, flavour.input.crop) == ("bicubic", 0.875)


@pytest.mark.slow
def test_a_folder_with_timms_configuration(tmp_path: Path) -> None:
    save_file(foreign.timm_names(foreign.random_state()), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(foreign.timm_config(size=256, mean=[0.4, 0.5, 0.6]))
    network = read_network(tmp_path)
    assert network.stated.size == 256
    assert network.stated.mean == (0.4, 0.5, 0.6)
    assert network.stated.crop == 0.9
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"config\.json: not the configuration of a timm model"):
        read_network(tmp_path)


@pytest.mark.slow
def test_timms_head_convolution_is_read(tmp_path: Path) -> None:
    state = foreign.random_state(variant="conv_head")
    theirs, file = foreign.timm_names(state), tmp_path / "h.safetensors"
    save_file(theirs, file)
    network = read_network(file)
    expect_equal(network, state)
    assert network.variant == "conv_head"
    assert network.state["head.2.weight"].shape == (6, 1024)
    save_file(theirs | {"conv_head.weight": torch.zeros(8, 51, 1, 1)}, file)
    with pytest.raises(
        ValueError, match=r"'conv_head\.weight' is \(8, 51, 1, 1\), but \(1024, 51"
    ):
        read_network(file)


@pytest.mark.slow
@pytest.mark.parametrize("counters", [True, False])
@pytest.mark.parametrize("wrap", ["plain", "state_dict", "module", "legacy"])
def test_layers_in_order(tmp_path: Path, wrap: str, counters: bool) -> None:
    state = foreign.random_state()
    theirs: dict[str, object] = {**foreign.in_order(state, counters=counters)}
    if wrap != "plain":
        theirs = {"epoch": 3, "state_dict": theirs, "optimizer": {"state": {}}}
    if wrap == "module":
        theirs["state_dict"] = {f"module.{k}": v for k, v in foreign.in_order(state).items()}
    torch.save(theirs, tmp_path / "m.tar", _use_new_zipfile_serialization=wrap != "legacy")
    network = read_network(tmp_path / "m.tar")
    expect_equal(network, state)
    with pytest.raises(ValueError, match=r"--padding .*--bn-eps .*--activation .*--size .*--mean"):
        resolve(network.name, network.stated, network.usual, PartialFlavour())
    flavour = resolve(network.name, network.stated, network.usual, FLAGS)
    assert flavour.activation == "relu"
    assert flavour.input.crop == 0.875


@pytest.mark.slow
def test_safetensors_keep_no_order_so_a_key_map_is_needed(tmp_path: Path) -> None:
    state = foreign.random_state()
    theirs, file, table = foreign.in_order(state), tmp_path / "m.safetensors", tmp_path / "k.json"
    save_file(theirs, file)
    with pytest.raises(ValueError, match="keeps no order; give --key-map"):
        read_network(file)
    names = dict(zip(state, theirs, strict=True))
    table.write_text(json.dumps(names))
    expect_equal(read_network(file, key_map=table), state)
    last = names.pop("body.layers.3.depthwise.bn.bias")
    table.write_text(json.dumps(names))
    with pytest.raises(ValueError, match=r"k\.json: lacks 'body\.layers\.3\.depthwise\.bn\.bias'"):
        read_network(file, key_map=table)
    table.write_text(json.dumps({**names, "body.layers.3.depthwise.bn.bias": "gone"}))
    with pytest.raises(ValueError, match="lacks the tensor 'gone'"):
        read_network(file, key_map=table)
    table.write_text(json.dumps({**names, "body.layers.3.depthwise.bn.bias": last, "x": "y"}))
    with pytest.raises(ValueError, match="unknown key 'x'"):
        read_network(file, key_map=table)
    table.write_text("nonsense")
    with pytest.raises(ValueError, match=r"--key-map .*k\.json:.*JSON"):
        read_network(file, key_map=table)


class Bomb:
    """What a pickle may hide."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return print, ("boom",)


def test_no_program_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(
        {"state_dict": foreign.in_order(foreign.random_state()), "x": Bomb()}, tmp_path / "b.pth"
    )
    with pytest.raises(ValueError, match=r"b\.pth: holds more than tensors"):
        read_network(tmp_path / "b.pth")
    assert "boom" not in capsys.readouterr().out


@pytest.mark.slow
def test_other_networks_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.pth"
    theirs = foreign.in_order(foreign.random_state())
    torch.save({**theirs, "more.weight": torch.zeros(3)}, file)
    with pytest.raises(ValueError, match="138 tensors in no known order; a MobileNet v1 has 135"):
        read_network(file)
    torch.save({**theirs, "model.5.0.weight": torch.zeros(8, 8, 3, 3)}, file)
    with pytest.raises(
        ValueError, match=r"'model\.5\.0\.weight' is \(8, 8, 3, 3\), but \(8, 1, 3"
    ):
        read_network(file)
    torch.save({**theirs, "model.0.0.weight": torch.zeros(40, 3, 3, 3)}, file)
    with pytest.raises(ValueError, match="first layer 40 and last layer 51 channels wide"):
        read_network(file)
    torch.save({"epoch": 3}, file)
    with pytest.raises(ValueError, match="no weights in this file"):
        read_network(file)
    torch.save({"model": theirs, "net": theirs}, file)
    with pytest.raises(ValueError, match="more than one set of weights"):
        read_network(file)
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r"m\.pth: damaged"):
        read_network(file)


# Hugging Face's hub.


@pytest.mark.slow
def test_a_name_on_the_hub_comes_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    name, revision = "timm/mobilenetv1_100.ra4_e3600_r224_in1k", "0" * 40
    folder = tmp_path / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text(revision)
    inside = folder / "snapshots" / revision
    inside.mkdir(parents=True)
    state = foreign.random_state()
    save_file(foreign.timm_names(state), inside / "model.safetensors")
    (inside / "config.json").write_text(foreign.timm_config())
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    found = fetch_hub(f"hf-hub:{name}")
    assert found == inside
    expect_equal(read_network(found), state)
    with pytest.raises(ValueError, match="hf-hub:timm/other: cannot be had from the hub"):
        fetch_hub("hf-hub:timm/other")


# Flavours in the making.


def test_what_the_file_states_cannot_be_overruled() -> None:
    stated = PartialFlavour(padding="same", bn_eps=1e-3, activation="relu6", size=128)
    assert resolve("x", stated, TENSORFLOW, PartialFlavour(crop=1.0)).input.crop == 1.0
    with pytest.raises(ValueError, match=r"x: --bn-eps 1e-05 contradicts the file.* 0\.001"):
        resolve("x", stated, TENSORFLOW, PartialFlavour(bn_eps=1e-5))
    with pytest.raises(ValueError, match=r"x: this file states none .* give --mean R G B, --std"):
        resolve("x", stated, PLAIN, PartialFlavour())
    with pytest.raises(ValueError, match="unknown activation 'gelu'"):
        resolve(
            "x", replace(stated, activation=None), TENSORFLOW, PartialFlavour(activation="gelu")
        )


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("x.abc", b"x", r"unknown kind of weights '\.abc'; this tool reads TensorFlow Lite"),
        ("x.pb", b"x", "damaged TensorFlow graph"),
        ("x.caffemodel", b"\xff" * 40, "damaged caffemodel"),
        ("x.h5", b"\x89HDF\r\n\x1a\n" + bytes(40), r"damaged Keras file|needs h5py"),
        ("x.safetensors", b"\x10\0\0\0\0\0\0\0{" + bytes(40), "damaged weights file"),
        ("x.pth", b"PK\x03\x04" + bytes(40), "damaged weights file"),
        ("x.data-00000-of-00001", b"abc", r"\.index must lie beside it"),
    ],
)
def test_other_files(tmp_path: Path, name: str, content: bytes, part: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=part) as error:
        read_network(tmp_path / name)
    assert name in str(error.value)
    with pytest.raises(ValueError, match="no weights in this folder"):
        read_network(tmp_path)
    with pytest.raises(ValueError, match="nothing: no such file"):
        read_network(tmp_path / "nothing")
