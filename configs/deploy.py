"""Flags of the tool that exports models."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from configs.common import Common
from configs.special import SpecialFlags
from datasets.errors import InputError
from tasks.detection.spec import DetectOptions, PostSpec
from tasks.flag_values import flag_of
from tasks.runtime.runtimes import RUNTIMES, runtime_named
from tasks.weights.names import WEIGHTS_NAME

# The names in tasks/runtime/runtimes.py.
Target = Literal["onnx", "openvino", "litert", "executorch", "coreml"]
Batch = Literal["dynamic", "1"]
Postprocess = Literal["plain", "tensorflow"]


@dataclass(frozen=True)
class Export(SpecialFlags):
    """Export a trained model to one file that other runtimes run, from image to answer.

    The file takes 8-bit RGB images of any size and does everything else itself: crop, resize,
    normalisation, network and decoding (softmax, sigmoid, NMS). For phones (--target litert,
    executorch, coreml) it takes one image that has already been made square; its card states how,
    and predict.py and the other tools do it automatically. Before the file gets its final name it
    is run on sample images, and refused if its answers differ from the model's. Its card contains
    classes, preprocessing and metrics; predict.py and evaluate.py accept it in place of a run
    folder.

    --out is by default model.onnx in the run folder, or the name of the weights file with .onnx
    (.int8.onnx with --int8, .bare.onnx with --bare). The other targets write .xml and .bin
    (OpenVINO); .tflite, .micro.tflite with --micro or .tensorflow.tflite with --postprocess
    tensorflow (LiteRT); .pte (ExecuTorch); and a folder .mlpackage (Core ML).
    """

    FOR_ALL = (
        "weights",
        "target",
        "samples",
        "batch",
        "bare",
        "int8",
        "calibrate",
        "labelled",
        "max_drop",
        "micro",
        "common",
    )

    weights: Annotated[Path, tyro.conf.Positional]
    """Run folder or weights file of any task; a run of train_multi.py becomes one graph with the
    answers of all its heads."""
    target: Target = "onnx"
    """Runtime to export for. onnx: ONNX Runtime and other programs that read ONNX. openvino:
    Intel's runtime (pip install openvino). litert: TensorFlow Lite's successor on phones and
    boards (pip install ai-edge-litert). executorch: PyTorch's runtime on phones (pip install
    executorch). coreml: Apple's (pip install coremltools); it is checked with an interpreter of
    this suite, not with Apple's runtime."""
    samples: Path | None = None
    """Image, folder, Parquet file or shard with two or more images to check the export on; by
    default synthetic images."""
    batch: Batch | None = None
    """Number of images per call. dynamic: any number of images of one size. 1: a single image, for
    runtimes that need a fixed shape. By default dynamic if the target supports it."""
    bare: bool = False
    """Export the network alone as ONNX, from a normalised square image (1, 3, S, S) float32 to raw
    outputs, for ncnn, MNN, tract, OpenCV's DNN and other runtimes. A .json file beside it
    describes the preprocessing and decoding that the host has to do."""
    int8: bool = False
    """Compute with 8-bit integers: a quarter of the file size, and about twice as fast."""
    calibrate: Path | None = None
    """With --int8: folder, Parquet file or shard of 100 to 500 images like those that the model
    will see, from which the value ranges of its layers are measured."""
    labelled: Path | None = None
    """With --int8: labelled data on which the loss of accuracy is measured; by default only the
    answers on the images of --calibrate are compared."""
    max_drop: float = 1.0
    """With --int8: largest permitted loss of the main metric (top-1, AP, ...) on --labelled, in
    percentage points, 0 to 100. If it is exceeded, corrections are tried; if none is enough,
    nothing is written."""
    micro: bool = False
    """With --int8 and --target litert: export for TensorFlow Lite Micro. Images are signed bytes
    (pixel value minus 128), and only operators that microcontrollers have are used."""
    postprocess: Postprocess = "plain"
    """For detectors with --target litert. plain: boxes, scores and labels, from operators that
    every LiteRT has. tensorflow: the form of TensorFlow's own detectors, which ends in
    TFLite_Detection_PostProcess and is opened by MediaPipe and Android's Task Library."""
    post: PostSpec = field(default_factory=PostSpec)
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        if self.int8 and self.calibrate is None:
            raise InputError("--int8 needs --calibrate: a folder of images to measure ranges on")
        if self.bare and (self.int8 or self.target != "onnx"):
            other = "--int8" if self.int8 else f"--target {self.target}"
            raise InputError(
                f"--bare: is a float32 ONNX file, so {other} does not go with it; runtimes that "
                "start from it bring it to their own form"
            )
        if self.bare and self.batch == "dynamic":
            raise InputError(
                "--batch dynamic: a network alone takes one image at a time; leave the flag out"
            )
        runtime = runtime_named(self.target)
        if self.int8 and not runtime.int8:
            able = " or ".join(one.target for one in RUNTIMES if one.int8)
            raise InputError(f"--int8: goes with --target {able}, not {self.target}")
        if self.micro and not (self.int8 and self.target == "litert"):
            raise InputError("--micro: goes with --target litert --int8")
        if self.postprocess == "tensorflow" and self.target != "litert":
            raise InputError("--postprocess tensorflow: goes with --target litert")
        if self.batch == "dynamic" and runtime.square:
            raise InputError(
                f"--batch dynamic: a file for {self.target} takes one image at a time; leave the "
                "flag out, or choose --target onnx"
            )
        for name in ("calibrate", "labelled"):
            if not self.int8 and getattr(self, name) is not None:
                flag = f"--{flag_of(name)} {getattr(self, name)}"
                raise InputError(f"{flag}: is for --int8, which was not given")
        if not 0 <= self.max_drop <= 100:
            raise InputError(f"--max-drop {self.max_drop} is not in 0..100 points")
        out = self.common.out
        if out is not None and out.suffix != runtime.suffix:
            raise InputError(f"--out {out}: a file for {self.target} ends in {runtime.suffix}")

    @property
    def dynamic(self) -> bool:
        """Whether the file takes any number of images at once."""
        return self.batch != "1"

    @property
    def options(self) -> tuple[object, ...]:
        """Options for computing answers; each application picks its own."""
        return (DetectOptions(post=self.post),)

    def out_file(self) -> Path:
        """The file to write."""
        if self.common.out is not None:
            return self.common.out
        file = self.weights / WEIGHTS_NAME if self.weights.is_dir() else self.weights
        kind = ".tensorflow" if self.postprocess == "tensorflow" else ""
        kind += ".micro" if self.micro else ".int8" if self.int8 else ".bare" if self.bare else ""
        return file.with_name(f"{file.stem}{kind}{runtime_named(self.target).suffix}")
