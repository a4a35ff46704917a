"""Times of models side by side, and how fast this chip computes at best. Needs no torch."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

# Seconds by stage, in the order of execution.
Stages = dict[str, float]
Timed = Callable[[], Stages]
WHOLE = "whole"
# Side of the matrices whose product tells the peak: large enough to be at it, small enough to be
# over in a hundredth of a second.
GEMM_SIDE = 1024
_PERCENTILES = (10, 50, 90)


@dataclass(frozen=True)
class Spread:
    """A stage's times over all rounds, in milliseconds: median, tenth and ninetieth percentile."""

    ms: float
    p10: float
    p90: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        """Of seconds, one or more."""
        low, middle, high = np.percentile(np.array(seconds) * 1e3, _PERCENTILES).tolist()
        return cls(middle, low, high)

    @property
    def spread(self) -> float:
        """Between the two percentiles, as a share of the median."""
        return (self.p90 - self.p10) / self.ms if self.ms else 0.0

    def scaled(self, share: float) -> Spread:
        """A part of it."""
        return Spread(self.ms * share, self.p10 * share, self.p90 * share)

    def to_json(self) -> dict[str, float]:
        """Plain dict."""
        values = {"ms": self.ms, "p10": self.p10, "p90": self.p90, "spread": self.spread}
        return {name: round(value, 4) for name, value in values.items()}


def take_turns(
    candidates: Mapping[str, Timed], rounds: int, warmup: int
) -> Iterator[tuple[str, Stages | None]]:
    """Time each candidate once per round, in turn, so that a noisy moment hits all alike.

    After each call its candidate and its seconds are yielded; None for those of the warm-up.
    """
    for number in range(warmup + rounds):
        for name, call in candidates.items():
            stages = call()
            yield name, stages if number >= warmup else None


def spreads(rows: Sequence[Stages]) -> dict[str, Spread]:
    """Each stage's times, and those of all together as ``whole``."""
    found = {stage: Spread.of([row[stage] for row in rows]) for stage in rows[0]}
    return {**found, WHOLE: Spread.of([sum(row.values()) for row in rows])}


def whole(call: Callable[[], object]) -> Timed:
    """A call that is one stage."""

    def timed() -> Stages:
        started = time.perf_counter()
        call()
        return {WHOLE: time.perf_counter() - started}

    return timed


def chip() -> str:
    """Name of this machine's processor and its number of cores."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        rows = (line.partition(":") for line in info.read_text(encoding="utf-8").splitlines())
        name = next(
            (value.strip() for key, _, value in rows if key.startswith("model name")), name
        )
    return f"{name}, {os.cpu_count()} cores"


def gemm(precision: str, threads: int) -> Timed:
    """A product of two square matrices in ONNX Runtime: ``GEMM_SIDE`` cubed mult-adds.

    In float32, or int8: unsigned times signed 8 bits, summed in 32.
    """
    import onnxruntime

    whole_numbers = precision == "int8"
    kinds = (
        (TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32)
        if whole_numbers
        else (TensorProto.FLOAT,) * 3
    )
    shape = [GEMM_SIDE, GEMM_SIDE]
    left, right, out = (
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind in zip("abc", kinds, strict=True)
    )
    rng = np.random.default_rng(0)
    fixed = (
        rng.integers(-100, 100, shape).astype(np.int8)
        if whole_numbers
        else rng.standard_normal(shape, dtype=np.float32)
    )
    node = helper.make_node("MatMulInteger" if whole_numbers else "MatMul", ["a", "b"], ["c"])
    # A constant on the right is packed once, as a layer's weights are.
    constant = onnx.numpy_helper.from_array(fixed, right.name)
    graph = helper.make_graph([node], "gemm", [left], [out], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    moving = np.abs(fixed).astype(np.uint8) if whole_numbers else fixed
    return whole(lambda: session.run(None, {"a": moving}))
