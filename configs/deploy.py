"""Flags of the tools that bring models out of the lab."""

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

# Those of tasks/runtime/runtimes.py.
Target = Literal["onnx", "openvino", "litert", "executorch", "coreml"]
Batch = Literal["dynamic", "1"]
Postprocess = Literal["plain", "tensorflow"]


@dataclass(frozen=True)
class Export(SpecialFlags):
    """Turn a trained model into one file that other runtimes run, from photo to answer.

    The file takes photos of any size, 8-bit RGB, and does all the rest itself: crop, resize,
    normalisation, network, decoding (softmax, sigmoid, NMS). For phones (--target litert,
    executorch, coreml) it takes one photo that was made a square before; how, it tells, and
    predict.py and the others do so. It is run on sample photos before it gets its name, and
    refused if it answers otherwise than the model. Its card tells classes, input and figures;
    predict.py and evaluate.py take it like a run folder.

    --out is by default model.onnx in a run folder, or the weights file's name with .onnx beside
    it (.int8.onnx with --int8, .bare.onnx with --bare; for OpenVINO .xml, and a .bin beside it;
    for LiteRT .tflite, with --micro .micro.tflite, with --postprocess tensorflow
    .tensorflow.tflite; for ExecuTorch .pte, for Core ML a folder .mlpackage).
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
    """Run folder or weights file, of any task; a run of train_multi.py becomes one graph with the
    answers of all its heads."""
    target: Target = "onnx"
    """onnx: ONNX Runtime and whatever else reads ONNX. openvino: Intel's runtime, as .xml and
    .bin (pip install openvino). litert: TensorFlow Lite's, on phones and boards (pip install
    ai-edge-litert). executorch: PyTorch's on phones (pip install executorch). coreml: Apple's (pip
    install coremltools), computed for the check by an interpreter of this suite, not by Apple's
    runtime."""
    samples: Path | None = None
    """Photo, folder, Parquet file or shard to check the file with, of two photos or more; by
    default some are drawn."""
    batch: Batch | None = None
    """dynamic: any number of photos of one size per call. 1: one photo, for runtimes that want
    it fixed. By default dynamic where the target can."""
    bare: bool = False
    """The network alone as ONNX, from a normalised square (1, 3, S, S) float32 to raw outputs, for
    ncnn, MNN, tract, OpenCV's DNN and other runtimes; a .json beside it tells what the host does
    before and after."""
    int8: bool = False
    """Compute with 8-bit integers: a file of a quarter of the size, about twice as fast."""
    calibrate: Path | None = None
    """INT8: folder, Parquet file or shard of photos like those that the model will see, 100 to 500
    of them, from which the ranges of its layers are measured."""
    labelled: Path | None = None
    """INT8: labelled data to measure what it costs; by default only the answers on the photos of
    --calibrate are compared."""
    max_drop: float = 1.0
    """INT8: points of the main metric (top-1, AP, ...) that it may lose on --labelled; beyond, the
    remedies are tried, and then nothing is written."""
    micro: bool = False
    """INT8 in LiteRT, for TensorFlow Lite Micro: photos come as signed bytes, pixels less 128, and
    only operators are used that microcontrollers have."""
    postprocess: Postprocess = "plain"
    """Detectors in LiteRT. plain: boxes, scores and labels, from operators that every LiteRT has.
    tensorflow: the form of TensorFlow's own detectors, which ends in TFLite_Detection_PostProcess,
    and which MediaPipe and Android's Task Library open."""
    post: PostSpec = field(default_factory=PostSpec)
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        if self.int8 and self.calibrate is None:
            raise InputError("--int8 needs --calibrate: a folder of photos to measure ranges on")
        if self.bare and (self.int8 or self.target != "onnx"):
            other = "--int8" if self.int8 else f"--target {self.target}"
            raise InputError(
                f"--bare: is a float32 ONNX file, so {other} does not go with it; runtimes that "
                "start from it bring it to their own form"
            )
        if self.bare and self.batch == "dynamic":
            raise InputError(
                "--batch dynamic: a network alone takes one photo at a time; leave the flag out"
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
                f"--batch dynamic: a file for {self.target} takes one photo at a time; leave the "
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
        """Whether the file shall take any number of photos at once."""
        return self.batch != "1"

    @property
    def options(self) -> tuple[object, ...]:
        """How answers are asked for, of which each application takes its own."""
        return (DetectOptions(post=self.post),)

    def out_file(self) -> Path:
        """The file to write."""
        if self.common.out is not None:
            return self.common.out
        file = self.weights / WEIGHTS_NAME if self.weights.is_dir() else self.weights
        kind = ".tensorflow" if self.postprocess == "tensorflow" else ""
        kind += ".micro" if self.micro else ".int8" if self.int8 else ".bare" if self.bare else ""
        return file.with_name(f"{file.stem}{kind}{runtime_named(self.target).suffix}")
