"""The body: shapes and strides per width, padding, splitting, initialisation."""

import pytest
import torch

from backbone.flavour import Flavour, InputSpec
from backbone.layers import (
    ConvBNAct,
    Normalize,
    SeparableBlock,
    fold_batchnorm,
    same_padding,
)
from backbone.mobilenet_v1 import MobileNetV1


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.1, 0.25, 0.35, 0.5, 0.75, 1.0, 1.25])
def test_channels_follow_tf_slims_rounding(alpha: float) -> None:
    body = MobileNetV1(alpha)
    wanted = {s: max(int(alpha * c), 8) for s, c in ((2, 64), (4, 128), (8, 256), (16, 512))}
    assert body.channels == {**wanted, 32: max(int(alpha * 1024), 8)}
    features = body.eval()(torch.zeros(1, 3, 64, 96))
    for stride, feature in features.items():
        assert feature.shape == (1, body.channels[stride], 64 // stride, 96 // stride)


@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("size", [32, 33, 47, 96, 127, 225, 300])
def test_any_size_gives_maps_of_ceil_size_over_stride(padding: str, size: int) -> None:
    body = MobileNetV1(0.25, Flavour(padding=padding)).eval()
    for stride, feature in body(torch.zeros(1, 3, size, size)).items():
        assert feature.shape[-1] == -(-size // stride)


def test_too_small_images_are_refused() -> None:
    with pytest.raises(ValueError, match="31x64 are too small"):
        MobileNetV1(0.25)(torch.zeros(1, 3, 64, 31))


@pytest.mark.parametrize("alpha", [0, -1, float("nan")])
def test_impossible_widths_are_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="width multiplier"):
        MobileNetV1(alpha)


def test_same_padding_is_tensorflows() -> None:
    assert same_padding(300, 3, 2) == (0, 1)
    assert same_padding(75, 3, 2) == (1, 1)
    assert same_padding(75, 3, 1) == (1, 1)
    assert same_padding(8, 1, 2) == (0, 0)


def test_same_padding_samples_the_first_pixel() -> None:
    """On an even size TensorFlow's window starts at pixel 0, a symmetric one at pixel -1."""
    image = torch.arange(36.0).reshape(1, 1, 6, 6)
    outputs = {}
    for padding in ("same", "symmetric"):
        flavour = Flavour(padding=padding)
        block = ConvBNAct(1, 1, 3, stride=2, flavour=flavour).eval()
        torch.nn.init.zeros_(block.conv.weight)
        block.conv.weight.data[0, 0, 0, 0] = 1  # Picks the window's top left pixel.
        outputs[padding] = block.conv(
            image if padding == "symmetric" else torch.nn.functional.pad(image, (0, 1, 0, 1))
        )
    assert outputs["same"][0, 0].tolist() == [[0, 2, 4], [12, 14, 16], [24, 26, 28]]
    assert outputs["symmetric"][0, 0].tolist() == [[0, 0, 0], [0, 7, 9], [0, 19, 21]]


def test_split_shares_the_layers_and_gives_the_same_answer() -> None:
    body = MobileNetV1(0.25).eval()
    base, rest = body.split(16)
    images = torch.randn(2, 3, 64, 64)
    features = body(images)
    assert torch.equal(base(images), features[16])
    assert torch.equal(rest(features[16]), features[32])
    assert len(base) == 12
    assert len(rest) == 2
    with pytest.raises(ValueError, match="cannot split at stride 3"):
        body.split(3)


@pytest.mark.slow
def test_initialisation_is_tf_slims() -> None:
    weight = MobileNetV1(1.0).layers[13].pointwise.conv.weight
    assert weight.abs().max() <= 0.18
    # A normal distribution cut at two standard deviations keeps .88 of its spread.
    assert weight.std().item() == pytest.approx(0.88 * 0.09, rel=0.01)


@pytest.mark.slow
def test_folding_keeps_the_answer() -> None:
    body = MobileNetV1(0.25)
    for _ in range(3):
        body(torch.randn(4, 3, 64, 64))  # Gives the batch norms something to fold.
    body.eval()
    images = torch.randn(1, 3, 96, 96)
    folded = fold_batchnorm(body)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    for stride, feature in body(images).items():
        torch.testing.assert_close(folded(images)[stride], feature, rtol=1e-4, atol=1e-4)


def test_normalize_is_the_flavours() -> None:
    spec = InputSpec(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125), channels="bgr")
    image = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    out = Normalize(spec)(image).flatten()
    wanted = [(1.0 - 0.1) / 0.5, (0.2 - 0.2) / 0.25, (0 - 0.3) / 0.125]
    torch.testing.assert_close(out, torch.tensor(wanted), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"padding": "valid"}, "unknown padding 'valid'"),
        ({"activation": "gelu"}, "unknown activation 'gelu'"),
        ({"activation": "leaky_relu:x"}, "unknown activation"),
        ({"bn_eps": 0}, "bn_eps 0 must be above 0"),
    ],
)
def test_flavours_refuse_the_unknown(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Flavour(**change)


def test_flavour_survives_json() -> None:
    flavour = Flavour("symmetric", 1e-5, "leaky_relu:0.1", InputSpec(192, channels="bgr"))
    assert Flavour.from_json(flavour.to_json()) == flavour
    assert isinstance(MobileNetV1(0.25, flavour).layers[0].act, torch.nn.LeakyReLU)
    with pytest.raises(ValueError, match="not a flavour"):
        Flavour.from_json({"padding": "same"})


def test_mixed_precision_keeps_the_answer_and_the_gradient() -> None:
    """A strided depthwise layer computes in float32 beside a bfloat16 one."""
    torch.manual_seed(0)
    block = SeparableBlock(16, 32, stride=2, flavour=Flavour())
    x = torch.randn(4, 16, 33, 33)
    found = []
    for mixed in (False, True):
        block.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            out = block(x)
        out.float().square().mean().backward()
        gradient = block.depthwise.conv.weight.grad
        assert gradient is not None
        found.append((out.detach().float(), gradient.clone()))
    assert out.dtype == torch.bfloat16
    for plain, other in zip(*found, strict=True):
        assert (plain - other).norm() < 0.02 * plain.norm()
