"""Networks in ncnn's two files (.param, .bin) as torch modules, and a face teacher made of one.

From the repository's root, with ``MOBILENETS_DATA`` set: ``tools/train_embed.py --teacher
tests.tasks.ncnn:teacher``.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

_MAGIC = "7767517"
_HALF, _PLAIN = 0x01306B47, 0
_ARITHMETIC: dict[int, Callable[[Any, Any], Any]] = {
    0: torch.add,
    1: torch.sub,
    2: torch.mul,
    3: torch.div,
}


class _Weights:
    """Reads a .bin from the front: a convolution's begin with a word that tells their type."""

    def __init__(self, file: Path) -> None:
        self._data, self._at = file.read_bytes(), 0

    def take(self, count: int) -> Tensor:
        values = np.frombuffer(self._data, "<f4", count, self._at)
        self._at += 4 * count
        return torch.from_numpy(values.copy())

    def take_tagged(self, count: int) -> Tensor:
        kind = int.from_bytes(self._data[self._at : self._at + 4], "little")
        self._at += 4
        assert kind in (_PLAIN, _HALF), f"weights of type {kind:#x}"
        if kind == _PLAIN:
            return self.take(count)
        values = np.frombuffer(self._data, "<f2", count, self._at)
        self._at += -(-2 * count // 4) * 4
        return torch.from_numpy(values.astype(np.float32))

    def end(self) -> None:
        assert self._at == len(self._data), f"{len(self._data) - self._at} bytes are left over"


class NcnnNetwork(nn.Module):
    """The last blob of a network, for images (B, 3, H, W), RGB, 0..255."""

    def __init__(self, param: Path, weights: Path) -> None:
        super().__init__()
        lines = param.read_text().splitlines()
        assert lines[0] == _MAGIC, f"{param}: not ncnn's text format"
        store = _Weights(weights)
        self.steps: list[tuple[int | None, list[str], list[str], dict[int, float]]] = []
        self.layers = nn.ModuleList()
        for line in lines[2:]:
            kind, _, num_in, num_out, *rest = line.split()
            taken, made = int(num_in), int(num_in) + int(num_out)
            options = {int(k): float(v) for k, v in (pair.split("=") for pair in rest[made:])}
            layer = _build(kind, options, store)
            self.steps.append(
                (
                    None if layer is None else len(self.layers),
                    rest[:taken],
                    rest[taken:made],
                    options,
                )
            )
            if layer is not None:
                self.layers.append(layer)
        store.end()

    def forward(self, images: Tensor) -> Tensor:
        blobs: dict[str, Tensor] = {}
        out = images.float()
        for index, inputs, outputs, options in self.steps:
            given = [blobs[name] for name in inputs]
            if index is not None:
                out = self.layers[index](*given)
            elif options.get(0) is not None and given:
                other = options[2] if options.get(1) else given[1]
                out = _ARITHMETIC[int(options[0])](given[0], other)
            elif given:
                out = given[0]
            blobs.update(dict.fromkeys(outputs, out))
        return out


def _build(kind: str, options: dict[int, float], store: _Weights) -> nn.Module | None:
    """The module of a layer; None of an input, a split, or arithmetic."""
    number = {key: int(value) for key, value in options.items()}
    if kind in ("Input", "Split", "BinaryOp"):
        return None
    if kind in ("Convolution", "ConvolutionDepthWise"):
        groups, kernel = number.get(7, 1), number[1]
        columns = number[6] // (number[0] * kernel * kernel) * groups
        layer = nn.Conv2d(
            columns, number[0], kernel, number[3], number[4], groups=groups, bias=bool(number[5])
        )
        return _fill(layer, store)
    if kind == "InnerProduct":
        dense = _fill(nn.Linear(number[2] // number[0], number[0], bool(number[1])), store)
        return nn.Sequential(nn.Flatten(), dense)
    if kind == "PReLU":
        prelu = nn.PReLU(number[0])
        prelu.weight.data = store.take(number[0])
        return prelu
    assert kind == "BatchNorm", f"layer of kind {kind}"
    gamma, mean, variance, beta = (store.take(number[0]) for _ in range(4))
    return _BatchNorm(gamma, mean, variance, beta, options.get(1, 0.0))


def _fill(layer: nn.Conv2d | nn.Linear, store: _Weights) -> nn.Module:
    layer.weight.data = store.take_tagged(layer.weight.numel()).view_as(layer.weight)
    if layer.bias is not None:
        layer.bias.data = store.take(layer.bias.numel())
    return layer


class _BatchNorm(nn.Module):
    """Over the second axis of a tensor of any rank."""

    def __init__(
        self, gamma: Tensor, mean: Tensor, variance: Tensor, beta: Tensor, eps: float
    ) -> None:
        super().__init__()
        self.eps = eps
        for name, value in (("g", gamma), ("m", mean), ("v", variance), ("b", beta)):
            self.register_buffer(name, value)

    def forward(self, x: Tensor) -> Tensor:
        return functional.batch_norm(x, self.m, self.v, self.g, self.b, eps=self.eps)


class MobileFaceNet(nn.Module):
    """The real MobileFaceNet: (B, 128) embeddings of images (B, 3, S, S), RGB, 0..255."""

    def __init__(self) -> None:
        super().__init__()
        folder = Path(os.environ["MOBILENETS_DATA"]) / "weights"
        self.network = NcnnNetwork(folder / "MobileFaceNet.param", folder / "MobileFaceNet.bin")
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        images = images.float()
        if images.shape[-1] != 112:
            images = functional.interpolate(images, size=112, mode="bilinear", antialias=True)
        embeddings: Tensor = self.network(images)
        return embeddings


def __getattr__(name: str) -> Any:
    """``teacher`` reads its files when it is asked for."""
    if name == "teacher":
        return MobileFaceNet()
    raise AttributeError(name)
