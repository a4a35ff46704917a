"""Where the time inside an export goes, by ONNX Runtime's own profile."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, NodeProto

from tasks.runtime.session import Image

PREPROCESS, NETWORK, POST = "preprocess", "network", "post-process"
# Layers with weights, also as the runtime fuses and quantises them.
_LAYERS = ("Conv", "Gemm")
_SUFFIX = "_kernel_time"


def stage_shares(path: Path, photo: Image, threads: int, rounds: int = 10) -> dict[str, float]:
    """Shares of an export's time before, within and after its network; they sum to 1.

    Args:
        path: Of an ONNX file.
        photo: (H, W, 3) uint8.
        threads: To compute with.
        rounds: To take each operation's fastest of.
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
    """The stage of each operation by its name, in a model that can be computed in its order.

    Layers with weights are the network, and so is what lies between them: what depends on one
    layer and another depends on. What depends on none comes before it, the rest after. The order
    of execution does not tell: a runtime may rank scores before it computes boxes.
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
    """Tensors that an operation depends on, also from within a loop or a branch."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _reads(inner)


def sum_by_stage(
    events: Iterable[Mapping[str, Any]], stages: Mapping[str, str]
) -> dict[str, float]:
    """Microseconds of each stage: the sum of its operations, each at its fastest.

    Whatever else a machine does only adds to an operation, and to long ones more often. Events
    are of a profile; operations within a loop are not named: the loop's time holds them.
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
