"""What other runtimes make of bare exports, beside ONNX Runtime.

    tools/export.py RUN --bare
    pip install numpy onnxruntime opencv-python-headless pnnx ncnn MNN tract
    python tests/benchmarks/bench_runtimes.py RUN/model.bare.onnx photos/

An environment of its own will do: nothing of this suite is imported. Each installed runtime
converts the file as its makers say and answers the same photos; told is the largest difference of
each output as a share of its largest number.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

Floats = NDArray[np.float32]
# From the inputs of one photo to the outputs, in their order.
Run = Callable[[list[Floats]], list[Any]]
_PHOTOS = 5


def in_ncnn(file: Path, told: dict[str, Any], folder: Path) -> Run:
    """By pnnx, which writes what is ncnn's beside the file that it is given."""
    ncnn, pnnx = import_module("ncnn"), import_module("pnnx")

    copy = folder / "bare.onnx"
    copy.write_bytes(file.read_bytes())
    shapes = [one["shape"] for one in told["inputs"].values()]
    shape = ",".join(str(one).replace(" ", "") + "f32" for one in shapes)
    tool = Path(pnnx.EXEC_PATH)
    # It rounds weights to 16 bits unless told otherwise.
    done = subprocess.run(
        [tool, copy.name, f"inputshape={shape}", "fp16=0"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if not (folder / "bare.ncnn.param").exists():
        raise RuntimeError((done.stderr or done.stdout)[-300:])
    net = ncnn.Net()
    net.opt.num_threads = 1
    for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
        setattr(net.opt, name, False)
    net.load_param(str(folder / "bare.ncnn.param"))
    net.load_model(str(folder / "bare.ncnn.bin"))

    def run(inputs: list[Floats]) -> list[Any]:
        extractor = net.create_extractor()
        for k, value in enumerate(inputs):
            extractor.input(f"in{k}", ncnn.Mat(value[0]).clone())
        return [np.array(extractor.extract(name)[1]) for name in sorted(net.output_names())]

    return run


def in_mnn(file: Path, told: dict[str, Any], folder: Path) -> Run:
    """By MNN's own converter."""
    mnn = import_module("MNN")
    out = folder / "bare.mnn"
    tool = Path(sys.executable).with_name("mnnconvert")
    command = [tool, "-f", "ONNX", "--modelFile", file, "--MNNModel", out, "--bizCode", "bare"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not out.exists():
        raise RuntimeError((done.stderr or done.stdout)[-300:])
    net = mnn.nn.load_module_from_file(str(out), [*told["inputs"]], told["names"])

    def run(inputs: list[Floats]) -> list[Any]:
        given = []
        for value in inputs:
            given.append(mnn.expr.placeholder(list(value.shape), mnn.expr.NCHW))
            given[-1].write(value)
        found = net.forward(given)
        kept = [mnn.expr.convert(one, mnn.expr.NCHW) for one in found]
        return [np.array(one.read()) for one in kept]

    return run


def in_tract(file: Path, _told: dict[str, Any], _folder: Path) -> Run:
    """It reads ONNX itself."""
    model = import_module("tract").onnx().load(str(file)).into_model().into_runnable()
    return lambda inputs: [one.to_numpy() for one in model.run(inputs)]


def in_opencv(file: Path, told: dict[str, Any], _folder: Path) -> Run:
    """It reads ONNX itself."""
    net = cv2.dnn.readNetFromONNX(str(file))

    def run(inputs: list[Floats]) -> list[Any]:
        for name, value in zip(told["inputs"], inputs, strict=True):
            net.setInput(value, name)
        return list(net.forward(told["names"]))

    return run


RUNTIMES: dict[str, tuple[str, Callable[[Path, dict[str, Any], Path], Run]]] = {
    "ncnn": ("ncnn", in_ncnn),
    "MNN": ("MNN", in_mnn),
    "tract": ("tract", in_tract),
    "OpenCV": ("opencv-python-headless", in_opencv),
}


def prepared(photo: NDArray[np.uint8], wanted: dict[str, Any]) -> Floats:
    """A photo (H, W, 3) RGB, warped, as an input (1, 3, S, S): the same one for every runtime."""
    pixels = cv2.resize(photo, wanted["shape"][2:]).astype(np.float32)
    if wanted["channels"] == "bgr":
        pixels = pixels[..., ::-1]
    pixels = (pixels - np.float32(wanted["mean"])) / np.float32(wanted["std"])
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def main() -> None:
    """Compare each runtime with ONNX Runtime, file by file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("photos", type=Path)
    args = parser.parse_args()
    pictures = [cv2.imread(str(one)) for one in sorted(args.photos.iterdir())]
    photos = [one[..., ::-1] for one in pictures if one is not None][:_PHOTOS]
    for file in args.files:
        told = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        told["names"] = [one.name for one in session.get_outputs()]
        inputs = [[prepared(photo, one) for one in told["inputs"].values()] for photo in photos]
        wanted = [session.run(None, dict(zip(told["inputs"], one, strict=True))) for one in inputs]
        for name, (package, opened) in RUNTIMES.items():
            try:
                version = metadata.version(package)
            except metadata.PackageNotFoundError:
                print(f"{file.name}: {name}: not installed")
                continue
            with tempfile.TemporaryDirectory() as folder:
                try:
                    run = opened(file, told, Path(folder))
                    found = [run(one) for one in inputs]
                except Exception as error:  # Each has its own.
                    print(f"{file.name}: {name} {version}: {type(error).__name__}: {error}")
                    continue
            told_apart = {
                out: max(_apart(a[k], b[k]) for a, b in zip(wanted, found, strict=True))
                for k, out in enumerate(told["names"])
            }
            shown = ", ".join(f"{out} {value:.1g}" for out, value in told_apart.items())
            print(f"{file.name}: {name} {version}: {shown}", flush=True)


def _apart(wanted: Floats, found: Floats) -> float:
    return float(np.abs(wanted.ravel() - found.ravel()).max() / np.abs(wanted).max())


if __name__ == "__main__":
    main()
