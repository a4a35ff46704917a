"""Times and sizes of networks on this machine, stored so that they are measured once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from tqdm import tqdm

from backbone.layers import fold_batchnorm
from configs.choose import Choose
from datasets.errors import InputError
from datasets.images import Image
from datasets.json_files import read_json
from tasks.export.onnx_file import write_facts
from tasks.int8.network import cut_network, find_layers
from tasks.int8.quantize import quantise
from tasks.int8.ranges import choose_ranges, measure
from tasks.runtime.open import open_export
from tasks.runtime.runtimes import runtime_named
from tasks.timing import WHOLE, Timed, chip, spreads, whole
from tools import cli
from tools.flows.source import Source
from tools.flows.targets import Target, facts_of, notes_of, onnx_of, target_named
from tools.speed.accuracies import Shape
from tools.speed.benchmarking import drawn_photo, run_turns

_WARMUP = 3
_RANGE_PICTURES = 2
# Export targets by the runtime that is measured; PyTorch needs none.
_TARGETS = {"onnxruntime": "onnx", "litert": "litert", "executorch": "executorch"}


@dataclass(frozen=True)
class Measurement:
    """Time and size of a network, timed in ``rounds``.

    Attributes:
        ms: Median time from a decoded image to its answer, in milliseconds.
        p10: Tenth percentile, in milliseconds.
        p90: Ninetieth percentile, in milliseconds.
        bytes: Size of its file in bytes.
        mult_adds: Mult-adds for an image.
    """

    ms: float
    p10: float
    p90: float
    bytes: int
    mult_adds: int
    rounds: int

    @property
    def mb(self) -> float:
        """Millions of bytes of its file."""
        return self.bytes / 1e6


@dataclass(frozen=True)
class Network:
    """A network to measure.

    Attributes:
        key: Key by which it is recognised.
        name: Name for tables and reports.
        size: Side of its input in pixels.
        make: Function that builds or loads it.
        command: Command that makes it.
        shape: Shape in the grid; None for an own run.
    """

    key: str
    name: str
    size: int
    make: Callable[[], Source]
    command: str
    shape: Shape | None = None


@dataclass(frozen=True)
class _Ready:
    """A network in one precision, ready to be timed."""

    call: Timed
    bytes: int
    mult_adds: int


Found = dict[tuple[str, str], Measurement]
_Prepare = Callable[[Network, Sequence[str], Image, Path, int], list[tuple[str, _Ready]]]


def measure_networks(
    args: Choose, networks: Sequence[Network], file: Path, threads: int
) -> tuple[str, Found]:
    """Measure what a file of measurements by processor, runtime and threads lacks.

    Args:
        args: Flags of the chooser.
        networks: Networks to measure.
        file: File of measurements.
        threads: Number of threads.

    Returns:
        Description of runtime and threads; measurements by network and precision, without what
        cannot be computed in 8 bits.

    Raises:
        InputError: If the file was not written by this tool, or a network cannot be built.
    """
    where = f"{_version(args.runtime)}, {threads} thread{'s' * (threads > 1)}"
    known = _read(file)
    here = known.setdefault(f"{chip()}, {where}", {})

    def is_known(name: str) -> bool:
        return not args.again and name in here and here[name]["rounds"] >= args.rounds

    missing = [
        (network, wanted)
        for network in networks
        if (wanted := [p for p in args.precision if not is_known(f"{network.key} {p}")])
    ]
    if missing:
        if sum(len(wanted) for _, wanted in missing) < len(networks) * len(args.precision):
            cli.say(
                f"note: some times are of an earlier run ({file}); --again measures all in turns"
            )
        for (key, precision), one in _measure(args, missing, threads).items():
            here[f"{key} {precision}"] = asdict(one)
        cli.write_json(file, known)
    found: Found = {
        (network.key, precision): _measurement(here[name], file)
        for network in networks
        for precision in args.precision
        if (name := f"{network.key} {precision}") in here
    }
    return where, found


def _version(runtime: str) -> str:
    if runtime not in _TARGETS:
        return f"PyTorch {torch.__version__}"
    known = runtime_named(_TARGETS[runtime])
    if known.version is None:
        raise InputError(f"--runtime {runtime}: pip install {known.package}")
    return f"{known.title} {known.version}"


def _read(file: Path) -> dict[str, dict[str, Any]]:
    if not file.exists():
        return {}
    try:
        known = read_json(file)
    except InputError as error:
        raise InputError(f"{file}: not what choose.py keeps there ({error}); delete it") from error
    if not isinstance(known, dict) or not all(isinstance(row, dict) for row in known.values()):
        raise InputError(f"{file}: not what choose.py keeps there; delete it")
    return known


def _measurement(row: Any, file: Path) -> Measurement:
    if not isinstance(row, dict) or row.keys() != {one.name for one in fields(Measurement)}:
        raise InputError(f"{file}: of another version; delete it")
    return Measurement(**row)


def _measure(
    args: Choose, missing: Sequence[tuple[Network, Sequence[str]]], threads: int
) -> Found:
    """Make all ready, then time them in turn."""
    photo = drawn_photo(args.common.seed)
    prepare: _Prepare = _ready_model
    if args.runtime in _TARGETS:
        prepare = partial(_ready_export, target_named(_TARGETS[args.runtime]))
    ready: dict[tuple[str, str], _Ready] = {}
    with tempfile.TemporaryDirectory() as folder:
        for network, wanted in tqdm(missing, "making ready", unit="network"):
            for precision, one in prepare(network, wanted, photo, Path(folder), threads):
                ready[network.key, precision] = one
    names = {str(number): pair for number, pair in enumerate(ready)}
    calls = {name: ready[pair].call for name, pair in names.items()}
    found: Found = {}
    for name, rows in run_turns(calls, args.rounds, _WARMUP, "timing").items():
        time, one = spreads(rows)[WHOLE], ready[names[name]]
        ms, p10, p90 = (round(value, 4) for value in (time.ms, time.p10, time.p90))
        found[names[name]] = Measurement(ms, p10, p90, one.bytes, one.mult_adds, args.rounds)
    return found


def _ready_model(
    network: Network, _wanted: Sequence[str], photo: Image, _folder: Path, _threads: int
) -> list[tuple[str, _Ready]]:
    """PyTorch, as predict.py uses it; its file is that of the weights."""
    source = network.make()
    predict = source.predict()
    size = sum(value.nbytes for value in source.model.state_dict().values())
    call = whole(lambda: predict([photo]))
    return [("float32", _Ready(call, size, source.cost().mult_adds))]


def _ready_export(
    target: Target,
    network: Network,
    wanted: Sequence[str],
    photo: Image,
    folder: Path,
    threads: int,
) -> list[tuple[str, _Ready]]:
    """An export; 8 bits with meaningless ranges, which takes the same time."""
    source = network.make()
    mult_adds = source.cost().mult_adds
    file = folder / "float32.onnx"
    plain = onnx_of(target)
    facts = facts_of(plain, source)
    found: list[tuple[str, _Ready]] = []
    for precision in wanted:
        chosen = file if precision == "float32" else folder / "int8.onnx"
        try:
            if not found:  # Else it is there.
                plain.write(source, facts, file, False)
            if precision == "int8":
                write_int8(source, file, chosen)
            if target.from_onnx is not None:
                translated = chosen.with_suffix(target.runtime.suffix)
                target.from_onnx(chosen, notes_of(source.card, facts), translated)
                chosen = translated
            exported = open_export(chosen, threads)
        except InputError as error:
            cli.say(f"warning: {network.name} in {precision} is left out: {error}")
            continue
        call = whole(lambda exported=exported: exported([photo]))  # type: ignore[misc]
        found.append((precision, _Ready(call, chosen.stat().st_size, mult_adds)))
    return found


def write_int8(source: Source, file: Path, to: Path) -> None:
    """Write the simplest 8-bit network of a model's float export: with ranges from noise.

    Raises:
        InputError: If the export does not contain the model's layers.
    """
    model = onnx.load(str(file))
    layers = find_layers(model, fold_batchnorm(source.model))
    size = source.card.flavour.input.size
    rng = np.random.default_rng(0)
    noise = rng.uniform(-1, 1, (_RANGE_PICTURES, 1, 3, size, size)).astype(np.float32)
    ranges = choose_ranges(
        measure(cut_network(model, layers), layers, list(noise)), layers, "min-max"
    )
    onnx.save(quantise(model, layers, ranges), str(to))
    write_facts(to, {**source.facts(), "precision": "int8"})
