"""A training step beside 0, 1, 2 and 4 busy processes, with the tools' threads and OpenMP's own.

The tools limit how long OpenMP's threads spin while they wait for each other (``tools/cli.py``);
by default they spin on, and take the time that the thread they wait for would need. Each row is
of a process of its own, because OpenMP reads its settings when torch is imported.

    python -m tests.benchmarks.bench_busy
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.house import ROOT

POLICIES = {"the tools'": "import tools.cli", "OpenMP's own": "import os"}
# A step of SSD300 alpha .25 on eight images, as in bench_training, by the clock.
_PROGRAM = """
{policy}
import statistics, sys, time
from dataclasses import replace
import torch
from configs.detection import DEMO
from datasets.types import ClassMap
from tests.benchmarks.bench_training import make_detector, make_step
torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)
box = {{"boxes": torch.tensor([[.2, .2, .6, .7]]), "labels": torch.tensor([1]),
       "iscrowd": torch.tensor([False])}}
batch = {{"images": torch.randint(256, (8, 3, 300, 300), dtype=torch.uint8), "targets": [box] * 8}}
model = make_detector(.25, ClassMap.from_names(["a", "b"]))
step = make_step(model, batch, DEMO.fit, plain=False)
times = []
for number in range(int(sys.argv[2]) + 2):
    begun = time.perf_counter()
    step()
    times.append(time.perf_counter() - begun)
print(statistics.median(times[2:]))
"""


@contextmanager
def busy(number: int) -> Iterator[None]:
    """So many processes that compute all the time."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def seconds(policy: str, threads: int, steps: int) -> float:
    """Median seconds of a step in a new process."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-c", _PROGRAM.format(policy=policy), str(threads), str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=kept)
    return float(done.stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--steps", type=int, default=12)
    args = parser.parse_args()
    load = f"; load before: {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"SSD300 alpha .25, batch 8, {args.threads} threads, median of {args.steps} steps{load}")
    idle: dict[str, float] = {}
    for number in (0, 1, 2, 4):
        with busy(number):
            found = {name: seconds(text, args.threads, args.steps)
                     for name, text in POLICIES.items()}  # fmt: skip
        idle = idle or found
        told = ", ".join(
            f"{name} {s:.3f} s ({idle[name] / s:.0%} of the speed without)"
            for name, s in found.items()
        )
        ratio = found["OpenMP's own"] / found["the tools'"]
        print(f"{number} busy: {told}; {ratio:.1f} times as fast", flush=True)


if __name__ == "__main__":
    main()
