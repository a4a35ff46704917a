"""Measures the peak memory of one model that answers for one image, in a separate process.

    python -m tools.speed.peak_memory RUN_OR_WEIGHTS_OR_EXPORT_OR_PEER THREADS

prints the largest memory that the process ever used, in bytes: interpreter, libraries and model.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from configs.common import Common
from tasks.runtime.open import is_export, open_export
from tasks.runtime.session import Image

# The folder in which this module is found by its name.
_ROOT = Path(__file__).resolve().parents[__name__.count(".")]
_PHOTO = (480, 640, 3)


def peak_memory(name: str, threads: int) -> int | None:
    """Bytes of a model or peer; None if the system does not report them, or it cannot be run."""
    command = [sys.executable, "-m", __name__, name, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_ROOT)
    last = done.stdout.split()[-1:]
    return int(last[0]) if done.returncode == 0 and last else None


def main() -> None:
    """Answer for one image, and print the memory that it took."""
    name, threads = sys.argv[1], int(sys.argv[2])
    photo = np.random.default_rng(0).integers(256, size=_PHOTO, dtype=np.uint8)
    if is_export(Path(name)):
        open_export(Path(name), threads)([photo])
    else:
        _answer_with_torch(name, threads, photo)
    print(own_peak())


def _answer_with_torch(name: str, threads: int, photo: Image) -> None:
    from tools import cli
    from tools.speed.peers import is_peer, open_peer
    from tools.speed.subjects import load_source

    common = Common(threads=threads, device="cpu")
    cli.prepare(common)
    if is_peer(name):
        open_peer(name).answer([photo])
    else:
        load_source(Path(name), common).predict()([photo])


def own_peak() -> int:
    """The largest memory that this process has used, in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux: unlike getrusage's, not inherited from the parent.
        rows = dict(
            line.split(":", 1)
            for line in status.read_text(encoding="utf-8").splitlines()
            if ":" in line
        )
        return int(rows["VmHWM"].split()[0]) * 1024
    import resource  # Windows has none, so its peak stays unknown.

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
