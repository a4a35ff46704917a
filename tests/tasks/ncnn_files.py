"""A small face network in ncnn's two files, written with the same network in torch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

LINES = """7767517
9 10
Input data 0 1 data
Convolution conv1 1 1 data conv1 0=8 1=3 2=1 3=8 4=1 5=1 6=216
PReLU prelu1 1 1 conv1 prelu1 0=8
Split split1 1 2 prelu1 a b
ConvolutionDepthWise conv2 1 1 a conv2 0=8 1=3 2=1 3=1 4=1 5=0 6=72 7=8
BinaryOp add1 2 1 b conv2 add1 0=0
BinaryOp scale1 1 1 add1 scale1 0=2 1=1 2=0.5
InnerProduct fc1 1 1 scale1 fc1 0=128 1=0 2=200704
BatchNorm bn1 1 1 fc1 out 0=128 1=0.001
"""
_HALF = 0x01306B47


class Small(nn.Module):
    """The same network: (B, 128) of images (B, 3, 112, 112), 0..255."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 8, 1)
        self.prelu1 = nn.PReLU(8)
        self.conv2 = nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False)
        self.fc1 = nn.Linear(8 * 14 * 14, 128, bias=False)
        self.bn1 = nn.BatchNorm1d(128, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings."""
        x = self.prelu1(self.conv1(x))
        answer: Tensor = self.bn1(self.fc1(((x + self.conv2(x)) * 0.5).flatten(1)))
        return answer


def write_ncnn(param: Path) -> Small:
    """Write PARAM and the .bin beside it: the first layer's weights as halves, others plain."""
    rng = torch.Generator().manual_seed(0)
    model = Small().eval()
    for value in model.state_dict().values():
        if value.ndim:
            value.copy_(torch.rand(value.shape, generator=rng) - 0.3)
    model.bn1.running_var.abs_().add_(0.5)
    first = model.conv1.weight.detach().half()
    model.conv1.weight.data = first.float()
    param.write_text(LINES)
    tag, plain = _HALF.to_bytes(4, "little"), bytes(4)
    parts = [tag, first.numpy().tobytes(), *map(_raw, (model.conv1.bias, model.prelu1.weight))]
    parts += [plain, _raw(model.conv2.weight), plain, _raw(model.fc1.weight)]
    bn = model.bn1
    parts += map(_raw, (bn.weight, bn.running_mean, bn.running_var, bn.bias))
    param.with_suffix(".bin").write_bytes(b"".join(parts))
    return model


def _raw(value: Tensor | None) -> bytes:
    assert value is not None
    return value.detach().numpy().astype("<f4").tobytes()
