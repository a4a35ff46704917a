"""Times of models side by side and inside an export, and the best speed of this processor.

It does not need torch.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper

from tasks.runtime.session import Image

# Seconds by stage, in the order of execution.
Stages = dict[str, float]
Timed = Callable[[], Stages]
WHOLE = "whole"
# Side of the matrices whose product determines the peak: large enough to reach it, small enough to
# take a hundredth of a second.
GEMM_SIDE = 1024
_PERCENTILES = (10, 50, 90)
PREPROCESS, NETWORK, POST = "preprocess", "network", "post-process"
# Layers with weights, including their fused and quantised forms.
_LAYERS = ("Conv", "Gemm")
_SUFFIX = "_kernel_time"


@dataclass(frozen=True)
class Spread:
    """A stage's times over all rounds, in milliseconds: median, tenth and ninetieth percentile."""

    ms: float
    p10: float
    p90: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        """Compute a spread from times in seconds, one or more."""
        low, middle, high = np.percentile(np.array(seconds) * 1e3, _PERCENTILES).tolist()
        return cls(middle, low, high)

    @property
    def spread(self) -> float:
        """Difference between the two percentiles, as a share of the median."""
        return (self.p90 - self.p10) / self.ms if self.ms else 0.0

    def scaled(self, share: float) -> Spread:
        """A share of these times."""
        return Spread(self.ms * share, self.p10 * share, self.p90 * share)

    def to_json(self) -> dict[str, float]:
        """Plain dict."""
        values = {"ms": self.ms, "p10": self.p10, "p90": self.p90, "spread": self.spread}
        return {name: round(value, 4) for name, value in values.items()}


def take_turns(
    candidates: Mapping[str, Timed], rounds: int, warmup: int
) -> Iterator[tuple[str, Stages | None]]:
    """Time each candidate once per round, in turn, so that disturbances affect all alike.

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
        models = (value.strip() for key, _, value in rows if key.startswith("model name"))
        name = next(models, name)
    return f"{name}, {os.cpu_count()} cores"


def gemm(precision: str, threads: int) -> Timed:
    """A product of two square matrices in ONNX Runtime: ``GEMM_SIDE`` cubed mult-adds.

    In float32, or int8: unsigned times signed 8 bits, summed in 32.
    """
    import onnxruntime

    whole_numbers, shape = precision == "int8", [GEMM_SIDE, GEMM_SIDE]
    kinds = (TensorProto.FLOAT,) * 3
    if whole_numbers:
        kinds = TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32
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
    # A constant on the right is packed once, like a layer's weights.
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


def stage_shares(path: Path, photo: Image, threads: int, rounds: int = 10) -> dict[str, float]:
    """Shares of an export's time before, within and after its network; they sum to 1.

    For each operation of the ONNX file, on an image (H, W, 3) uint8, the fastest round is used.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder) / "optimised.onnx"
        options.optimized_model_filepath = str(optimised)
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
        feed = {session.get_inputs()[0].name: photo[None]}
        for _ in range(rounds):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        stages = stages_of(onnx.load(str(optimised)))
    totals = sum_by_stage(events, stages)
    total = sum(totals.values()) or 1.0
    return {stage: value / total for stage, value in totals.items()}


def stages_of(model: ModelProto) -> dict[str, str]:
    """The stage of each operation by name, in a model whose operations are in executable order.

    Layers with weights are the network, and so is everything between them: operations that depend
    on one layer and that another layer depends on. Operations that depend on no layer come before
    it, the rest after. The order of execution is not enough: a runtime may rank scores before it
    computes boxes.
    """
    nodes = list(model.graph.node)
    layers = {place for place, node in enumerate(nodes) if any(k in node.op_type for k in _LAYERS)}
    after: set[str] = set()
    behind = []
    for place, node in enumerate(nodes):
        behind.append(bool(after.intersection(_reads(node))))
        if behind[-1] or place in layers:
            after.update(node.output)
    wanted: set[str] = set()
    stages = {}
    for place, node in reversed(list(enumerate(nodes))):
        leads = bool(wanted.intersection(node.output))
        if leads or place in layers:
            wanted.update(_reads(node))
        between = behind[place] and leads
        outside = POST if behind[place] else PREPROCESS
        stages[node.name] = NETWORK if place in layers or between else outside
    return stages


def _reads(node: NodeProto) -> Iterator[str]:
    """Tensors that an operation depends on, including those read within a loop or a branch."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _reads(inner)


def sum_by_stage(
    events: Iterable[Mapping[str, Any]], stages: Mapping[str, str]
) -> dict[str, float]:
    """Microseconds of each stage: the sum of its operations, each at its fastest.

    Other activity on a machine only adds time to an operation, more often to long ones. Events are
    those of a profile; operations within a loop are not named: the loop's time includes them.
    """
    times: dict[str, list[float]] = {}
    for row in events:
        name = str(row.get("name", ""))
        if row.get("cat") == "Node" and name.endswith(_SUFFIX):
            times.setdefault(name.removesuffix(_SUFFIX), []).append(float(row["dur"]))
    totals = dict.fromkeys((PREPROCESS, NETWORK, POST), 0.0)
    for name, stage in stages.items():
        if name in times:
            totals[stage] += min(times[name])
    return totals
