"""Prunes a classifier to a file: from the flags to the result."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from configs.classification import TrainCls
from configs.prune import Prune
from tasks.body_spec import ClassifierSpec
from tasks.classification.network import classifier_cost
from tasks.classification.prune import Pruned, prune_classifier
from tasks.fitting.batchnorm import CALIBRATION_BATCHES, measure_batchnorm
from tasks.runtime.open import read_card
from tasks.weights.file import save_weights
from tools import cli
from tools.classification.data import open_data
from tools.flows.photo_loaders import Data, training_loader

# Batch size of the images on which batch norm is measured.
_BATCH = 64


def prune_to_file(config: Prune) -> tuple[dict[str, Any], str]:
    """Prune to a weights file; returns the result as data and as text.

    Raises:
        InputError: If weights, data or flags do not fit.
    """
    assert config.weights is not None
    cli.prepare(config.common)
    out = config.out_file()
    pruned = prune_classifier(config.weights, config.alpha, config.command)
    if config.data is not None:
        measure(pruned, open_data(config.data, "train", config.classes), config.common.seed)
    save_weights(out, pruned.model.state_dict(), pruned.card)
    card = read_card(config.weights)
    classes = len(card.classes)
    wide, narrow = ClassifierSpec(**card.model), pruned.model.spec
    before, after = classifier_cost(wide, classes), classifier_cost(narrow, classes)
    layers = [f"conv{index}" for index in range(len(pruned.shares))]
    worst = min(range(len(layers)), key=lambda index: pruned.shares[index])
    data = {
        "file": out,
        "bytes": out.stat().st_size,
        "model": narrow.to_json(),
        "before": {"mult_adds": before.mult_adds, "params": before.params},
        "after": {"mult_adds": after.mult_adds, "params": after.params},
        "energy_kept": dict(zip(layers, pruned.shares, strict=True)),
    }
    text = (
        f"{out}: alpha {narrow.alpha:g}, {out.stat().st_size / 1e6:.2f} MB\n"
        f"  before  {before}\n  after   {after}\n"
        f"  of what a layer brings to the next, {100 * pruned.shares[worst]:.0f} % "
        f"({layers[worst]}) to {100 * max(pruned.shares):.0f} % stays\n"
        f"fine-tune it: tools/train_cls.py --data PATH --weights {out} --teacher {config.weights}"
    )
    return data, text


def measure(pruned: Pruned, data: Data, seed: int) -> None:
    """Measure the batch norm of a pruned classifier again, on some unmodified training images."""
    seen, base = pruned.card.flavour.input, TrainCls()
    looks = replace(
        base,
        model=pruned.model.spec,
        augment="none",
        crop=seen.crop,
        interpolation=seen.interpolation,
        fit=replace(base.fit, batch_size=min(_BATCH, len(data))),
        cache=False,
        common=replace(base.common, seed=seed),
    )
    loader = training_loader(looks, data, workers=0)
    pairs = zip(range(CALIBRATION_BATCHES), loader, strict=False)
    measure_batchnorm(pruned.model, [batch["images"] for _, batch in pairs])
    loader.close()
