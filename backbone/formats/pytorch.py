"""Reads PyTorch weights: timm's and Hugging Face's names, any Sequential, or a key map."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard, cast

import torch
from safetensors.torch import load_file
from torch import Tensor

from backbone.formats.network import (
    BODY,
    CONVS,
    HEAD_BIAS,
    HEAD_WEIGHT,
    LAST,
    Layout,
    Network,
    fit,
    natural,
    refuse_kin,
    tensor_names,
)
from backbone.formats.partial import PLAIN, RGB, TENSORFLOW, PartialFlavour
from backbone.mobilenet_v1 import MobileNetV1
from datasets.errors import InputError
from datasets.json_files import read_json

_PARTS = (".weight", ".weight", ".bias", ".running_mean", ".running_var")
_COUNTER = "num_batches_tracked"
# Keys under which training scripts store the weights in their checkpoints.
_STATES = ("state_dict", "model_state_dict", "model", "net", "weights")
_PREFIXES = ("module.", "_orig_mod.")
_SYMMETRIC = PartialFlavour(padding="symmetric", bn_eps=1e-5, activation="relu6")
# Numbers of blocks in timm's stages.
_STAGES = (1, 2, 2, 6, 2)


def _timm(*, conv_head: bool) -> Layout:
    convs, norms = ["conv_stem"], ["bn1"]
    for stage, blocks in enumerate(_STAGES):
        for block in range(blocks):
            at = f"blocks.{stage}.{block}"
            convs += [f"{at}.conv_dw", f"{at}.conv_pw"]
            norms += [f"{at}.bn1", f"{at}.bn2"]
    if conv_head:
        convs, norms = [*convs, "conv_head"], [*norms, "bn2"]
    names = tensor_names(convs, norms, _PARTS, ("classifier.weight", "classifier.bias"))
    usual = replace(TENSORFLOW, size=224, interpolation="bicubic")
    return Layout("timm's mobilenetv1", names, _SYMMETRIC, usual)


# Bytes that a small archive may unpack to.
_MOST_UNPACKED = 1 << 28

TIMM, TIMM_CONV_HEAD = _timm(conv_head=False), _timm(conv_head=True)


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict of a safetensors file or of a torch checkpoint, in its own order.

    Prefixes that wrappers add to every name are removed.

    Args:
        path: File to read.

    Raises:
        InputError: If the file is damaged, contains anything but tensors and plain values, or
            holds no weights.
    """
    content: Any
    try:
        content = load_file(path) if _keeps_no_order(path) else load_plain(path)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: holds more than tensors, which could run any program, so it is not read; "
            "save its state_dict() alone (torch.save(model.state_dict(), FILE))"
        ) from error
    except Exception as error:  # A damaged pickle or archive raises kinds of its own.
        raise InputError(f"{path}: damaged weights file ({error})") from error
    state = _find_state(path, content)
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def load_plain(path: Path) -> Any:
    """What ``torch.save`` wrote, of tensors and plain values alone, on the CPU.

    Raises:
        ValueError: If it is an archive that unpacks to far more than its size. ``torch.save``
            compresses nothing, but ``torch.load`` would unpack what somebody has compressed.
        pickle.UnpicklingError: If it holds anything else. Damaged files raise many more kinds.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            refuse_compressed(archive, path)
    return torch.load(path, map_location="cpu", weights_only=True)


def refuse_compressed(archive: zipfile.ZipFile, path: Path) -> None:
    """Check what an archive unpacks to. Raises ValueError if that is far more than its size."""
    length = sum(member.file_size for member in archive.infolist())
    if length > max(path.stat().st_size, _MOST_UNPACKED):
        raise ValueError(f"it unpacks to {length / 1e9:.1f} GB")


def _find_state(path: Path, content: object) -> dict[str, Tensor]:
    found: list[Mapping[str, Tensor]] = []
    if _is_state(content):
        found = [content]
    elif isinstance(content, Mapping):
        inside = (content.get(name) for name in _STATES)
        found = [state for state in inside if _is_state(state)]
    if len(found) != 1:
        what = "no weights" if not found else "more than one set of weights"
        raise InputError(
            f"{path}: {what} in this file: a state dict is looked for, or one under "
            f"{', '.join(_STATES)}"
        )
    return dict(found[0])


def _is_state(value: object) -> TypeGuard[Mapping[str, Tensor]]:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())
    )


def read_pytorch(path: Path, key_map: Path | None = None) -> Network:
    """Read PyTorch weights.

    Args:
        path: Safetensors file or torch checkpoint.
        key_map: JSON object from the suite's name of each tensor to the file's; tensors that it
            does not list are left out.

    Raises:
        InputError: If the layout is unknown, or a tensor is missing, unexpected or of the wrong
            shape.
    """
    state = read_state(path)
    name = str(path)
    if key_map is not None:
        layout = Layout(f"mapped by {key_map}", read_key_map(key_map), usual=PLAIN)
        return fit(name, state, layout, takes_part=True)
    if "conv_stem.weight" in state and "blocks.0.0.conv_dw.weight" in state:
        layout = TIMM_CONV_HEAD if "conv_head.weight" in state else TIMM
        return _with_config(fit(name, state, layout), path.with_name("config.json"))
    depthwise = [
        v.shape[-1] for v in state.values() if v.ndim == 4 and v.shape[1] == 1 < v.shape[2]
    ]
    refuse_kin(name, depthwise)
    return fit(name, state, _by_order(name, state, not _keeps_no_order(path)))


def _with_config(network: Network, file: Path) -> Network:
    """Add the preprocessing that timm's config.json beside the weights states, if it is there."""
    if not file.is_file():
        return network
    content: Any = read_json(file)
    try:
        config = content["pretrained_cfg"]
        told = replace(
            network.stated,
            size=int(config["input_size"][1]),
            mean=cast(RGB, tuple(map(float, config["mean"]))),
            std=cast(RGB, tuple(map(float, config["std"]))),
            interpolation=config["interpolation"],
            crop=float(config["crop_pct"]),
        )
    except (LookupError, TypeError, ArithmeticError, ValueError) as error:
        raise InputError(f"{file}: not the configuration of a timm model ({error!r})") from error
    return replace(network, stated=told)


def _by_order(name: str, state: Mapping[str, Tensor], is_ordered: bool) -> Layout:
    """27 pairs of convolution and batch norm, then a linear layer, whatever their names are."""
    names = [key for key in state if not key.endswith(_COUNTER)]
    ours = list(TIMM.names)
    kinds = [part.rpartition(".")[2] for part in TIMM.names.values()]
    bare = len(CONVS) * len(_PARTS)
    found = [key.rpartition(".")[2] for key in names]
    if len(names) not in (bare, bare + 2) or found != kinds[: len(names)]:
        if not is_ordered and sorted(found) in (sorted(kinds), sorted(kinds[:bare])):
            raise InputError(
                f"{name}: names of no known layout, and a safetensors file keeps no order; give "
                "--key-map FILE.json (our key -> their key), which --list-keys drafts"
            )
        raise InputError(
            f"{name}: {len(names)} tensors in no known order; a MobileNet v1 has {bare} (27 times "
            f"convolution and batch norm) and a linear layer's 2; the first are "
            f"{', '.join(names[:3])}; give --key-map FILE.json (our key -> their key), which "
            "--list-keys drafts"
        )
    return Layout("PyTorch layers in order", dict(zip(ours, names, strict=False)), usual=PLAIN)


def draft_key_map(path: Path) -> dict[str, str]:
    """A draft of a key map: the file's name of each tensor where order and shape identify it.

    Elsewhere the name is empty. The head is left out if no single layer matches it.

    Args:
        path: File to read.

    Raises:
        InputError: If the file holds no weights.
    """
    state = read_state(path)
    theirs = [name for name in state if not name.endswith(_COUNTER)]
    if _keeps_no_order(path):
        theirs.sort(key=_place)
    found, at = {}, 0
    with torch.device("meta"):
        shapes = {f"{BODY}{k}": v.shape for k, v in MobileNetV1().state_dict().items()}
    for ours, usual in list(TIMM.names.items())[: len(CONVS) * len(_PARTS)]:
        ending, sides = usual.rpartition(".")[2], shapes[ours][1:]
        fits = (
            k
            for k in range(at, len(theirs))
            if theirs[k].rpartition(".")[2] == ending
            and _is_alike(state[theirs[k]].shape[1:], sides)
        )
        place = next(fits, None)
        found[ours] = "" if place is None else theirs[place]
        at = at if place is None else place + 1
    last = state.get(found[LAST])
    width = 0 if last is None else last.shape[0]
    heads = [
        name.removesuffix("weight")
        for name in theirs
        if name.endswith("weight") and state[name].shape[1:] in ((width,), (width, 1, 1))
    ]
    heads = [
        name for name in heads if f"{name}bias" in state and f"{name}running_var" not in state
    ]
    if len(heads) == 1:
        found |= {HEAD_WEIGHT: f"{heads[0]}weight", HEAD_BIAS: f"{heads[0]}bias"}
    return found


def _is_alike(theirs: torch.Size, ours: torch.Size) -> bool:
    """Whether kernel sizes agree, and depthwise corresponds to depthwise."""
    return (
        theirs[1:] == ours[1:]
        and len(theirs) == len(ours)
        and (not ours or (theirs[0] == 1) == (ours[0] == 1))
    )


def _place(name: str) -> tuple[list[tuple[int, str]], int]:
    """A key that sorts names by layer and, within a layer, in PyTorch's order."""
    layer, _, part = name.rpartition(".")
    endings = [one[1:] for one in _PARTS]
    return natural(layer), endings.index(part) if part in endings else len(endings)


def _keeps_no_order(path: Path) -> bool:
    """Whether a file is in safetensors format, which sorts tensors by size."""
    return path.read_bytes()[8:9] == b"{"


def read_key_map(file: Path) -> dict[str, str]:
    """The file's name of each tensor, by the suite's name.

    Args:
        file: JSON file to read.

    Raises:
        InputError: If it is not a JSON object of names, or lacks or adds a name, which the message
            states.
    """
    try:
        names = read_json(file)
    except InputError as error:
        raise InputError(f"--key-map {error}") from error
    if not isinstance(names, dict) or not all(isinstance(v, str) for v in names.values()):
        raise InputError(f"--key-map {file}: must be one object of our key -> their key")
    names = {key: theirs for key, theirs in names.items() if not key.endswith(_COUNTER)}
    wanted = set(TIMM.names)
    if HEAD_WEIGHT not in names:
        wanted = {key for key in wanted if not key.startswith("head.")}
    odd = sorted(wanted ^ names.keys())
    if odd:
        what = "lacks" if odd[0] in wanted else "has the unknown key"
        raise InputError(f"--key-map {file}: {what} {odd[0]!r} ({len(odd)} such)")
    return names
