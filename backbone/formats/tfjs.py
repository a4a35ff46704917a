"""Reads TF.js models: a JSON file, and shards of weights beside it, quantised or not.

Supported are layers models (Keras' architecture), graph models (TensorFlow's nodes), and manifests
of weights alone under TF-slim's names, as in face-api.js.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backbone.formats.graph_def import read_nodes
from backbone.formats.graph_message import Node, input_names
from backbone.formats.keras import network_of, place_of
from backbone.formats.network import Network
from backbone.formats.slim import named_network
from datasets.errors import InputError
from datasets.json_files import read_json
from datasets.lfs import refuse_pointer

_DTYPES = {
    "bool": "u1",
    "float16": "<f2",
    "float32": "<f4",
    "int32": "<i4",
    "uint8": "u1",
    "uint16": "<u2",
}
# Kinds of nodes that TF.js reads from a graph's attributes, by their numbers in TensorFlow.
_TYPES = {"DT_FLOAT": 1, "DT_UINT8": 4}


def read_tfjs(path: Path) -> Network:
    """Read a TF.js model.

    Args:
        path: Its JSON file; the shards that it names must be beside it.

    Raises:
        InputError: If a file is missing or damaged, or it is not a MobileNet v1.
    """
    content: Any = read_json(path)
    try:
        groups = content if isinstance(content, list) else content["weightsManifest"]
        weights = _read_weights(path, groups)
        topology = None if isinstance(content, list) else content.get("modelTopology")
        if topology is None:
            network = named_network(path, "TF.js weights", weights, takes_part=True)
        elif "node" in topology:
            nodes = [_node(one) for one in topology["node"]]
            network = read_nodes(path, "TF.js graph", nodes, weights)
        else:
            config = topology.get("model_config", topology)
            network = network_of(path, "TF.js layers", _by_layer(weights), config)
    except InputError:
        raise
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged TF.js model ({error!r})") from error
    return replace(network, whole=False)


def _read_weights(path: Path, groups: Any) -> dict[str, NDArray[np.float32]]:
    found = {}
    for group in groups:
        files = [_shard(path, name) for name in group["paths"]]
        data, at = b"".join(file.read_bytes() for file in files), 0
        for one in group["weights"]:
            stored = one.get("quantization") or {"dtype": one["dtype"]}
            kind = np.dtype(_DTYPES[stored.get("dtype", "uint8")])
            shape = [int(side) for side in one["shape"]]
            size = kind.itemsize * math.prod(shape)
            if min(shape, default=0) < 0 or at + size > len(data):
                raise InputError(f"{files[-1]}: cut short: {one['name']!r} ends behind it")
            values = np.frombuffer(data, kind, math.prod(shape), at).reshape(shape)
            at += size
            if "scale" in stored:
                values = values * float(stored["scale"]) + float(stored["min"])
            found[str(one["name"])] = values.astype(np.float32)
        if at != len(data):
            raise InputError(f"{path}: {len(data) - at} bytes of its shards are named nowhere")
    return found


def _shard(path: Path, name: Any) -> Path:
    """A shard, which must be beside the model."""
    if not isinstance(name, str) or Path(name).name != name:
        raise InputError(f"{path}: names the shard {name!r}, which is no file beside it")
    file = path.with_name(name)
    if not file.is_file():
        raise InputError(f"{path}: its shard {name} is not beside it")
    refuse_pointer(file)
    return file


def _by_layer(weights: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Arrays by layer and name, without those of training."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in weights.items():
        place = place_of(name)
        if place is not None:
            layer, part = place
            found.setdefault(layer, {})[part] = value
    return found


def _node(node: Mapping[str, Any]) -> Node:
    """A node in the form that TensorFlow's own files have."""
    attrs = {str(key): _attr(value) for key, value in (node.get("attr") or {}).items()}
    inputs = input_names(node.get("input") or [])
    return Node(str(node["name"]), str(node["op"]), inputs, attrs)


def _attr(value: Mapping[str, Any]) -> Any:
    """A number, text, list or shape; texts are in base 64, integers in quotes."""
    if "s" in value:
        return _text(value["s"])
    if "list" in value:
        listed = value["list"] or {}
        return [int(one) for one in listed.get("i", [])] or [_text(s) for s in listed.get("s", [])]
    if "shape" in value:
        return [int(side.get("size", -1)) for side in value["shape"].get("dim", [])]
    if "i" in value:
        return int(value["i"])
    if "type" in value:
        return _TYPES.get(value["type"], value["type"])
    return value.get("f", value.get("b"))


def _text(value: Any) -> str:
    """A text in base 64, or plain, as older converters wrote it."""
    if isinstance(value, list):
        return bytes(value).decode(errors="replace")
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return str(value)
