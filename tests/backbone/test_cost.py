"""Costs against the paper's printed tables and against torch's own counter."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from backbone.cost import Cost, count_cost
from backbone.flavour import Flavour
from backbone.googlenet import GoogLeNet
from backbone.inception_v2 import InceptionV2
from backbone.layers import SeparableBlock
from backbone.mobilenet_v1 import MobileNetV1
from backbone.resnet50 import Match, ResNet50
from backbone.vgg16 import VGG16SSD
from datasets.types import ClassMap
from tasks.body_spec import ClassifierSpec
from tasks.classification.model import Classifier
from tasks.detection.model import build_detector, detector_cost
from tasks.detection.spec import DetectorSpec

COCO_90 = ClassMap.from_names([str(k) for k in range(90)])


def cost_of(num_classes: int = 1000, **spec: Any) -> Cost:
    """Of a whole classifier, built without memory."""
    chosen = ClassifierSpec(**spec)
    with torch.device("meta"):
        model = Classifier(chosen, num_classes)
    return count_cost(model, (1, 3, chosen.size, chosen.size))


# (alpha, size): mult-adds in millions. Tables 6 and 7 print them without decimals.
MULT_ADDS = {
    (1.0, 224): 568.74, (1.0, 192): 418.12, (1.0, 160): 290.68, (1.0, 128): 186.40,
    (0.75, 224): 325.40, (0.75, 192): 239.27, (0.75, 160): 166.40, (0.75, 128): 106.77,
    (0.5, 224): 149.50, (0.5, 192): 109.97, (0.5, 160): 76.52, (0.5, 128): 49.16,
    (0.25, 224): 41.03, (0.25, 192): 30.21, (0.25, 160): 21.06, (0.25, 128): 13.57,
}  # fmt: skip
PARAMS = {1.0: 4.232, 0.75: 2.586, 0.5: 1.332, 0.25: 0.470}


@pytest.mark.slow
@pytest.mark.parametrize(("alpha", "size"), MULT_ADDS)
def test_tables_6_and_7(alpha: float, size: int) -> None:
    cost = cost_of(alpha=alpha, size=size)
    assert round(cost.mult_adds / 1e6, 2) == MULT_ADDS[alpha, size]
    assert round(cost.params / 1e6, 3) == PARAMS[alpha]


@pytest.mark.slow
def test_table_2_shares_per_layer_type() -> None:
    """The paper counts weights alone; its 3x3 row prints 1.19 for 1.91 (digits transposed)."""
    kinds = cost_of().by_kind()
    total = sum(adds for adds, _ in kinds.values())
    shares = {kind: round(100 * adds / total, 2) for kind, (adds, _) in kinds.items()}
    assert shares["conv 1x1"] == 94.86
    assert shares["depthwise 3x3"] == 3.06
    assert shares["conv 3x3"] == 1.91
    assert shares["linear"] == 0.18
    weights = {kind: params for kind, (_, params) in kinds.items() if kind != "batch norm"}
    weights["linear"] -= 1000  # The bias.
    parts = {kind: round(100 * n / sum(weights.values()), 2) for kind, n in weights.items()}
    assert parts == {
        "conv 3x3": 0.02,
        "depthwise 3x3": 1.06,
        "conv 1x1": 74.59,
        "linear": 24.33,
    }


# Spec, classes: computed mult-adds and parameters, then the printed ones, all in millions.
# None is a print that no count gives.
CLASSIFIERS: list[tuple[dict[str, Any], int, float, float, str | None, str | None]] = [
    ({"variant": "shallow"}, 1000, 307.32, 2.888, "307", "2.9"),  # Table 5.
    ({"variant": "full_conv"}, 1000, 4867.29, 29.294, None, "29.3"),  # Table 4.
    ({"backbone": "vgg16"}, 1000, 15470.26, 138.358, None, "138"),  # Table 8.
    ({"backbone": "googlenet"}, 1000, 1498.38, 6.625, None, None),
    # Table 9: 1700 is SqueezeNet's count of additions and multiplications.
    ({"backbone": "squeezenet"}, 1000, 818.92, 1.248, None, "1.25"),
    ({"backbone": "alexnet", "size": 227}, 1000, 724.41, 60.965, None, None),
    # Table 10, Stanford Dogs; the print of mult-adds is that of 1000 classes.
    ({}, 120, 567.84, 3.330, None, "3.3"),
    ({"alpha": 0.75}, 120, 324.72, 1.909, "325", "1.9"),
    ({"size": 192}, 120, 417.22, 3.330, None, "3.3"),
    ({"alpha": 0.75, "size": 192}, 120, 238.60, 1.909, "239", "1.9"),
    ({"backbone": "inception_v3", "size": 299}, 120, 5711.41, 22.031, None, None),
    ({"backbone": "inception_v3", "size": 299}, 1000, 5713.22, 23.835, None, None),
    # Table 11: 10 M of its 13 M parameters are the last layer, so there are about 9,760 cells.
    ({}, 9760, 577.71, 13.211, None, "13"),
    # Table 12, with CelebA's 40 attributes; the prints of alpha .25 are no count of ours.
    ({}, 40, 567.76, 3.248, "568", "3.2"),
    ({"alpha": 0.5}, 40, 149.01, 0.839, "149", "0.8"),
    ({"alpha": 0.25}, 40, 40.78, 0.223, None, "0.2"),
    ({"size": 128}, 40, 185.42, 3.248, "185", "3.2"),
    ({"alpha": 0.5, "size": 128}, 40, 48.67, 0.839, None, "0.8"),
    ({"alpha": 0.25, "size": 128}, 40, 13.32, 0.223, None, "0.2"),
    # Table 14, 128 values; it prints .75-128 for .75-160, and the other rows are no count.
    ({"alpha": 0.75, "size": 160}, 128, 165.73, 1.915, "166", None),
    # Bodies of table 13 and of the comparison with ResNet-50.
    ({"backbone": "inception_v2"}, 1000, 1934.86, 11.188, None, None),
    ({"backbone": "resnet50"}, 1000, 4089.18, 25.557, None, None),
    ({"backbone": "resnet50_separable"}, 1000, 4094.13, 24.549, None, None),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "num_classes", "adds", "params", "printed_adds", "printed_params"), CLASSIFIERS
)
def test_classifiers_of_tables_4_to_14(
    spec: dict[str, Any],
    num_classes: int,
    adds: float,
    params: float,
    printed_adds: str | None,
    printed_params: str | None,
) -> None:
    cost = cost_of(num_classes, **spec)
    assert round(cost.mult_adds / 1e6, 2) == adds
    assert round(cost.params / 1e6, 3) == params
    for value, printed in ((cost.mult_adds, printed_adds), (cost.params, printed_params)):
        if printed:
            decimals = len(printed.partition(".")[2])
            assert f"{value / 1e6:.{decimals}f}" == printed


@pytest.mark.slow
def test_prints_that_leave_the_last_layers_out() -> None:
    """Tables 4, 6 and 8 count some networks without their fully connected layers."""
    found = {}
    for name, spec in (
        ("full_conv", {"variant": "full_conv"}),
        ("1.0-160", {"size": 160}),
        ("vgg16", {"backbone": "vgg16"}),
    ):
        cost = cost_of(**spec)
        found[name] = round((cost.mult_adds - cost.by_kind()["linear"][0]) / 1e6)
    assert found == {"full_conv": 4866, "1.0-160": 290, "vgg16": 15347}


def test_table_3_one_layer_at_a_time() -> None:
    """Weights alone, without batch norm; each row keeps the change of the rows above it."""

    def separable(width: int) -> nn.Module:
        bare = (False, False)
        return SeparableBlock(width, width, stride=1, flavour=Flavour(), norm=bare, act=bare)

    rows = {}
    for name, layer, width, side in (
        ("conv", nn.Conv2d(512, 512, 3, padding=1, bias=False), 512, 14),
        ("separable", separable(512), 512, 14),
        ("alpha .75", separable(384), 384, 14),
        ("rho .714", separable(384), 384, 10),
    ):
        cost = count_cost(layer, (1, width, side, side))
        rows[name] = (round(cost.mult_adds / 1e6, 1), round(cost.params / 1e6, 2))
    assert rows == {
        "conv": (462.4, 2.36),
        "separable": (52.3, 0.27),
        "alpha .75": (29.6, 0.15),
        "rho .714": (15.1, 0.15),
    }


@pytest.mark.slow
def test_googlenet_with_its_own_5x5() -> None:
    """Neither it nor torchvision's gives the 1550 and 6.8 that table 8 prints."""
    with torch.device("meta"):
        body = GoogLeNet(true_5x5=True)
        model = nn.ModuleList([body, body.make_classifier(1000)])
    cost = count_cost(model, (1, 3, 224, 224), lambda m, x: m[1](m[0](x)[32]))
    assert round(cost.mult_adds / 1e6) == 1583
    assert round(cost.params / 1e6, 3) == 7.006
    without_norm = cost.params - cost.by_kind()["batch norm"][1]
    assert round(without_norm / 1e6, 2) == 6.99


@pytest.mark.slow
@pytest.mark.parametrize("match", ["cost", "params"])
def test_separable_resnet_matches_the_original(match: Match) -> None:
    with torch.device("meta"):
        found, wanted = [
            count_cost(body, (1, 3, 224, 224))
            for body in (ResNet50(separable=True, match=match), ResNet50())
        ]
    pairs = {"cost": (found.mult_adds, wanted.mult_adds), "params": (found.params, wanted.params)}
    assert pairs[match][0] == pytest.approx(pairs[match][1], rel=0.004)


@pytest.mark.slow
def test_bases_of_table_13() -> None:
    """The parts of its SSD300 and Faster R-CNN rows that these bodies contribute."""
    with torch.device("meta"):
        vgg, inception = VGG16SSD(), InceptionV2(tap_4c=True)
    assert str(count_cost(vgg, (1, 3, 300, 300))) == "29.898 B mult-adds, 20.484 M params"
    assert str(count_cost(inception, (1, 3, 300, 300))) == "3.594 B mult-adds, 10.163 M params"
    base, box_head = inception.split(16)
    assert str(count_cost(base, (1, 3, 300, 300))) == "2.841 B mult-adds, 4.262 M params"
    crops = count_cost(box_head, (300, 576, 14, 14))
    assert str(crops) == "114.266 B mult-adds, 5.902 M params"


# (alpha, size, head): (mult-adds in billions, parameters in millions).
DETECTORS = {
    (1.0, 300, "ssd"): (1.237, 6.820),  # Table 13 prints 1.2 and 6.8.
    (0.75, 300, "ssd"): (0.728, 4.11),
    (0.5, 300, "ssd"): (0.352, 2.07),
    (0.25, 300, "ssd"): (0.109, 0.70),
    (1.0, 224, "ssd"): (0.665, 6.82),
    (1.0, 192, "ssd"): (0.485, 6.82),
    (1.0, 300, "ssdlite"): (1.213, 5.25),
}


@pytest.mark.slow
@pytest.mark.parametrize(("alpha", "size", "head"), DETECTORS)
def test_ssd300_of_table_13(alpha: float, size: int, head: str) -> None:
    spec = DetectorSpec(alpha=alpha, size=size, head=head)
    with torch.device("meta"):
        model = build_detector(spec, COCO_90)
    cost = count_cost(model, (1, 3, size, size), lambda m, x: m.raw(x))
    adds, params = DETECTORS[alpha, size, head]
    assert round(cost.mult_adds / 1e9, 3) == adds
    assert cost.params / 1e6 == pytest.approx(params, abs=0.005)


@pytest.mark.slow
def test_agrees_with_torchs_own_counter() -> None:
    model = build_detector(DetectorSpec(alpha=0.5, size=160), COCO_90).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.raw(torch.zeros(2, 3, 160, 160))
    ours = count_cost(model, (2, 3, 160, 160), lambda m, x: m.raw(x))
    assert counter.get_total_flops() == 2 * ours.mult_adds


def test_a_transposed_convolution_by_hand() -> None:
    """Each of 3 x 5 x 5 input values is multiplied by 2 x 4 x 4 weights."""
    cost = count_cost(nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1), (1, 3, 5, 5))
    assert (cost.mult_adds, cost.params) == (75 * 32, 3 * 32 + 2)
    assert cost.layers[0].kind == "transposed conv 4x4"
    assert cost.layers[0].output == (2, 10, 10)


def test_counts_every_call_and_leaves_the_model_alone() -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)
    twice = count_cost(conv, (1, 4, 10, 10), lambda m, x: m(m(x)))
    assert twice.mult_adds == 2 * 4 * 100 * 9
    assert twice.params == 36
    assert twice.layers[0].kind == "depthwise 3x3"
    assert conv.weight.device.type == "cpu"
    assert not conv._forward_hooks


@pytest.mark.slow
def test_prints_as_the_paper_does() -> None:
    with torch.device("meta"):
        body = MobileNetV1(1.0, Flavour())
    assert str(count_cost(body, (1, 3, 224, 224))) == "0.568 B mult-adds, 3.207 M params"


# (framework, body, other fields): (mult-adds in billions, parameters in millions).
TABLE_13: dict[tuple[str, str, tuple[tuple[str, object], ...]], tuple[float, float]] = {
    ("ssd300", "inception_v2", ()): (3.783, 13.794),
    ("ssd300", "vgg16", ()): (34.858, 35.642),
    ("faster_rcnn_300", "mobilenet_v1", ()): (25.224, 6.066),
    ("faster_rcnn_300", "mobilenet_v1", (("proposals", 100),)): (9.583, 6.066),
    ("faster_rcnn_300", "mobilenet_v1", (("proposals", 50),)): (5.672, 6.066),
    ("faster_rcnn_300", "mobilenet_v1", (("roi_pool", True),)): (9.516, 6.066),
    ("faster_rcnn_600", "mobilenet_v1", ()): (30.494, 6.066),
    ("faster_rcnn_300", "inception_v2", ()): (118.217, 13.317),
    ("faster_rcnn_600", "inception_v2", ()): (129.566, 13.317),
    ("faster_rcnn_300", "vgg16", ()): (64.304, 138.505),
    ("faster_rcnn_600", "vgg16", ()): (149.540, 138.505),
}


@pytest.mark.slow
@pytest.mark.parametrize(("framework", "backbone", "fields"), TABLE_13)
def test_the_detectors_of_table_13(
    framework: str, backbone: str, fields: tuple[tuple[str, object], ...]
) -> None:
    spec = DetectorSpec(framework, backbone, **dict(fields))
    cost = detector_cost(spec, 90)
    adds, params = TABLE_13[framework, backbone, fields]
    assert round(cost.mult_adds / 1e9, 3) == adds
    assert round(cost.params / 1e6, 3) == params
