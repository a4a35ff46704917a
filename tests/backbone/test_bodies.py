"""The contract of every body, torchvision's own answers, and MobileNet's ablation variants."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast, get_args

import pytest
import torch
import torchvision.models as reference
from torch import Tensor, nn

from backbone.bodies import build_body, default_flavour
from backbone.body import Body
from backbone.flavour import Flavour, InputSpec
from backbone.googlenet import GoogLeNet
from backbone.inception_v2 import InceptionV2
from backbone.layers import ReLU6
from backbone.mobilenet_v1 import MobileNetV1
from backbone.spec import BackboneName, Variant
from backbone.vgg16 import VGG16SSD
from tasks.body_spec import ClassifierSpec
from tasks.classification.model import Classifier

NAMES: tuple[BackboneName, ...] = get_args(BackboneName)
BODIES: dict[str, Callable[[], Body]] = {
    **{name: partial(build_body, name) for name in NAMES},
    "vgg16_ssd": VGG16SSD,
    "inception_v2_4c": lambda: InceptionV2(tap_4c=True),
    "inception_v2_symmetric": lambda: InceptionV2(Flavour("symmetric", 1e-5, "relu")),
    "googlenet_5x5": lambda: GoogLeNet(true_5x5=True),
}
# Side of each map at the body's usual input size.
SIDES: dict[str, tuple[int, dict[int, int]]] = {
    "mobilenet_v1": (224, {2: 112, 4: 56, 8: 28, 16: 14, 32: 7}),
    "vgg16": (300, {1: 300, 2: 150, 4: 75, 8: 37, 16: 18, 32: 9}),
    "vgg16_ssd": (300, {1: 300, 2: 150, 4: 75, 8: 38, 16: 19}),
    "inception_v2": (300, {2: 150, 4: 75, 8: 38, 16: 19, 32: 10}),
    "inception_v2_symmetric": (300, {2: 150, 4: 75, 8: 38, 16: 19, 32: 10}),
    "inception_v3": (299, {2: 147, 4: 71, 8: 35, 16: 17, 32: 8}),
    "googlenet": (224, {2: 112, 4: 56, 8: 28, 16: 14, 32: 7}),
    "googlenet_5x5": (224, {2: 112, 4: 56, 8: 28, 16: 14, 32: 7}),
    "squeezenet": (224, {2: 109, 4: 54, 8: 27, 16: 13}),
    "alexnet": (227, {4: 55, 8: 27, 16: 13, 32: 6}),
    "resnet50": (224, {2: 112, 4: 56, 8: 28, 16: 14, 32: 7}),
    "resnet50_separable": (224, {2: 112, 4: 56, 8: 28, 16: 14, 32: 7}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SIDES)
def test_maps_at_the_usual_size(name: str) -> None:
    size, sides = SIDES[name]
    with torch.device("meta"):
        body = BODIES[name]()
        features = body(torch.empty(2, 3, size, size))
    shapes = {stride: tuple(feature.shape) for stride, feature in features.items()}
    assert shapes == {s: (2, body.channels[s], side, side) for s, side in sides.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", BODIES)
def test_maps_splits_and_gradients(name: str) -> None:
    torch.manual_seed(0)
    body = BODIES[name]()
    side = max(body.min_size, 48)
    images = torch.randn(2, 3, side, side + 16)
    body.eval()
    with torch.inference_mode():
        features = body(images)
        assert {s: f.shape[1] for s, f in features.items()} == body.channels
        last = features[max(features)]
        for stride in sorted(features)[-3:-1]:
            base, rest = body.split(stride)
            cut = base(images)
            if body.taps == body.last_at:
                assert torch.equal(cut, features[stride])
            assert torch.equal(rest(cut), last)
    body.train()
    sum(feature.mean() for feature in body(images).values()).backward()
    for key, weight in body.named_parameters():
        assert weight.grad is not None, key
        assert weight.grad.isfinite().all(), key
        # A batch norm takes away what a shift before it adds, so single gradients may vanish.
        assert key.endswith("bias") or weight.grad.any(), key


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_smallest_image_and_the_classifiers_shape(name: BackboneName) -> None:
    with torch.device("meta"):
        body = build_body(name)
        model = Classifier(ClassifierSpec(name, size=body.min_size), 7)
        logits = model.raw(torch.empty(2, 3, body.min_size, body.min_size))
        with pytest.raises(ValueError, match="too small"):
            body(torch.empty(1, 3, body.min_size - 1, 300))
    assert logits.shape == (2, 7)
    assert model.columns == 7
    assert model.body.flavour.input.size == body.min_size


@pytest.mark.slow
def test_tap_4c_leaves_the_split_alone() -> None:
    torch.manual_seed(0)
    body = InceptionV2(tap_4c=True).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        features = body(images)
        base, rest = body.split(16)
        assert not torch.equal(base(images), features[16])
        upto_4c = nn.Sequential(*body.layers[: len(base) - 2])
        assert torch.equal(upto_4c(images), features[16])
        assert len(rest) == 3


@pytest.mark.slow
@pytest.mark.parametrize("size", [33, 62, 64, 75])
def test_inception_v2_pools_as_tensorflow_does(size: int) -> None:
    """SAME padding of a maximum is a border that never wins, after an even side only."""
    x = torch.randn(1, 64, size, size + 1)
    bottom, right = (size % 2, 1), ((size + 1) % 2, 1)
    border = nn.functional.pad(x, (*right, *bottom), value=-math.inf)
    wanted = nn.functional.max_pool2d(border, 3, 2)
    with torch.device("meta"):  # A pool has no weights.
        pool = InceptionV2().layers[1]
    assert torch.equal(pool(x), wanted)


def test_alexnet_normalises_as_its_paper_writes() -> None:
    """Section 3.3: a / (2 + 1e-4 * sum of squares of 5 channels) ** .75, after the ReLU."""
    norm = next(m for m in build_body("alexnet").modules() if isinstance(m, nn.LocalResponseNorm))
    x = 300 * torch.randn(1, 96, 4, 4).relu()
    padded = nn.functional.pad(x.square(), (0, 0, 0, 0, 2, 2))
    sums = sum(padded[:, shift : shift + 96] for shift in range(5))
    torch.testing.assert_close(norm(x), x / (2 + 1e-4 * sums) ** 0.75)


def fill(model: nn.Module) -> dict[str, Tensor]:
    """Random values that keep activations near 1, shared instead of copied."""
    random = torch.Generator().manual_seed(0)
    state = {}
    for key, old in model.state_dict().items():
        new = torch.empty(old.shape, dtype=old.dtype)
        if new.ndim > 1:
            bound = math.sqrt(6 / new[0].numel())
            new.uniform_(-bound, bound, generator=random)
        elif new.ndim:
            centre = 1.0 if key.endswith(("bn.weight", "running_var")) else 0.1
            new.uniform_(centre - 0.1, centre + 0.1, generator=random)
        else:
            new.zero_()
        state[key] = new
    model.load_state_dict(state, assign=True)
    return state


INCEPTION = {"aux_logits": False, "transform_input": False, "init_weights": False}
REFERENCES: dict[BackboneName, tuple[Callable[..., Any], dict[str, Any], int]] = {
    "vgg16": (reference.vgg16, {}, 64),
    "googlenet": (reference.googlenet, INCEPTION, 64),
    "inception_v3": (reference.inception_v3, INCEPTION, 107),
    "squeezenet": (reference.squeezenet1_0, {}, 65),
    "resnet50": (reference.resnet50, {}, 64),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFERENCES)
def test_torchvisions_weights_give_torchvisions_logits(name: BackboneName) -> None:
    build, options, size = REFERENCES[name]
    with torch.device("meta"):
        theirs = build(weights=None, num_classes=11, **options)
        body = build_body(name)
        ours = nn.ModuleList([body, body.make_classifier(11)])
    state = fill(theirs)
    ours.load_state_dict(dict(zip(ours.state_dict(), state.values(), strict=True)), assign=True)
    images = torch.randn(1, 3, size, size)
    with torch.inference_mode():
        wanted = theirs.eval()(images)
        ours.eval()
        logits = ours[1](body(images)[max(body.channels)])
    assert wanted.std() > 1e-3
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-4 * float(wanted.std()))


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"mobilenet_v1"}))
def test_what_only_mobilenet_has_is_refused(name: BackboneName) -> None:
    with pytest.raises(ValueError, match=r"--alpha 0.5 is for mobilenet_v1"):
        build_body(name, alpha=0.5)
    with pytest.raises(ValueError, match=r"--variant shallow is for mobilenet_v1"):
        build_body(name, variant="shallow")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"mobilenet_v1", "inception_v2"}))
def test_fixed_conventions_are_kept(name: BackboneName) -> None:
    own = default_flavour(name)
    other = replace(own, input=InputSpec(160, channels="bgr"))
    with torch.device("meta"):
        assert build_body(name, flavour=other).flavour == other
        assert build_body(name).flavour == own
    for change in ({"padding": "same"}, {"activation": "relu6"}, {"bn_eps": 0.5}):
        (key, value), *_ = change.items()
        with pytest.raises(ValueError, match=f"{key} {getattr(own, key)} .* with {value}"):
            build_body(name, flavour=replace(own, **change))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_batch_norms_have_the_flavours_epsilon(name: BackboneName) -> None:
    with torch.device("meta"):
        body = build_body(name)
    norms = [m for m in body.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {m.eps for m in norms} <= {default_flavour(name).bn_eps}


@pytest.mark.slow
def test_unknown_names_and_impossible_classifiers_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown backbone 'vgg19': choose one of mobilenet_v1, "):
        build_body("vgg19")
    with pytest.raises(ValueError, match="unknown backbone 'vgg19'"):
        default_flavour("vgg19")
    with torch.device("meta"):
        with pytest.raises(ValueError, match="--size 64 is too small for inception_v3: 75"):
            Classifier(ClassifierSpec("inception_v3", size=64), 10)
        with pytest.raises(ValueError, match="0 classes"):
            Classifier(ClassifierSpec(), 0)


def test_a_classifier_takes_bytes_and_any_layout_of_them() -> None:
    torch.manual_seed(0)
    model = Classifier(ClassifierSpec(alpha=0.25, size=64), 5).eval()
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        logits = model(images)
        torch.testing.assert_close(logits, model(images.float()))
        features = model.body(images / 127.5 - 1)[32]
        torch.testing.assert_close(logits, model.head(features))


# (batch norms, activations) of a body with 13 blocks, or 8 in the shallow one.
ABLATIONS: dict[Variant, tuple[int, int]] = {
    "standard": (27, 27),
    "shallow": (17, 17),
    "full_conv": (14, 14),
    "act_after_pointwise": (27, 14),
    "act_after_depthwise": (27, 14),
    "bn_act_after_pointwise": (14, 14),
    "bn_act_after_depthwise": (14, 14),
    "conv_head": (28, 28),
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", get_args(Variant))
def test_variants_of_mobilenet_differ_as_named_and_learn(variant: Variant) -> None:
    torch.manual_seed(0)
    spec = ClassifierSpec(alpha=0.25, variant=variant, size=32)
    model = Classifier(spec, 4)
    kinds = [type(m) for m in model.body.modules()]
    assert (kinds.count(nn.BatchNorm2d), kinds.count(ReLU6)) == ABLATIONS[variant]
    if "after" in variant:
        block = model.body.layers[5]
        chosen, other = block.depthwise, block.pointwise
        if variant.endswith("pointwise"):
            chosen, other = other, chosen
        assert isinstance(chosen.act, nn.ReLU6)
        assert isinstance(other.act, nn.Identity)
        assert isinstance(chosen.bn, nn.BatchNorm2d)
        assert isinstance(other.bn, nn.Identity) == variant.startswith("bn")
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    labels = torch.arange(8) % 4
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(15):
        loss = model(images, labels)["class"]
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.5 * losses[0]


def test_mobilenet_takes_its_width_and_variant_through_the_one_builder() -> None:
    body = build_body("mobilenet_v1", alpha=0.5, variant="shallow")
    assert isinstance(body, MobileNetV1)
    assert body.channels[32] == 512
    assert len(body.layers) == 9


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_relu6_learns_as_pytorchs(dtype: torch.dtype) -> None:
    """At its limits, beyond them, and for what is no number; also within autocast's numbers."""
    edges = torch.tensor([-torch.inf, -1, -0.0, 0, 1e-30, 3, 6, 6.1, torch.inf, torch.nan])
    found = []
    for act in (ReLU6(inplace=True), nn.ReLU6(inplace=True)):
        start = edges.to(dtype).view(1, 10, 1, 1).expand(2, 10, 3, 3).clone().requires_grad_()
        out = act(start.contiguous(memory_format=torch.channels_last) * 1)
        (out * torch.arange(9.0, dtype=dtype).view(3, 3)).sum().backward()
        assert start.grad is not None
        found.append((out.detach(), start.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)


@pytest.mark.filterwarnings(
    "ignore:.torch.jit:FutureWarning", "ignore:.torch.jit:DeprecationWarning"
)
def test_relu6_is_pytorchs_where_operators_are_recorded() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), ReLU6(inplace=True))
    images, weights = torch.randn(3, 1, 4, 4), dict(net.named_parameters())

    def loss(weights: dict[str, Tensor], image: Tensor) -> Tensor:
        return cast("Tensor", torch.func.functional_call(net, weights, (image[None],)).sum())

    assert torch.equal(torch.jit.trace(net, images)(images), net(images))
    each = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, images)
    net(images).sum().backward()
    for name, weight in weights.items():
        torch.testing.assert_close(each[name].sum(0), weight.grad)
