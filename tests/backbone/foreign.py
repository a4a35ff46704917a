"""Random networks, written to disk as other frameworks write theirs."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backbone.formats.network import CONV_HEAD, CONVS
from backbone.mobilenet_v1 import MobileNetV1
from backbone.spec import Variant

# Small, so that tests are fast: 8 to 51 channels.
ALPHA = 0.05
Array = NDArray[np.float32]


def random_state(
    columns: int = 6,
    alpha: float = ALPHA,
    seed: int = 0,
    *,
    counters: bool = True,
    variant: Variant = "standard",
) -> dict[str, Tensor]:
    """A classifier's state dict in our names, with statistics as training leaves them."""
    rng = torch.Generator().manual_seed(seed)
    body = MobileNetV1(alpha, variant=variant)
    state: dict[str, Tensor] = {}
    for name, value in body.state_dict().items():
        noise = torch.randn(value.shape, generator=rng)
        if value.ndim == 4:
            state[f"body.{name}"] = noise * (2 / value[0].numel()) ** 0.5
        elif name.endswith(("bn.weight", "running_var")):
            state[f"body.{name}"] = torch.rand(value.shape, generator=rng) + 0.5
        elif value.ndim:
            state[f"body.{name}"] = 0.1 * noise
        elif counters:
            state[f"body.{name}"] = torch.tensor(0)
    if columns:
        width = body.channels[32]
        state["head.2.weight"] = torch.randn(columns, width, generator=rng) / width**0.5
        state["head.2.bias"] = 0.1 * torch.randn(columns, generator=rng)
    return state


def in_order(state: Mapping[str, Tensor], *, counters: bool = True) -> dict[str, Tensor]:
    """As a Sequential of Sequentials names them: model.0.0.weight, model.0.1.weight, ..., fc."""
    parts = {"conv.weight": "0.weight"} | {
        f"bn.{part}": f"1.{part}"
        for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    found = {}
    for number, conv in enumerate(CONVS):
        for ours, theirs in parts.items():
            if counters or not theirs.endswith("tracked"):
                found[f"model.{number}.{theirs}"] = state[f"body.layers.{conv}.{ours}"]
    if "head.2.weight" in state:
        found |= {"fc.weight": state["head.2.weight"], "fc.bias": state["head.2.bias"]}
    return found


def timm_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As timm names them."""
    convs, norms = ["conv_stem"], ["bn1"]
    for stage, blocks in enumerate((1, 2, 2, 6, 2)):
        for block in range(blocks):
            convs += [f"blocks.{stage}.{block}.conv_dw", f"blocks.{stage}.{block}.conv_pw"]
            norms += [f"blocks.{stage}.{block}.bn1", f"blocks.{stage}.{block}.bn2"]
    found = {}
    if f"body.layers.{CONV_HEAD}.conv.weight" in state:
        convs, norms = [*convs, "conv_head"], [*norms, "bn2"]
    every = (*CONVS, CONV_HEAD)[: len(convs)]
    for ours, conv, norm in zip(every, convs, norms, strict=True):
        for name, value in state.items():
            if name.startswith(f"body.layers.{ours}.conv"):
                found[f"{conv}.weight"] = value
            elif name.startswith(f"body.layers.{ours}.bn"):
                found[f"{norm}.{name.rpartition('.')[2]}"] = value
    if "head.2.weight" in state:
        for part in ("weight", "bias"):
            found[f"classifier.{part}"] = state[f"head.2.{part}"]
    return found


def timm_config(size: int = 224, **other: Any) -> str:
    """config.json as timm writes it."""
    cfg = {
        "input_size": [3, size, size],
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bicubic",
        "crop_pct": 0.9,
    }
    return json.dumps({"architecture": "mobilenetv1_100", "pretrained_cfg": {**cfg, **other}})


_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean"}
_NORM["running_var"] = "moving_variance"


def _kernel(weight: Tensor, *, depthwise: bool) -> Array:
    value: Array = weight.numpy().transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
    return np.ascontiguousarray(value)


def slim_names(state: Mapping[str, Tensor]) -> dict[str, Array]:
    """As TF-slim names them, in its axis order."""
    found: dict[str, Array] = {}
    for conv in CONVS:
        scope = f"MobilenetV1/Conv2d_{conv.replace('.', '_')}"
        dw = scope.endswith("depthwise")
        kernel = state[f"body.layers.{conv}.conv.weight"]
        found[f"{scope}/{'depthwise_' * dw}weights"] = _kernel(kernel, depthwise=dw)
        for ours, theirs in _NORM.items():
            found[f"{scope}/BatchNorm/{theirs}"] = state[f"body.layers.{conv}.bn.{ours}"].numpy()
    head = "MobilenetV1/Logits/Conv2d_1c_1x1"
    found[f"{head}/weights"] = _kernel(state["head.2.weight"][:, :, None, None], depthwise=False)
    found[f"{head}/biases"] = state["head.2.bias"].numpy()
    return found


def keras_names(state: Mapping[str, Tensor]) -> dict[str, Array]:
    """As Keras 2 names them: layer/kernel:0."""
    found: dict[str, Array] = {}
    for conv in CONVS:
        block, _, part = conv.partition(".")
        dw = part == "depthwise"
        layer = f"conv_{'dw' if dw else 'pw'}_{block}" if part else "conv1"
        kernel = _kernel(state[f"body.layers.{conv}.conv.weight"], depthwise=dw)
        found[f"{layer}/{layer}/{'depthwise_' * dw}kernel:0"] = kernel
        for ours, theirs in _NORM.items():
            value = state[f"body.layers.{conv}.bn.{ours}"].numpy()
            found[f"{layer}_bn/{layer}_bn/{theirs}:0"] = value
    if "head.2.weight" in state:
        kernel = _kernel(state["head.2.weight"][:, :, None, None], depthwise=False)
        found["conv_preds/conv_preds/kernel:0"] = kernel
        found["conv_preds/conv_preds/bias:0"] = state["head.2.bias"].numpy()
    return found


# Protocol buffers.


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | bytes | float) -> bytes:
    """A field of a message: an integer, a float (fixed32), or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3 | 2) + varint(len(value)) + value


# TensorFlow's checkpoints.


def crc32c(data: bytes) -> int:
    """Bit by bit, as the polynomial says, for few bytes; a table makes it bearable for more."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (0x82F63B78 * (byte & 1))
    return byte


_CRC = [_crc_of(byte) for byte in range(256)]


def masked(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF


def _block(rows: list[tuple[bytes, bytes]]) -> bytes:
    """A LevelDB block: keys share their beginning with the one before, but for each 16th."""
    out, restarts, last = bytearray(), [], b""
    for number, (key, value) in enumerate(rows):
        shared = 0
        if number % 16:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        else:
            restarts.append(len(out))
        out += varint(shared) + varint(len(key) - shared) + varint(len(value))
        out += key[shared:] + value
        last = key
    out += b"".join(struct.pack("<I", at) for at in restarts or [0])
    return bytes(out) + struct.pack("<I", len(restarts or [0]))


def _table(rows: list[tuple[bytes, bytes]], rows_per_block: int = 40) -> bytes:
    out, index = bytearray(), []

    def append(block: bytes) -> bytes:
        handle = varint(len(out)) + varint(len(block))
        out.extend(block + b"\0" + struct.pack("<I", masked(block + b"\0")))
        return handle

    for at in range(0, len(rows), rows_per_block):
        part = rows[at : at + rows_per_block]
        index.append((part[-1][0], append(_block(part))))
    footer = append(_block([])) + append(_block(index))
    return bytes(out) + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def write_bundle(prefix: Path, tensors: Mapping[str, NDArray[Any]]) -> Path:
    """PREFIX.index and PREFIX.data-00000-of-00001, as tf.train.Saver writes them."""
    kinds = {"float32": 1, "int64": 9}
    rows = [(b"", field(1, 1) + field(3, field(1, 1)))]
    data = bytearray()
    for name, value in sorted(tensors.items()):
        raw = np.ascontiguousarray(value).tobytes()
        dims = b"".join(field(2, field(1, size)) for size in value.shape)
        entry = field(1, kinds[value.dtype.name]) + field(2, dims)
        entry += field(4, len(data)) + field(5, len(raw))
        entry += varint(6 << 3 | 5) + struct.pack("<I", masked(raw))
        rows.append((name.encode(), entry))
        data += raw
    prefix.with_name(f"{prefix.name}.index").write_bytes(_table(rows))
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)
    return prefix


# Caffe's models.


def _blob(value: Tensor, *, old: bool = False) -> bytes:
    dims = list(value.shape)
    data = field(5, value.numpy().astype("<f4").tobytes())
    if old:
        four = [1] * (4 - len(dims)) + dims
        return b"".join(field(k, size) for k, size in enumerate(four, start=1)) + data
    return field(7, field(1, b"".join(varint(size) for size in dims))) + data


def _layer(name: str, kind: str, blobs: Iterable[bytes], extra: bytes = b"") -> bytes:
    body = field(1, name.encode()) + field(2, kind.encode())
    return field(100, body + b"".join(field(7, blob) for blob in blobs) + extra)


def write_caffe(
    path: Path, state: Mapping[str, Tensor], *, pad: int = 1, eps: float = 0.0, old: bool = False
) -> Path:
    """A caffemodel with shicai's layer names; statistics as sums over 3 batches."""
    steps = ["2_1", "2_2", "3_1", "3_2", "4_1", "4_2", *(f"5_{k}" for k in range(1, 7)), "6"]
    out = field(1, b"MOBILENET")
    for conv in CONVS:
        block, _, part = conv.partition(".")
        name = f"conv{steps[int(block) - 1]}/{'dw' if part == 'depthwise' else 'sep'}"
        name = name if part else "conv1"
        key = f"body.layers.{conv}"
        is_wide = state[f"{key}.conv.weight"].shape[-1] == 3
        extra = field(106, field(3, pad)) if is_wide else field(106, field(3, 0))
        blob = _blob(state[f"{key}.conv.weight"], old=old)
        out += _layer(name, "Convolution", [blob], extra)
        mean, var = (3 * state[f"{key}.bn.{part}"] for part in ("running_mean", "running_var"))
        stats = [_blob(value, old=old) for value in (mean, var, torch.tensor([3.0]))]
        out += _layer(f"{name}/bn", "BatchNorm", stats, field(139, field(3, eps)) if eps else b"")
        scale = [_blob(state[f"{key}.bn.{part}"], old=old) for part in ("weight", "bias")]
        out += _layer(f"{name}/scale", "Scale", scale)
    last = [state["head.2.weight"][:, :, None, None], state["head.2.bias"]]
    out += _layer("fc7", "Convolution", [_blob(value, old=old) for value in last])
    path.write_bytes(out)
    return path
