"""MobileNet v1 (Howard et al., arXiv 1704.04861, table 1), the body that every head shares."""

from __future__ import annotations

from torch import Tensor, nn

from backbone.flavour import Flavour
from backbone.layers import ConvBNAct, SeparableBlock, init_tf_slim, scale_channels

STEM_CHANNELS = 32
# (stride, output channels) of conv1..conv13. The paper's table 1 prints stride 2 for the last
# one; its own cost of 569 M mult-adds needs stride 1.
BLOCKS = (
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    *((1, 512),) * 5,
    (2, 1024),
    (1, 1024),
)
MIN_SIZE = 32


class MobileNetV1(nn.Module):
    """The convolutional body, without pooling and classifier.

    Args:
        alpha: Width multiplier, above 0; the paper uses 1, .75, .5 and .25.
        flavour: Padding, batch-norm epsilon and activation.
        in_channels: Channels of the input.

    Attributes:
        channels: Channels of the last feature map at each stride: {2, 4, 8, 16, 32}.
        layers: conv0 (the stem) to conv13.

    Raises:
        ValueError: If ``alpha`` is not above 0.
    """

    def __init__(
        self, alpha: float = 1.0, flavour: Flavour | None = None, in_channels: int = 3
    ) -> None:
        super().__init__()
        if not alpha > 0:
            raise ValueError(f"width multiplier alpha={alpha} must be above 0 (1 is full width)")
        flavour = flavour or Flavour()
        self.alpha, self.flavour = alpha, flavour
        width = scale_channels(STEM_CHANNELS, alpha)
        layers: list[nn.Module] = [ConvBNAct(in_channels, width, 3, stride=2, flavour=flavour)]
        stride, self._last_at, self.channels = 2, {2: 0}, {2: width}
        for index, (step, base) in enumerate(BLOCKS, start=1):
            out = scale_channels(base, alpha)
            layers.append(SeparableBlock(width, out, stride=step, flavour=flavour))
            width, stride = out, stride * step
            self._last_at[stride], self.channels[stride] = index, width
        self.layers = nn.ModuleList(layers)
        init_tf_slim(self)

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        """Features by stride: {s: (B, channels[s], ceil(H/s), ceil(W/s))}.

        Args:
            x: Normalised images (B, in_channels, H, W), H and W from 32 up.

        Raises:
            ValueError: If the images are smaller than 32 pixels.
        """
        if min(x.shape[-2:]) < MIN_SIZE:
            raise ValueError(
                f"images of {x.shape[-1]}x{x.shape[-2]} are too small: the body needs "
                f"{MIN_SIZE} pixels a side or more"
            )
        features: dict[int, Tensor] = {}
        ends = {index: stride for stride, index in self._last_at.items()}
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in ends:
                features[ends[index]] = x
        return features

    def split(self, stride: int) -> tuple[nn.Sequential, nn.Sequential]:
        """Cut the body after its last layer at ``stride``: (base, rest), sharing the weights.

        Faster R-CNN keeps conv0..conv11 (stride 16) as base and conv12..conv13 as box head.

        Raises:
            ValueError: If the body has no such stride.
        """
        if stride not in self._last_at:
            raise ValueError(f"cannot split at stride {stride}: choose one of {[*self._last_at]}")
        cut = self._last_at[stride] + 1
        return nn.Sequential(*self.layers[:cut]), nn.Sequential(*self.layers[cut:])
