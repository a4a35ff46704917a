"""Each step of Faster R-CNN against torchvision's own, on the same boxes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler, BoxCoder, Matcher
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import box_convert, box_iou, roi_align

from tasks.detection.anchors import CODER_WEIGHTS, MAX_LOG_SIZE
from tasks.detection.faster_rcnn import CROP, FasterRCNN, crop
from tasks.detection.matching import Rule, assign, sample
from tasks.detection.rpn import MIN_SIDE, add_true_boxes, propose, rpn_loss
from tasks.detection.spec import PostSpec
from tests.tasks.two_stage import ALL, SIZE, TARGETS, build, random_boxes, spread


@pytest.mark.parametrize(("height", "width", "size"), [(20, 20, 14), (7, 13, 14), (2, 2, 7)])
def test_crops_and_their_gradients_are_roi_aligns(height: int, width: int, size: int) -> None:
    torch.manual_seed(0)
    feature = torch.randn(2, 8, height, width, dtype=torch.float32, requires_grad=True)
    boxes = torch.cat((random_boxes(40), torch.tensor([[0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5]])))
    owners = torch.arange(len(boxes)) % 2
    ours = crop(feature, boxes, owners, size)
    weight = torch.randn_like(ours)
    (mine,) = torch.autograd.grad((ours * weight).sum(), feature)
    scaled = boxes * torch.tensor([width, height, width, height])
    rows = torch.cat((owners[:, None].float(), scaled), dim=1)
    theirs = roi_align(feature, rows, size, 1.0, sampling_ratio=1, aligned=True)
    (other,) = torch.autograd.grad((theirs * weight).sum(), feature)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(0, 50))
def test_matching_is_torchvisions(seed: int, boxes: int, jittered: int) -> None:
    """The first stage's rule with ties, and the second's; boxes on a grid, so that ties happen."""
    truth = (random_boxes(boxes, seed) * 8).round() / 8
    truth[:, 2:] = truth[:, 2:].clamp(min=truth[:, :2] + 0.125)
    anchors = torch.cat((random_boxes(60, seed + 1), truth.repeat(8, 1)[:jittered] + 0.05, truth))
    iou = box_iou(truth, anchors)
    stages: tuple[tuple[Rule, float, float, bool], ...] = (
        (Rule(0.7, 0.3, "ties"), 0.7, 0.3, True),
        (Rule(0.5, 0.5, "none"), 0.5, 0.5, False),
    )
    for rule, high, low, rescue in stages:
        theirs = Matcher(high, low, allow_low_quality_matches=rescue)(iou)
        assert torch.equal(assign(iou, rule), theirs)


def test_a_box_that_nothing_touches_rescues_nothing() -> None:
    """torchvision would give it every anchor: each overlaps it as much as the best, by 0."""
    iou = torch.tensor([[0.0, 0.0, 0.0], [0.9, 0.1, 0.5]])
    assert assign(iou, Rule(0.7, 0.3, "ties")).tolist() == [1, -1, -2]


@pytest.mark.parametrize("share", [0.25, 0.5])
@pytest.mark.parametrize(("objects", "background"), [(5, 400), (200, 300), (0, 90), (7, 0)])
def test_as_many_are_drawn_as_torchvision_draws(
    objects: int, background: int, share: float
) -> None:
    labels = torch.tensor([3] * objects + [0] * background + [-1] * 30)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    labels = labels[order]
    torch.manual_seed(0)
    chosen = sample(labels[None], 64, share)[0]
    positive, negative = BalancedPositiveNegativeSampler(64, share)([labels])
    assert int((chosen & (labels > 0)).sum()) == int(positive[0].sum())
    assert int((chosen & (labels == 0)).sum()) == int(negative[0].sum())
    assert not (chosen & (labels < 0)).any()


def test_every_candidate_is_drawn_equally_often() -> None:
    torch.manual_seed(0)
    labels = torch.tensor([1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, -1]).expand(20_000, -1)
    shares = sample(labels, 4, 0.5).float().mean(0)
    torch.testing.assert_close(shares[:4], torch.full((4,), 0.5), atol=0.02, rtol=0)
    torch.testing.assert_close(shares[4:12], torch.full((8,), 0.25), atol=0.02, rtol=0)


class Anchors(nn.Module):
    """Ours in place of torchvision's generator, in pixels."""

    def __init__(self, model: FasterRCNN) -> None:
        super().__init__()
        self.boxes = box_convert(model.anchors, "cxcywh", "xyxy") * SIZE

    def num_anchors_per_location(self) -> list[int]:
        return [12]

    def forward(self, images: ImageList, features: list[Tensor]) -> list[Tensor]:
        return [self.boxes] * len(images.image_sizes)


class Head(nn.Module):
    """Our first stage's outputs in torchvision's order of axes."""

    def __init__(self, model: FasterRCNN) -> None:
        super().__init__()
        self.rpn = model.rpn

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        (feature,) = features
        logits, offsets = self.rpn(feature)
        cells = (len(feature), *feature.shape[-2:])
        return [logits.view(*cells, 12).permute(0, 3, 1, 2)], [
            offsets.view(*cells, 48).permute(0, 3, 1, 2)
        ]


def coder() -> BoxCoder:
    return BoxCoder(CODER_WEIGHTS, bbox_xform_clip=MAX_LOG_SIZE)


def torchvisions_first_stage(model: FasterRCNN) -> RegionProposalNetwork:
    many = {"training": 1000, "testing": 1000}
    few = {"training": 300, "testing": 300}
    rpn = RegionProposalNetwork(Anchors(model), Head(model), 0.7, 0.3, 10**6, 0.5, many, few, 0.7)
    rpn.box_coder, rpn.min_size = coder(), MIN_SIDE * SIZE
    return rpn


def in_pixels(targets: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    return [{**target, "boxes": target["boxes"] * SIZE} for target in targets]


def test_the_first_stage_is_torchvisions() -> None:
    """Proposals, losses, and the gradients of every weight."""
    model = spread(build(loss=ALL)).train()
    feature = torch.randn(2, 128, 16, 16, requires_grad=True)
    images = ImageList(torch.zeros(2, 3, SIZE, SIZE), [(SIZE, SIZE)] * 2)
    theirs = torchvisions_first_stage(model).train()
    regions, losses = theirs(images, {"0": feature}, in_pixels(TARGETS))
    logits, offsets = model.rpn(feature)
    ours = rpn_loss(logits, offsets, model.anchors, TARGETS, ALL)
    torch.testing.assert_close(ours["rpn_class"], losses["loss_objectness"])
    torch.testing.assert_close(ours["rpn_box"], losses["loss_rpn_box_reg"])
    wanted = [feature, *model.rpn.parameters()]
    mine = torch.autograd.grad(sum(ours.values()), wanted)
    other = torch.autograd.grad(sum(losses.values()), wanted)
    for one, two in zip(mine, other, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-7)
    boxes, real = propose(logits, offsets, model.anchors, 300)
    for index in range(2):
        found = boxes[index, real[index]] * SIZE
        torch.testing.assert_close(found, regions[index], rtol=1e-4, atol=1e-2)


class Crops(nn.Module):
    """Our crops where torchvision pools regions."""

    def forward(self, features: dict[str, Tensor], regions: list[Tensor], sizes: object) -> Tensor:
        owners = torch.cat([torch.full((len(r),), i) for i, r in enumerate(regions)])
        return crop(features["0"], torch.cat(regions) / SIZE, owners, CROP)


class Predictor(nn.Module):
    """Our second stage; torchvision wants box columns for background too."""

    def __init__(self, model: FasterRCNN) -> None:
        super().__init__()
        self.second_stage = model.second_stage

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        logits, offsets = self.second_stage(crops)
        return logits, nn.functional.pad(offsets, (0, 0, 1, 0)).flatten(1)


def torchvisions_second_stage(model: FasterRCNN, post: PostSpec) -> RoIHeads:
    heads = RoIHeads(
        Crops(),
        nn.Identity(),
        Predictor(model),
        0.5,
        0.5,
        10**6,
        0.25,
        CODER_WEIGHTS,
        post.score_threshold,
        post.nms_iou,
        post.detections,
    )
    heads.box_coder = coder()
    return heads


@pytest.mark.slow
def test_the_second_stage_is_torchvisions() -> None:
    model = spread(build(loss=ALL)).train()
    feature = torch.randn(2, 128, 16, 16, requires_grad=True)
    regions = torch.stack([random_boxes(50, 3), random_boxes(50, 4)])
    regions[:, :10] = TARGETS[0]["boxes"][:1] + 0.03 * torch.randn(10, 4)
    real = torch.ones(2, 50, dtype=torch.bool)
    heads = torchvisions_second_stage(model, model.post).train()
    pixels = [one * SIZE for one in regions]
    _, losses = heads({"0": feature}, pixels, [(SIZE, SIZE)] * 2, in_pixels(TARGETS))
    all_regions, all_real = add_true_boxes(regions, real, TARGETS)
    ours = model._second_loss(feature, all_regions, all_real, TARGETS)
    torch.testing.assert_close(ours["class"], losses["loss_classifier"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours["box"], losses["loss_box_reg"], rtol=1e-4, atol=1e-5)
    weights = [*model._halves[1].parameters(), *model.class_predictor.parameters()]
    wanted = [feature, *weights, *model.box_predictor.parameters()]
    mine = torch.autograd.grad(sum(ours.values()), wanted)
    other = torch.autograd.grad(sum(losses.values()), wanted)
    for one, two in zip(mine, other, strict=True):
        scale = float(two.abs().max())
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4 * scale + 1e-7)


@pytest.mark.slow
def test_detections_are_torchvisions() -> None:
    """From the map to the last box, both stages chained."""
    post = PostSpec(candidates=10**6)
    model = spread(build(post=post)).eval()
    feature = torch.randn(2, 128, 16, 16)
    with torch.inference_mode():
        logits, offsets = model.rpn(feature)
        ours = model.detect(feature, *propose(logits, offsets, model.anchors, 300))
        images = ImageList(torch.zeros(2, 3, SIZE, SIZE), [(SIZE, SIZE)] * 2)
        regions, _ = torchvisions_first_stage(model).eval()(images, {"0": feature})
        heads = torchvisions_second_stage(model, post).eval()
        theirs, _ = heads({"0": feature}, regions, [(SIZE, SIZE)] * 2)
    for index, one in enumerate(theirs):
        count = len(one["scores"])
        assert count > 20
        torch.testing.assert_close(ours.scores[index, :count], one["scores"], rtol=1e-3, atol=1e-4)
        # Rounding may swap neighbours whose scores are nearly equal, and the last with the next.
        apart = one["scores"].diff() < -1e-5
        clear = nn.functional.pad(apart, (1, 0), value=True) & nn.functional.pad(apart, (0, 1))
        assert clear.sum() > count / 2
        rows = clear.nonzero()[:, 0]
        assert torch.equal(ours.labels[index, rows], one["labels"][rows])
        boxes = ours.boxes[index, rows] * SIZE
        torch.testing.assert_close(boxes, one["boxes"][rows], rtol=1e-3, atol=0.05)
