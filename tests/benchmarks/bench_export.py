"""Exports beside eager PyTorch, the chip's limit and torchvision's SSDLite: one run, in turns.

Random weights, one thread, batch 1. The networks alone: MobileNet 1.0-224 from its normalised
picture to its logits, in PyTorch as built (batch norm, NCHW), as predict.py runs it (batch norm
folded, channels last), and in ONNX Runtime, float32 and 8 bits. Its floor is the time of its
mult-adds at the rate of the faster of two libraries' 1024 x 1024 float32 matrix products, timed in
the same rounds. Then the whole way from a photo's file to boxes. With random weights every
score passes, which is the most that post-processing can get; with ``MOBILENETS_DATA`` set also
TensorFlow's weights on a photo.

    python -m tests.benchmarks.bench_export --threads 1
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch

from backbone.layers import fold_batchnorm
from datasets.images import decode_image
from tasks.classification.application import CLASSIFICATION
from tasks.classification.model import Classifier
from tasks.detection.application import DETECTION
from tasks.detection.from_tflite import import_ssd
from tasks.export.onnx_file import write_onnx
from tasks.int8.network import Runner, cut_network, final_outputs, find_layers
from tasks.int8.quantize import quantise, rounded_name
from tasks.int8.ranges import choose_ranges, measure
from tasks.timing import GEMM_SIDE, POST, Spread, Stages, Timed, chip, gemm, stage_shares, whole
from tests.benchmarks.timing import medians, pin_threads
from tools.flows.source import Source
from tools.speed.accuracies import Shape
from tools.speed.benchmarking import run_turns, sample_files
from tools.speed.measuring import write_int8
from tools.speed.peers import open_peer, peer_names
from tools.speed.subjects import DECODE, export_subject, random_source, source_subject

ROUNDS = 40
SIZE = 224
_PLAIN, _FOLDED = "PyTorch eager, as built", "PyTorch eager, folded, channels last"
_FLOAT, _INT8 = "ONNX Runtime float32", "ONNX Runtime int8"
_GEMMS = ("matrix product, ONNX Runtime", "matrix product, PyTorch")


def write_float(source: Source, file: Path) -> Path:
    """A float export."""
    graph = source.graph()
    write_onnx(graph, source.card, source.facts(), file)
    return file


def networks(source: Source, folder: Path, threads: int) -> dict[str, Callable[[], object]]:
    """Calls for the network alone, from the same normalised picture."""
    picture = np.random.default_rng(0).uniform(-1, 1, (1, 3, SIZE, SIZE)).astype(np.float32)
    built = source.model
    assert isinstance(built, Classifier)
    file = write_float(source, folder / "network.onnx")
    folded = fold_batchnorm(built)
    last = copy.deepcopy(folded).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model = onnx.load(str(file))
    layers = find_layers(model, folded)
    cut = cut_network(model, layers)
    rounded = quantise(cut, layers, choose_ranges(measure(cut, layers, [picture]), layers, "mse"))
    finals = final_outputs(model, layers)
    runner = Runner(cut, finals, threads)
    runner8 = Runner(rounded, [rounded_name(rounded, name) for name in finals], threads)
    pixels = torch.from_numpy(picture)
    pixels_last = pixels.contiguous(memory_format=torch.channels_last)
    return {
        _PLAIN: lambda: built.head(built.body(pixels)[built.last_stride]),
        _FOLDED: lambda: last.head(last.body(pixels_last)[last.last_stride]),
        _FLOAT: lambda: list(runner([picture])),
        _INT8: lambda: list(runner8([picture])),
    }


def compare_networks(folder: Path, threads: int) -> None:
    """The network's ratios, and its distance from the floor."""
    source = random_source(Shape(CLASSIFICATION, "", 1.0, SIZE))
    calls = networks(source, folder, threads)
    products: dict[str, Timed] = {_GEMMS[0]: gemm("float32", threads)}
    left, right = torch.rand(2, GEMM_SIDE, GEMM_SIDE)
    products[_GEMMS[1]] = whole(lambda: left @ right)
    found = medians({**calls, **products}, ROUNDS, warmup=5)
    mult_adds = source.cost().mult_adds
    peak = max(GEMM_SIDE**3 / found[name] for name in _GEMMS)
    floor = mult_adds / peak
    print(f"MobileNet 1.0-224, network alone, {mult_adds / 1e6:.1f} M mult-adds")
    for name in calls:
        print(f"  {name:40}{found[name] * 1e3:9.2f} ms")
    for name in _GEMMS:
        print(f"  {name:40}{GEMM_SIDE**3 / found[name] / 1e9:9.1f} billion mult-adds a second")
    print(f"  {'floor at the faster one':40}{floor * 1e3:9.2f} ms")
    fast = found[_FLOAT]
    _ratio("ONNX float32 as fast as eager, as built", found[_PLAIN] / fast, "2.5 or more")
    _ratio("ONNX float32 as fast as eager, folded", found[_FOLDED] / fast, "")
    _ratio("ONNX int8 as fast as ONNX float32", fast / found[_INT8], "2.3 or more")
    _ratio("ONNX float32 over the floor", fast / floor, "1.15 or less")


def _ratio(name: str, value: float, goal: str) -> None:
    print(f"  {name:48}{value:7.2f}{f'   goal {goal}' if goal else ''}")


def real_ssd(data: Path) -> Source:
    """TensorFlow's weights."""
    file = data / "weights" / "ssd_mobilenet_v1_0.75_300_coco_quant_detect.tflite"
    model, card = import_ssd(file)
    return Source(model.eval(), card, Path("ssd300 alpha 0.75, TensorFlow's weights"))


def detectors(
    folder: Path, threads: int
) -> dict[str, tuple[Callable[[bytes], Stages], Path | None]]:
    """Whole ways from a photo's file to boxes, and the file of an export."""
    sources = {
        f"ssd300 {alpha:g}": random_source(Shape(DETECTION, "ssd300", alpha, 300))
        for alpha in (1.0, 0.75, 0.5)
    }
    if os.environ.get("MOBILENETS_DATA"):
        sources["ssd300 0.75, TensorFlow's weights"] = real_ssd(
            Path(os.environ["MOBILENETS_DATA"])
        )
    found: dict[str, tuple[Callable[[bytes], Stages], Path | None]] = {}
    for number, (name, source) in enumerate(sources.items()):
        file = write_float(source, folder / f"{number}.onnx")
        small = folder / f"{number}.int8.onnx"
        write_int8(source, file, small)
        found[f"{name}, ONNX float32"] = (export_subject(file, threads).run, file)
        found[f"{name}, ONNX int8"] = (export_subject(small, threads).run, small)
        found[f"{name}, PyTorch"] = (source_subject(source).run, None)
    (peer,) = peer_names("detection")
    found[peer] = (open_peer(peer).run, None)
    return found


def compare_detectors(folder: Path, threads: int) -> None:
    """Photo to boxes beside torchvision's, and the share of post-processing."""
    data = os.environ.get("MOBILENETS_DATA")
    photo = Path(data) / "photos" / "pets.jpg" if data else None
    encoded = sample_files(photo, seed=0)[0]
    pixels = decode_image(encoded, "photo", upright=True)
    found = detectors(folder, threads)
    calls: dict[str, Timed] = {
        name: lambda run=run: run(encoded)  # type: ignore[misc]
        for name, (run, _) in found.items()
    }
    times = run_turns(calls, ROUNDS, 5, "image to boxes")
    peer = Spread.of([sum(row.values()) for row in times[[*found][-1]]]).ms
    print(f"\na image's file ({pixels.shape[1]}x{pixels.shape[0]}) to boxes")
    print(f"{'':48}{'ms':>8}{'decode':>8}{'post':>8}{'share':>8}   as fast as torchvision's")
    for name, (_, file) in found.items():
        rows = times[name]
        whole_ms = Spread.of([sum(row.values()) for row in rows]).ms
        decode = Spread.of([row[DECODE] for row in rows]).ms
        if file is None:
            post = Spread.of([row[POST] for row in rows]).ms
        else:
            post = stage_shares(file, pixels, threads)[POST] * (whole_ms - decode)
        print(
            f"{name:48}{whole_ms:8.1f}{decode:8.2f}{post:8.2f}{post / whole_ms:8.1%}"
            f"{peer / whole_ms:12.2f}"
        )


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    threads = pin_threads()
    print(f"{chip()}; {threads} threads, medians of {ROUNDS} rounds in turn")
    with TemporaryDirectory() as folder:
        compare_networks(Path(folder), threads)
        compare_detectors(Path(folder), threads)


if __name__ == "__main__":
    main()
