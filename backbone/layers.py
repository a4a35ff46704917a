"""Convolution, batch norm and activation as one block, with the padding of either framework."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from backbone.flavour import Flavour, InputSpec, parse_activation

Model = TypeVar("Model", bound=nn.Module)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding of one axis as (before, after).

    On an even size with stride 2 it is (0, 1), where PyTorch's padding=1 is (1, 1): the two
    sample different pixels. Sizes are Python ints, so an exporter sees constants.
    """
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def scale_channels(channels: int, alpha: float) -> int:
    """Channels of a layer under the width multiplier, as in TF-slim: max(int(alpha c), 8)."""
    return max(int(alpha * channels), 8)


def make_activation(name: str) -> nn.Module:
    """Build the activation that a flavour names (see :func:`parse_activation`)."""
    kind, slope = parse_activation(name)
    if kind == "relu6":
        return ReLU6(inplace=True)
    return nn.ReLU(inplace=True) if kind == "relu" else nn.LeakyReLU(slope, inplace=True)


class ReLU6(nn.ReLU6):
    """PyTorch's ReLU6 that, in place, keeps its result for the gradient.

    PyTorch's own keeps a copy of its input, which takes a tenth of a training step. The gradient
    is the same: the result is 0 or 6 exactly where the input is outside of 0..6.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Limit to 0..6, any shape."""
        learns = torch.is_grad_enabled() and input.requires_grad
        if self.inplace and learns and not _is_recorded():
            kept: Tensor = _KeptReLU6.apply(input)
            return kept
        return super().forward(input)


def _is_recorded() -> bool:
    """Whether something beside autograd follows the operators: a compiler, jit or torch.func.

    They take PyTorch's own operators, and few of them a gradient that changes its input in place.
    """
    traced = torch._C._get_tracing_state() is not None
    return traced or torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


class _KeptReLU6(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        functional.hardtanh(x, 0.0, 6.0, inplace=True)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (result,) = ctx.saved_tensors
        inner: Tensor = torch.ops.aten.hardtanh_backward(grad, result, 0.0, 6.0)
        return inner


class ConvBNAct(nn.Module):
    """Convolution without bias, batch norm, activation: (B, C, H, W) -> (B, C', H/s, W/s).

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        kernel: Odd kernel side.
        stride: 1 or 2.
        groups: Number of groups; ``in_channels`` for a depthwise convolution.
        flavour: Padding, batch-norm epsilon and activation.
        norm: Whether batch norm follows.
        act: Whether the activation follows.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        flavour: Flavour,
        norm: bool = True,
        act: bool = True,
    ) -> None:
        super().__init__()
        # SAME padding of an odd kernel at stride 1 is symmetric for every size.
        self.pads_itself = flavour.padding != "symmetric" and stride > 1
        self.pads_after = flavour.padding == "keras" and groups > 1
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=0 if self.pads_itself else kernel // 2,
            groups=groups,
            bias=False,
        )
        self.bn: nn.Module = (
            nn.BatchNorm2d(out_channels, eps=flavour.bn_eps) if norm else nn.Identity()
        )
        self.act = make_activation(flavour.activation) if act else nn.Identity()
        self.strided_depthwise = stride > 1 and groups > 1

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        if self.pads_itself:
            kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
            if self.pads_after:
                top, bottom = left, right = 0, kernel // 2
            else:
                top, bottom = same_padding(x.shape[-2], kernel, stride)
                left, right = same_padding(x.shape[-1], kernel, stride)
            x = functional.pad(x, (left, right, top, bottom))
        activated: Tensor = self.act(self.bn(self._convolve(x)))
        return activated

    def _convolve(self, x: Tensor) -> Tensor:
        """The convolution, in float32 where bfloat16 is slower.

        On CPUs oneDNN has no fast bfloat16 gradient of a strided depthwise convolution: it takes 3
        to 40 times as long as in float32.
        """
        if self.strided_depthwise and x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                out: Tensor = self.conv(x.float())
        else:
            out = self.conv(x)
        return out


class SeparableBlock(nn.Module):
    """Depthwise 3x3, then pointwise 1x1, each with batch norm and activation (paper fig. 3).

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        stride: Stride of the depthwise convolution.
        flavour: Padding, batch-norm epsilon and activation.
        norm: Whether batch norm follows (depthwise, pointwise).
        act: Whether the activation follows (depthwise, pointwise).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int,
        flavour: Flavour,
        norm: tuple[bool, bool] = (True, True),
        act: tuple[bool, bool] = (True, True),
    ) -> None:
        super().__init__()
        self.depthwise = ConvBNAct(
            in_channels,
            in_channels,
            3,
            stride=stride,
            groups=in_channels,
            flavour=flavour,
            norm=norm[0],
            act=act[0],
        )
        self.pointwise = ConvBNAct(
            in_channels, out_channels, 1, flavour=flavour, norm=norm[1], act=act[1]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply both convolutions: (B, C, H, W) -> (B, C', H/s, W/s)."""
        out: Tensor = self.pointwise(self.depthwise(x))
        return out


class Normalize(nn.Module):
    """Convert 8-bit RGB values (any dtype) to the flavour's float input, on the model's device.

    It is the first layer of every model, so that preprocessing cannot be forgotten or applied
    twice, is part of every export, and batches are transferred to the device as bytes.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.flip = spec.channels == "bgr"
        for name, values in (("mean", spec.mean), ("std", spec.std)):
            # One value where all channels agree: much faster on images stored channels last.
            chosen = values[:1] if len(set(values)) == 1 else values
            value = torch.tensor(chosen, dtype=torch.float64) * 255
            self.register_buffer(name, value.float().view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalise (B, 3, H, W)."""
        if self.flip:
            images = images.flip(1)
        return (images.to(self.mean.dtype) - self.mean) / self.std


def init_tf_slim(module: nn.Module, std: float = 0.09) -> None:
    """Initialise as TF-slim does: truncated normal at 2 std, biases 0, batch norm 1 and 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)


def fold_batchnorm(model: Model) -> Model:
    """Return an inference copy whose batch norms are folded into the convolutions before them.

    The outputs are the same to float precision, and an image takes about a fifth less time.
    """
    folded = copy.deepcopy(model).eval()
    for block in folded.modules():
        if isinstance(block, ConvBNAct) and isinstance(block.bn, nn.BatchNorm2d):
            block.conv = fuse_conv_bn_eval(block.conv, block.bn)
            block.bn = nn.Identity()
    return folded
