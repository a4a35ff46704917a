"""Readers of weights, exports, run folders and stored targets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from random import Random
from tempfile import mkdtemp

import numpy as np
import torch

from backbone.formats.partial import PartialFlavour
from configs.common import Common
from configs.deploy import Export
from configs.tools import ImportWeights
from datasets.builtin.shapes_and_breeds import draw_shapes
from tasks.detection.spec import PostSpec
from tasks.distillation.targets import TargetHeader, TargetStore
from tasks.fitting.checkpoint import LAST_NAME, AtomicCheckpointIO
from tasks.multitask.load import load_multi
from tasks.multitask.stored import read_stored
from tasks.open_model import open_model
from tasks.runtime.open import open_export
from tasks.runtime.runtimes import RUNTIMES, runtime_named
from tasks.weights.names import WEIGHTS_NAME
from tests.backbone import foreign, keras_files, tflite_files
from tests.backbone.graph_files import (
    classifier_graph,
    write_graph_def,
    write_graph_model,
    write_layers_model,
    write_onnx,
)
from tests.campaign.readers import Reader
from tests.exports import KINDS, POST, SINGLE, Exports
from tests.tools.page_models import make_models, make_multi
from tests.tools.runs import run_main
from tools.flows.exporting import export_model
from tools.flows.importing import importer_for
from tools.recipes import RECIPES

_PHOTO = np.random.default_rng(1).integers(0, 255, (41, 53, 3), dtype=np.uint8)


def model_readers() -> list[Reader]:
    """All of them."""
    return [*_own(), *_exports(), *_foreign(), *_runs()]


@cache
def _made() -> Exports:
    return Exports(Path(mkdtemp(prefix="campaign-models-")))


def _answer(path: Path) -> None:
    """Open a model and show it a photo."""
    model = open_model(path, threads=1)
    predictor = model.predictor("cpu")
    for answer in predictor([_PHOTO]):
        predictor.answers.line(answer)
        predictor.answers.to_json(answer)
        predictor.answers.draw(_PHOTO, answer)


def _read_weights(root: Path, _: Random) -> None:
    _answer(root / WEIGHTS_NAME)


def _own() -> list[Reader]:
    def write(task: str, root: Path) -> None:
        (run,) = make_models(root, (task,))
        (run / WEIGHTS_NAME).replace(root / WEIGHTS_NAME)
        run.rmdir()

    def read_multi(root: Path, rng: Random) -> None:
        load_multi(root)
        read_stored(root).save_heads(root / "again")
        _answer(rng.choice(sorted((root / "heads").iterdir())))

    names = ("classification", "detection", "face_attributes", "face_embedding", "geolocation")
    found = [Reader(f"weights-{name}", partial(write, name), _read_weights) for name in names]
    return [*found, Reader("weights-multitask", make_multi, read_multi)]


# Runtimes of others, and the applications whose exports show every way through them.
_EXPORTED = (
    *(("onnx", kind) for kind in KINDS),
    *((target, kind) for target in ("openvino", "litert", "coreml") for kind in
      ("classifier", "ssd")),
    ("executorch", "classifier"),
)  # fmt: skip


def _exports() -> list[Reader]:
    def write(target: str, kind: str, root: Path) -> None:
        source = _made().source(kind)
        out = root / f"model{runtime_named(target).suffix}"
        post = POST if source.task == "detection" else PostSpec()
        batch = "1" if kind in SINGLE else None
        common = Common(out=out, threads=1)
        export_model(Export(source.file, target, batch=batch, post=post, common=common))  # type: ignore[arg-type]

    def read(root: Path, _: Random) -> None:
        (file,) = (f for f in root.iterdir() if f.suffix in {one.suffix for one in RUNTIMES})
        open_export(file, 1)
        _answer(file)

    return [
        Reader(f"export-{target}-{kind}", partial(write, target, kind), read, share=0.5)
        for target, kind in _EXPORTED
        if runtime_named(target).version is not None
    ]


_GREY = (0.5, 0.5, 0.5)
_NONE = PartialFlavour()
_PHOTOS = PartialFlavour(mean=_GREY, std=_GREY)
_PYTORCH = replace(_PHOTOS, padding="symmetric", bn_eps=1e-5, activation="relu6", size=64)
# What files of these kinds do not hold.
_UNTOLD = {
    **dict.fromkeys(("pytorch", "pytorch-old"), _PYTORCH),
    **dict.fromkeys(("pb", "tfjs", "onnx"), _PHOTOS),
    "slim": PartialFlavour(size=64),
}


def _foreign() -> list[Reader]:
    state = foreign.random_state()
    named = foreign.timm_names(state)

    def keras(writer: Callable[..., Path], file: str, root: Path) -> None:
        _, layers, arrays = keras_files.mobilenet()
        config = keras_files.model([*layers, *keras_files.top("softmax")])
        writer(root / file, config, arrays)

    def layers_model(root: Path) -> None:
        _, layers, arrays = keras_files.mobilenet()
        config = keras_files.model([*layers, *keras_files.top("softmax")])
        write_layers_model(root, config, arrays)

    def hub(root: Path) -> None:
        from safetensors.torch import save_file

        save_file(named, root / "model.safetensors")
        (root / "config.json").write_text(foreign.timm_config())

    def torch_file(old: bool, root: Path) -> None:
        torch.save(
            foreign.in_order(state), root / "model.pth", _use_new_zipfile_serialization=not old
        )

    writers: dict[str, tuple[Callable[[Path], object], str]] = {
        "pytorch": (partial(torch_file, False), "model.pth"),
        "pytorch-old": (partial(torch_file, True), "model.pth"),
        "hub": (hub, "."),
        "h5": (partial(keras, keras_files.write_h5, "model.h5"), "model.h5"),
        "keras": (partial(keras, keras_files.write_zip, "model.keras"), "model.keras"),
        "tflite": (lambda r: tflite_files.write_classifier(r / "m.tflite"), "m.tflite"),
        "tflite-ssd": (lambda r: tflite_files.write_ssd(r / "m.tflite", classes=3), "m.tflite"),
        "pb": (lambda r: write_graph_def(r / "m.pb", classifier_graph(state)), "m.pb"),
        "tfjs": (lambda r: write_graph_model(r, classifier_graph(state)), "model.json"),
        "tfjs-layers": (layers_model, "model.json"),
        "onnx": (lambda r: write_onnx(r / "m.onnx", state), "m.onnx"),
        "caffe": (lambda r: foreign.write_caffe(r / "m.caffemodel", state), "m.caffemodel"),
        "slim": (
            lambda r: foreign.write_bundle(r / "m.ckpt", foreign.slim_names(state)),
            "m.ckpt.index",
        ),
    }

    def read(kind: str, name: str, root: Path, _: Random) -> None:
        common = Common(out=root / "out.safetensors", threads=1)
        args = ImportWeights(root / name, flavour=_UNTOLD.get(kind, _NONE), common=common)
        importers = [recipe.importer for recipe in RECIPES if recipe.importer is not None]
        importer_for(args.source, importers).read(args, args.source)

    def keys(root: Path) -> None:
        torch_file(False, root)
        import json

        from backbone.formats.recognise import draft_keys

        (root / "keys.json").write_text(json.dumps(draft_keys(root / "model.pth")))
        (root / "labels.txt").write_text("".join(f"class {k}\n" for k in range(6)))

    def read_keys(root: Path, _: Random) -> None:
        given = {"key_map": root / "keys.json", "labels": root / "labels.txt"}
        args = ImportWeights(
            root / "model.pth", **given, flavour=_PYTORCH, common=Common(out=root / "o")
        )
        importers = [recipe.importer for recipe in RECIPES if recipe.importer is not None]
        importer_for(args.source, importers).read(args, args.source)

    mapped = Reader("import-keys", keys, read_keys, ("keys.json", "labels.txt"), 0.5)
    return [
        *(
            Reader(f"import-{k}", write, partial(read, k, name))
            for k, (write, name) in writers.items()
        ),
        mapped,
    ]


# What a training leaves.


def _train(root: Path) -> None:
    sets = Path(mkdtemp(prefix="campaign-shapes-"))
    shapes = draw_shapes(sets / "shapes", num_train=4, num_val=2, size=32)
    recipe = ("--size", 32, "--alpha", 0.1, "--batch-size", 8, "--epochs", 1, "--workers", 0)
    more = ("--preset", "demo", "--threads", 1, "--device", "cpu")
    run_main("train_cls", "--data", shapes, *recipe, *more, "--out", root / "run")


def _resume(root: Path, _: Random) -> None:
    """The real training tool: the run is over, so that the report alone is made anew."""
    import importlib
    from unittest.mock import patch

    flags = ["tools/train_cls.py", "--resume", str(root / "run")]
    with patch.object(sys, "argv", flags):
        importlib.import_module("tools.train_cls").main(report=False)


def _checkpoint(root: Path, _: Random) -> None:
    AtomicCheckpointIO().load_checkpoint(root / "run" / LAST_NAME)


def _runs() -> list[Reader]:
    kept = ("config.json", "metrics.csv", LAST_NAME, WEIGHTS_NAME)
    return [
        Reader("resume", _train, _resume, kept, 0.3),
        Reader("checkpoint", _train, _checkpoint, (LAST_NAME,)),
        Reader("targets", _store, _read_store),
    ]


_HEADER = TargetHeader("it", "0" * 64, 32, "none", "bilinear", 0, "d", 6, 5, 2, [1.0] * 4)


def _store(root: Path) -> None:
    store = TargetStore(root / "targets", _HEADER)
    rows = store.rows(torch.randn(6, 5, generator=torch.Generator().manual_seed(0)))
    for epoch in range(2):
        kept = store.empty(0)
        kept[:] = rows
        store.write(epoch, 0, kept)


def _read_store(root: Path, _: Random) -> None:
    store = TargetStore(root / "targets", _HEADER)
    store.missing(2)
    store.read(1, [0, 3, 5])
