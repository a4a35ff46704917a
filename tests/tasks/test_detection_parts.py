"""Anchors, box coder, matching, losses and post-processing, each against an independent way."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import box_convert, box_iou, nms

from tasks.detection.anchors import decode, encode, make_anchors, ssd_shapes
from tasks.detection.matching import Matches, Rule, match
from tasks.detection.postprocess import postprocess
from tasks.detection.spec import DetectorSpec, LossSpec, PostSpec
from tasks.detection.ssd import hard_negatives, ssd_loss
from tasks.detection.ssd_layout import map_sizes

SPEC = DetectorSpec()
ANCHORS = make_anchors(map_sizes(SPEC), ssd_shapes())
SSD_RULE = Rule(0.5, 0.5, "one")


def boxes_strategy(most: int = 6) -> st.SearchStrategy[Tensor]:
    unit = st.floats(0.01, 0.99)
    box = st.tuples(unit, unit, unit, unit).map(
        lambda v: (
            min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]) + 0.01, max(v[1], v[3]) + 0.01
        )
    )  # fmt: skip
    return st.lists(box, min_size=1, max_size=most).map(torch.tensor)


def target(
    boxes: Tensor, labels: list[int] | None = None, crowd: list[bool] | None = None
) -> dict[str, Tensor]:
    count = len(boxes)
    return {
        "boxes": boxes.reshape(-1, 4),
        "labels": torch.tensor(labels or [1] * count, dtype=torch.int64),
        "iscrowd": torch.tensor(crowd or [False] * count, dtype=torch.bool),
    }


def test_1917_anchors_at_300() -> None:
    assert map_sizes(SPEC) == [(n, n) for n in (19, 10, 5, 3, 2, 1)]
    assert ANCHORS.shape == (1917, 4)
    assert [len(level) for level in ssd_shapes()] == [3, 6, 6, 6, 6, 6]


def test_anchor_shapes_are_tensorflows() -> None:
    assert ssd_shapes()[0][0] == (0.1, 0.1)
    width, height = ssd_shapes()[0][1]
    assert width / height == pytest.approx(2)
    assert width * height == pytest.approx(0.2**2)
    assert ssd_shapes()[1][-1][0] == pytest.approx((0.35 * 0.5) ** 0.5)
    assert ssd_shapes()[5][-1][0] == pytest.approx((0.95 * 1.0) ** 0.5)
    # The first cell of the first map is centred half a cell in.
    torch.testing.assert_close(ANCHORS[0], torch.tensor([0.5 / 19, 0.5 / 19, 0.1, 0.1]))
    torch.testing.assert_close(ANCHORS[-1, :2], torch.tensor([0.5, 0.5]))
    # Cells run along rows.
    assert ANCHORS[3, 0] > ANCHORS[0, 0]
    assert ANCHORS[3, 1] == ANCHORS[0, 1]


@pytest.mark.slow
@given(boxes_strategy())
@settings(max_examples=50, deadline=None)
def test_decode_undoes_encode(boxes: Tensor) -> None:
    anchors = ANCHORS[torch.arange(len(boxes)) * 37]
    torch.testing.assert_close(decode(encode(boxes, anchors), anchors), boxes, atol=1e-4, rtol=0)


def test_coder_agrees_with_torchvisions(rng: np.random.Generator) -> None:
    anchors = ANCHORS[::7]
    low = torch.from_numpy(rng.random((len(anchors), 2), dtype=np.float32)) * 0.8
    boxes = torch.cat((low, low + 0.15), dim=1)
    theirs = BoxCoder((10.0, 10.0, 5.0, 5.0))
    corners = box_convert(anchors, "cxcywh", "xyxy")
    offsets = encode(boxes, anchors)
    torch.testing.assert_close(offsets, theirs.encode_single(boxes, corners), atol=1e-4, rtol=1e-4)
    back = theirs.decode_single(offsets, corners)
    torch.testing.assert_close(decode(offsets, anchors), back, atol=1e-5, rtol=1e-4)


def test_wild_offsets_stay_finite() -> None:
    wild = torch.full((1, 4), 1e9)
    assert decode(wild, ANCHORS[:1]).isfinite().all()
    flat = torch.tensor([[0.5, 0.5, 0.5, 0.5]])
    assert encode(flat, ANCHORS[:1]).isfinite().all()


@pytest.mark.slow
@given(boxes_strategy())
@settings(max_examples=30, deadline=None)
def test_matching_by_the_definition(boxes: Tensor) -> None:
    """Every box has an anchor; every other match overlaps by half or more, and by most."""
    labels = list(range(1, len(boxes) + 1))
    matches = match([target(boxes, labels)], ANCHORS, SSD_RULE)
    found = matches.labels[0]
    iou = box_iou(boxes, box_convert(ANCHORS, "cxcywh", "xyxy"))
    best = iou.argmax(dim=1)
    for box, anchor in enumerate(best.tolist()):
        if best.tolist().index(anchor) == box:  # No earlier box wants the same anchor.
            assert found[anchor] == box + 1
    forced = set(best.tolist())
    for anchor in range(len(ANCHORS)):
        if anchor in forced:
            continue
        if iou[:, anchor].max() < 0.5:
            assert found[anchor] == 0
        else:
            assert found[anchor] == iou[:, anchor].argmax() + 1


def test_matched_offsets_lead_back_to_the_box() -> None:
    boxes = torch.tensor([[0.1, 0.2, 0.4, 0.6], [0.5, 0.5, 0.55, 0.52]])
    matches = match([target(boxes, [3, 7])], ANCHORS, SSD_RULE)
    for label, box in ((3, boxes[0]), (7, boxes[1])):
        rows = matches.labels[0] == label
        assert rows.any()
        back = decode(matches.offsets[0, rows], ANCHORS[rows])
        torch.testing.assert_close(back, box.expand(len(back), 4), atol=1e-5, rtol=0)


def test_images_without_objects_are_all_background() -> None:
    matches = match([target(torch.zeros(0, 4))], ANCHORS, SSD_RULE)
    assert not matches.labels.any()


def test_crowds_are_neither_object_nor_background() -> None:
    boxes = torch.tensor([[0.0, 0.0, 0.5, 1.0], [0.6, 0.6, 0.9, 0.9]])
    labels = match([target(boxes, [1, 2], [True, False])], ANCHORS, SSD_RULE).labels[0]
    assert not (labels == 1).any()
    assert (labels == 2).any()
    ignored = labels == -1
    corners = box_convert(ANCHORS, "cxcywh", "xyxy")
    assert ignored.any()
    assert (corners[ignored, 0] < 0.5).all()
    inside = (corners[:, 0] >= 0) & (corners[:, 2] <= 0.5) & (corners[:, 1] >= 0)
    assert ignored[inside & (corners[:, 3] <= 1)].all()


def test_hard_negatives_are_the_worst_and_three_per_match() -> None:
    labels = torch.tensor([[1, 0, 0, 0, 0, -1], [0, 0, 0, 0, 0, 0]])
    loss = torch.tensor([[9.0, 1.0, 5.0, 3.0, 4.0, 99.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    chosen = hard_negatives(loss, labels, LossSpec())
    assert chosen.tolist() == [[False, False, True, True, True, False], [False] * 6]
    least = hard_negatives(loss, labels, LossSpec(min_negatives=2))
    assert least[1].tolist() == [False, False, False, False, True, True]


def loss_by_hand(
    logits: np.ndarray, offsets: np.ndarray, matches: Matches, *, focal: bool
) -> tuple[float, float]:
    """The objective in plain loops."""
    labels, wanted = matches.labels.numpy(), matches.offsets.numpy()
    classes, box = 0.0, 0.0
    for image in range(len(labels)):
        background = []
        for anchor, label in enumerate(labels[image]):
            p = 1 / (1 + np.exp(-logits[image, anchor].astype(np.float64)))
            truth = np.zeros_like(p)
            truth[max(label, 0)] = 1
            right = np.where(truth == 1, p, 1 - p)
            ce = -np.log(right)
            if focal:
                ce = np.where(truth == 1, 0.75, 0.25) * (1 - right) ** 2 * ce
            if label > 0:
                difference = np.abs(offsets[image, anchor] - wanted[image, anchor])
                box += np.where(difference < 1, difference**2 / 2, difference - 0.5).sum()
                classes += ce.sum()
            elif label == 0:
                background.append(ce.sum())
        if focal:
            classes += sum(background)
        else:
            classes += sum(sorted(background, reverse=True)[: 3 * (labels[image] > 0).sum()])
    count = max((labels > 0).sum(), 1)
    return classes / count, box / count


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["hard_negative", "focal"])
def test_losses_against_plain_loops(kind: str, rng: np.random.Generator) -> None:
    boxes = torch.tensor([[0.1, 0.1, 0.5, 0.6], [0.3, 0.4, 0.9, 0.8]])
    targets = [target(boxes, [1, 2]), target(boxes[:1], [2], [True]), target(torch.zeros(0, 4))]
    matches = match(targets, ANCHORS, SSD_RULE)
    logits = torch.from_numpy(rng.normal(size=(3, 1917, 4)).astype(np.float32))
    offsets = torch.from_numpy(rng.normal(size=(3, 1917, 4)).astype(np.float32))
    got = ssd_loss(logits, offsets, matches, LossSpec(loss=kind))
    focal = kind == "focal"
    wanted = loss_by_hand(logits.numpy(), offsets.numpy(), matches, focal=focal)
    assert got["class"].item() == pytest.approx(wanted[0], rel=1e-4)
    assert got["box"].item() == pytest.approx(wanted[1], rel=1e-4)


def nms_per_class(
    logits: Tensor, offsets: Tensor, spec: PostSpec
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The plain way: threshold, one NMS per class, the best hundred."""
    out = []
    for image_logits, image_offsets in zip(logits, offsets, strict=True):
        boxes = decode(image_offsets, ANCHORS).clamp(0, 1)
        scores = image_logits.sigmoid()
        kept = []
        for label in range(1, scores.shape[1]):
            rows = torch.nonzero(scores[:, label] > spec.score_threshold)[:, 0]
            alive = rows[nms(boxes[rows], scores[rows, label], spec.nms_iou)]
            kept += [(float(scores[row, label]), label, int(row)) for row in alive]
        kept.sort(reverse=True)
        kept = kept[: spec.detections]
        out.append(
            (
                torch.stack([boxes[row] for _, _, row in kept]),
                torch.tensor([score for score, _, _ in kept]),
                torch.tensor([label for _, label, _ in kept]),
            )
        )
    return out


@pytest.mark.slow
def test_one_top_k_and_one_nms_do_as_one_nms_per_class(rng: np.random.Generator) -> None:
    # In steps that rounding cannot bridge, so that there is one order only.
    steps = rng.permutation(2 * 1917 * 9).reshape(2, 1917, 9)
    logits = torch.from_numpy((steps * 4e-4 - 12).astype(np.float32))
    offsets = torch.from_numpy(rng.normal(0, 1, size=(2, 1917, 4)).astype(np.float32))
    spec = PostSpec(candidates=4000)
    got = postprocess(logits, offsets, ANCHORS, spec)
    for index, (boxes, scores, labels) in enumerate(nms_per_class(logits, offsets, spec)):
        torch.testing.assert_close(got.scores[index], scores)
        assert torch.equal(got.labels[index], labels)
        torch.testing.assert_close(got.boxes[index], boxes, atol=1e-6, rtol=0)


def test_empty_places_are_zero() -> None:
    logits = torch.full((1, 1917, 3), -20.0)
    logits[0, 5, 2] = 3.0
    got = postprocess(logits, torch.zeros(1, 1917, 4), ANCHORS, PostSpec())
    assert got.boxes.shape == (1, 100, 4)
    assert got.labels[0, 0] == 2
    assert not got.labels[0, 1:].any()
    assert not got.scores[0, 1:].any()
    assert not got.boxes[0, 1:].any()
    wanted = box_convert(ANCHORS[5:6], "cxcywh", "xyxy").clamp(0, 1)[0]
    torch.testing.assert_close(got.boxes[0, 0], wanted)
