"""Pruning by width: what stays is an ordinary body, and what was dead is not missed."""

from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from backbone.cost import count_cost
from backbone.layers import ConvBNAct, SeparableBlock
from backbone.mobilenet_v1 import MobileNetV1
from backbone.prune import PrunedBody, prune_body
from backbone.spec import Variant
from tasks.fitting.batchnorm import measure_batchnorm

WIDE, NARROW, CLASSES = 0.5, 0.25, 5
# Those whose every convolution has batch norm.
PRUNABLE: tuple[Variant, ...] = tuple(v for v in get_args(Variant) if not v.startswith("bn_"))


def lively(variant: Variant = "shallow", alpha: float = WIDE, stem_stride: int = 1) -> MobileNetV1:
    """A body with random batch norm whose statistics are not measured yet."""
    torch.manual_seed(4)
    body = MobileNetV1(alpha, variant=variant, stem_stride=stem_stride)
    for layer in body.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 1)
    return body


def pictures() -> Tensor:
    return torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(5))


def trained(body: MobileNetV1) -> MobileNetV1:
    measure_batchnorm(body, [pictures()])
    return body


def head() -> Tensor:
    return torch.randn(CLASSES, 512, generator=torch.Generator().manual_seed(6)).div(512**0.5)


def logits(body: MobileNetV1, reader: Tensor, bias: Tensor | None = None) -> Tensor:
    with torch.inference_mode():
        features = body.eval()(pictures())
        answers: Tensor = nn.functional.linear(features[max(features)].mean((2, 3)), reader, bias)
    return answers


def narrow_logits(pruned: PrunedBody, reader: Tensor) -> Tensor:
    bias = (reader.double() @ pruned.lost).float()
    return logits(pruned.body, reader[:, pruned.kept], bias)


def mixer(layer: nn.Module) -> ConvBNAct:
    found = layer.pointwise if isinstance(layer, SeparableBlock) else layer
    assert isinstance(found, ConvBNAct)
    return found


def alive_in(body: MobileNetV1) -> list[Tensor]:
    """As many channels of each layer as the narrow body has, drawn by lot, rising."""
    counts = [
        mixer(layer).conv.out_channels for layer in MobileNetV1(NARROW, variant="shallow").layers
    ]
    wide = [mixer(layer).conv.out_channels for layer in body.layers]
    return [torch.randperm(w)[:n].sort().values for w, n in zip(wide, counts, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("dead", ["nothing goes in", "nobody reads"])
def test_dead_channels_are_not_missed(dead: str) -> None:
    """Behind a dead channel the depthwise batch norm gives a constant, which must live on."""
    body, reader = lively(), head()
    alive = alive_in(body)
    with torch.no_grad():
        for index, layer in enumerate(body.layers):
            off = torch.ones(mixer(layer).conv.out_channels, dtype=torch.bool)
            off[alive[index]] = False
            if dead == "nothing goes in":
                for tensor in mixer(layer).parameters():
                    tensor[off] = 0
            elif index + 1 < len(body.layers):
                mixer(body.layers[index + 1]).conv.weight[:, off] = 0
            else:
                reader[:, off] = 0
    trained(body)
    pruned = prune_body(body, NARROW, reader)
    assert torch.equal(pruned.kept, alive[-1])
    assert pruned.shares == pytest.approx([1] * len(body.layers))
    torch.testing.assert_close(
        narrow_logits(pruned, reader), logits(body, reader), rtol=1e-4, atol=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize("variant", PRUNABLE)
def test_the_result_is_an_ordinary_narrow_body(variant: Variant) -> None:
    body = lively(variant, stem_stride=2)
    before = {name: value.clone() for name, value in body.state_dict().items()}
    width = body.channels[max(body.channels)]
    pruned = prune_body(body, NARROW, torch.randn(CLASSES, width))
    plain = MobileNetV1(NARROW, variant=variant)
    plain.load_state_dict(pruned.body.state_dict())
    assert count_cost(pruned.body, (1, 3, 64, 64)) == count_cost(plain, (1, 3, 64, 64))
    assert len(pruned.kept) == plain.channels[max(plain.channels)]
    assert all(torch.equal(value, before[name]) for name, value in body.state_dict().items())


@pytest.mark.slow
def test_all_around_a_channel_goes_with_it() -> None:
    """By hand: what is left of a layer's tensors are the rows and columns that were kept."""
    body = trained(lively())
    pruned = prune_body(body, NARROW, head())
    old, new = body.layers[-1], pruned.body.layers[-1]
    assert isinstance(old, SeparableBlock)
    assert isinstance(new, SeparableBlock)
    weight = old.pointwise.conv.weight[pruned.kept]
    columns = [
        next(k for k in range(weight.shape[1]) if torch.equal(weight[:, k], column))
        for column in new.pointwise.conv.weight.unbind(1)
    ]
    assert torch.equal(new.depthwise.conv.weight, old.depthwise.conv.weight[columns])
    for ours, theirs in (
        (new.depthwise.bn, old.depthwise.bn),
        (new.pointwise.bn, old.pointwise.bn),
    ):
        rows = columns if theirs is old.depthwise.bn else pruned.kept
        for name in ("weight", "bias"):
            assert torch.equal(ours.get_parameter(name), theirs.get_parameter(name)[rows])
    behind = body.layers[-2]
    before = pruned.body.layers[-2]
    assert torch.equal(
        mixer(before).bn.get_parameter("bias"), mixer(behind).bn.get_parameter("bias")[columns]
    )


@pytest.mark.slow
def test_statistics_follow_what_is_left() -> None:
    """Without a photo they come closer to what is measured than those of the wide body."""
    body = trained(lively())
    pruned = prune_body(body, NARROW, head())
    computed = mixer(pruned.body.layers[1]).bn.get_buffer("running_var").clone()
    rows = mixer(pruned.body.layers[1]).bn.get_parameter("weight")
    wide = mixer(body.layers[1]).bn
    kept = [int((wide.get_parameter("weight") == value).nonzero()[0]) for value in rows]
    measured = mixer(trained(pruned.body).layers[1]).bn.get_buffer("running_var")
    off = (computed.log() - measured.log()).abs().mean()
    assert off < (wide.get_buffer("running_var")[kept].log() - measured.log()).abs().mean()


@pytest.mark.slow
def test_the_same_alpha_changes_nothing() -> None:
    body = trained(lively())
    pruned = prune_body(body, WIDE, head())
    state = pruned.body.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in body.state_dict().items())
    assert torch.equal(pruned.kept, torch.arange(512))
    assert not pruned.lost.any()
    assert set(pruned.shares) == {1.0}


@pytest.mark.parametrize(
    ("variant", "alpha", "message"),
    [
        ("shallow", 0.75, r"--alpha 0.75: wider than the network to prune, which has 0.5"),
        ("shallow", 0.0, r"--alpha 0.0 must be above 0"),
        ("bn_act_after_depthwise", NARROW, "bn_act_after_depthwise cannot be pruned: it has conv"),
    ],
)
def test_what_cannot_be_pruned(variant: Variant, alpha: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prune_body(lively(variant), alpha, head())
