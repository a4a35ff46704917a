"""Times that were measured elsewhere, and the kit of files to measure there."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets.csv_files import read_rows, split_header
from datasets.errors import InputError
from datasets.json_files import read_object
from datasets.text import read_text
from tasks.runtime.runtimes import runtime_named
from tasks.weights.atomic_write import write_text
from tools import cli
from tools.flows.naming import give_name, unnamed
from tools.flows.run_folder import make_folder
from tools.flows.targets import facts_of, notes_of, onnx_of, target_named
from tools.shipping.candidates import PRECISIONS, name_of, untrained
from tools.shipping.shipment import Shipment
from tools.shipping.start import Start
from tools.speed.measuring import write_int8

README_NAME = "README.md"
# What LiteRT's benchmark_model prints: the file, and the mean of its runs in microseconds.
_GRAPH = re.compile(r"Graph: \[(?P<file>[^\]]+)\]")
_MEAN = re.compile(r"Inference \(avg\): (?P<us>[0-9.]+(?:e[+-]?\d+)?)")
_KIT = """# Networks to measure

Untrained networks with the classes of {data}. Weights do not change the time of a network, so
these files take as long as trained ones.

On a phone, with Android's `adb` and the program `benchmark_model` that LiteRT (TensorFlow Lite)
publishes for the phone's processor:

    adb push benchmark_model /data/local/tmp
    adb shell chmod +x /data/local/tmp/benchmark_model
    mkdir -p times
    for file in *{suffix}; do
        adb push $file /data/local/tmp
        adb shell /data/local/tmp/benchmark_model --graph=/data/local/tmp/$file \\
            --num_threads={threads} > times/$file.txt
    done

Then repeat the command of tools/ship.py with `--profile times` in place of `--kit`. For other
runtimes, write the times to a CSV file with the columns `name` and `ms`, a line for each file:

{names}
"""


def read_profile(path: Path | None) -> dict[str, float]:
    """Times in ms by name and precision (``a0.5-160-int8``); empty without a path.

    Raises:
        InputError: If the file or folder does not exist, or a file has no times.
    """
    if path is None:
        return {}
    if not path.exists():
        raise InputError(f"--profile {path}: no such file or folder")
    files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
    found: dict[str, float] = {}
    for file in files:
        found |= _times_in(file)
    if not found:
        raise InputError(f"--profile {path}: an empty folder")
    return found


def _times_in(file: Path) -> dict[str, float]:
    """The times in one file. Raises InputError if there are none, or one is not above 0."""
    if file.suffix == ".json":
        rows: list[tuple[str, Any]] = [*read_object(file).values.items()]
    elif file.suffix == ".csv":
        rows = [(row["name"], row["ms"]) for row in _csv_rows(file)]
    else:
        rows = _benchmark_rows(file)
    found = {}
    for name, value in rows:
        try:
            ms = float(value)
        except (TypeError, ValueError):
            ms = -1.0
        if not 0 < ms < float("inf"):
            raise InputError(f"{file}: {name}: {value!r:.40} is not a time in milliseconds")
        found[_stem(name)] = ms
    if not found:
        raise InputError(
            f"{file}: no times in it; it should be a CSV file with the columns name and ms, a "
            "JSON file of times by name, or what LiteRT's benchmark_model printed"
        )
    return found


def _csv_rows(file: Path) -> list[dict[str, str]]:
    with file.open("rb") as opened:
        delimiter, _ = split_header(opened.read(4096))
    lines = [fields for _, fields in read_rows(file, delimiter)]
    head = [cell.lower() for cell in lines[0]] if lines else []
    if not {"name", "ms"} <= set(head):
        raise InputError(f"{file}: line 1: no columns name and ms")
    return [dict(zip(head, row, strict=False)) for row in lines[1:] if len(row) >= len(head)]


def _benchmark_rows(file: Path) -> list[tuple[str, float]]:
    """Files and times in the output of LiteRT's benchmark_model, of one or several runs."""
    rows, current = [], file.name
    for line in read_text(file).splitlines():
        if graph := _GRAPH.search(line):
            current = graph["file"]
        if mean := _MEAN.search(line):
            rows.append((current, float(mean["us"]) / 1000))
    return rows


def _stem(name: str) -> str:
    """The name of a network without folders and suffixes: ``a0.5-160-int8``."""
    base = name.strip().replace("\\", "/").rpartition("/")[2]
    return re.sub(r"(\.(tflite|onnx|pte|txt|log))+$", "", base)


def write_kit(
    shipment: Shipment, rows: Sequence[tuple[float, int, Start | None]], folder: Path
) -> list[Path]:
    """Export the untrained networks, with instructions; returns the files.

    Raises:
        InputError: If the folder cannot be written.
    """
    make_folder(folder)
    args, target = shipment.args, target_named(shipment.args.target[0])
    suffix, files = target.runtime.suffix, list[Path]()
    precisions = PRECISIONS if runtime_named(args.target[0]).int8 else PRECISIONS[:1]
    for alpha, size, _ in rows:
        source, plain = untrained(shipment, alpha, size), onnx_of(target)
        facts = facts_of(plain, source)
        with tempfile.TemporaryDirectory() as inner:
            float_file = Path(inner) / "float32.onnx"
            plain.write(source, facts, float_file, False)
            for precision in precisions:
                out = folder / f"{name_of(alpha, size)}-{precision}{suffix}"
                with unnamed(out) as file:
                    between = float_file if precision == "float32" else Path(inner) / "int8.onnx"
                    if precision == "int8":
                        write_int8(source, float_file, between)
                    if target.from_onnx is None:
                        file.write_bytes(between.read_bytes())
                    else:
                        target.from_onnx(between, notes_of(source.card, facts), file)
                    give_name(target.runtime, file, out)
                files.append(out)
                cli.say(f"written: {out}")
    names = "\n".join(f"    {one.stem},0.0" for one in files)
    threads = args.latency_threads
    text = _KIT.format(data=shipment.path, suffix=suffix, threads=threads, names=names)
    write_text(folder / README_NAME, text)
    return files
