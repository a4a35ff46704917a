"""Faster R-CNN from real weights on real photos: TensorFlow's alpha 1.0 body, COCO."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.boxes.augmentation import DetectionTransform
from datasets.boxes.coco import to_coco
from datasets.boxes.opening import open_detection
from datasets.boxes.structure import DetectionData
from datasets.boxes.torch_set import DetectionSet, detection_loader
from tasks.detection.application import DETECTION
from tasks.detection.evaluator import CocoEvaluator
from tasks.detection.model import build_detector, start_from
from tasks.detection.spec import TASK, DetectorSpec, TwoStageLossSpec
from tasks.fitting.batchnorm import calibrate_batchnorm
from tasks.fitting.engine import has_native_bf16
from tasks.predictor import exact_outputs
from tasks.runtime.open import read_card
from tasks.weights.card import Card
from tests.conftest import Tool

pytestmark = pytest.mark.slow

STEPS, RATE = 50, 3e-3
SOURCE = "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite"


def few_objects(data: DetectionData, photos: int) -> DetectionData:
    """The first photos with one to five objects and no crowd."""
    counts = np.diff(data.offsets)
    crowded = np.bincount(data.owners[data.iscrowd], minlength=len(data)) > 0
    chosen = np.flatnonzero((counts > 0) & (counts <= 5) & ~crowded)[:photos]
    keep = np.isin(np.arange(len(data)), chosen)
    return data.select(keep, np.ones(len(data.boxes), np.bool_))


def test_the_loss_on_coco_falls_and_a_batch_is_learned_by_heart(
    real_data: Path, tool: Tool, tmp_path: Path
) -> None:
    weights = tmp_path / "body.safetensors"
    status, _, err = tool("import_weights", real_data / "weights" / SOURCE, "--out", weights)
    assert status == 0, err
    data = few_objects(open_detection(real_data / "coco", "train"), 2)
    spec = DetectorSpec("faster_rcnn_300", roi_pool=True)
    loader = detection_loader(
        DetectionSet(data, DetectionTransform(spec.size, "none")),
        batch_size=2,
        train=False,
        workers=0,
    )
    (batch,) = loader
    torch.manual_seed(0)
    flavour = read_card(weights).flavour
    flavour = replace(flavour, input=replace(flavour.input, crop=1.0))
    objective = TwoStageLossSpec(box_positive_share=0.5)
    model = build_detector(spec, data.classes, flavour, loss=objective)
    _, new = start_from(model, data.classes, weights)
    assert len(new) == len(data.classes)
    model.to(memory_format=torch.channels_last)
    images = batch["images"].contiguous(memory_format=torch.channels_last)
    calibrate_batchnorm(model, [images])
    for layer in model.train().modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 0.3
    optimizer = torch.optim.AdamW(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS, pct_start=0.1)
    history = []
    for _ in range(STEPS):
        with torch.autocast("cpu", torch.bfloat16, enabled=has_native_bf16("cpu")):
            loss = torch.stack(list(model(images, batch["targets"]).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        schedule.step()
        history.append(loss.item())
    # To a tenth, and .72, on a chip with AVX2. An untrained head finds nothing.
    assert np.mean(history[-10:]) < 0.2 * np.mean(history[:10])
    evaluator = CocoEvaluator(to_coco(data))
    card = Card(TASK, spec.to_json(), flavour, data.classes)
    with torch.inference_mode():
        found = exact_outputs(DETECTION, model.eval(), card, images, batch["sizes"])
    evaluator.update(batch["image_ids"], found)
    assert evaluator.compute()["metrics"]["AP"] > 0.5
