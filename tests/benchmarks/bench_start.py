"""What a program takes to its first answer, with and without PyTorch: processor time and memory.

A small classifier as an ONNX export and as weights, by ``tasks.load``, each in a process of its
own. Prints medians of its processor seconds, which other programs hardly change, and of its peak
memory (max RSS, from Linux's /proc).

    python -m tests.benchmarks.bench_start
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from datasets.images import save_image
from tests.exports import Exports, photos
from tests.house import ROOT

# The clock starts before anything but the interpreter itself is imported.
_PROGRAM = """
import sys, time
begun = time.process_time()
from tasks import load
imported = time.process_time()
model = load(sys.argv[1], device="cpu")
loaded = time.process_time()
answer = model(sys.argv[2])
done = time.process_time()
import json
# Not resource.getrusage, which counts what the parent held at the start.
with open("/proc/self/status", encoding="utf-8") as rows:
    peak = next(int(row.split()[1]) for row in rows if row.startswith("VmHWM"))
torch = "torch" in sys.modules
print(json.dumps({
    "import": imported - begun, "load": loaded - imported, "answer": done - loaded,
    "MiB": peak / 1024, "torch": torch,
}))
"""


def measured(model: Path, image: Path) -> dict[str, float]:
    """Seconds and MiB of one process."""
    command = [sys.executable, "-c", _PROGRAM, str(model), str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print a row for each path, in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        exports, image = Exports(Path(folder)), Path(folder) / "image.png"
        save_image(image, photos()[-1])
        files = {
            "ONNX export": exports.file("classifier"),
            "weights": exports.source("classifier").file,
        }
        for file in files.values():  # What is compiled and cached at the first time.
            measured(file, image)
        rows = [
            {name: measured(file, image) for name, file in files.items()}
            for _ in range(args.rounds)
        ]
    for name in files:
        middle = {
            key: statistics.median(row[name][key] for row in rows)
            for key in ("import", "load", "answer", "MiB")
        }
        assert {row[name]["torch"] for row in rows} == {name == "weights"}
        print(
            f"{name:12} import {middle['import']:.2f} s, load {middle['load']:.2f} s, "
            f"first answer {middle['answer']:.3f} s, {middle['MiB']:.0f} MiB"
        )


if __name__ == "__main__":
    main()
