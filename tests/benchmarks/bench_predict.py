"""predict.py on many small images: images per second, memory, and kills, beside timm's script.

Draws JPEGs of 64 x 64 pixels, few contents under many names in folders of a thousand, and a small
classifier. It is run by predict.py as an export and as PyTorch weights, and by a plain loop in the
form of timm's inference script (a DataLoader of Pillow images, timm's transforms, its
mobilenetv1_100 at the same size): all with one thread to compute with, each in a process of its
own. Then the export's run is killed by SIGKILL at random moments and resumed each time, and its
result compared with the uninterrupted one line by line.

    python -m tests.benchmarks.bench_predict --images 100000 --kills 10
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import numpy as np
from PIL import Image
from tqdm import tqdm

from tests.house import ROOT

# This checkout, whichever is installed.
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
_SIDE, _CONTENTS, _PER_FOLDER, _BATCH = 64, 16, 1000, 32

# In the form of timm's inference.py: data set, transform, loader, softmax, best five, a table.
_PLAIN = """
import csv, sys
from pathlib import Path
import timm, torch
from PIL import Image
from timm.data import create_transform

folder, out, side, batch, workers, classes = sys.argv[1:]
torch.set_num_threads(1)


class Images(torch.utils.data.Dataset):
    def __init__(self):
        self.files = sorted(Path(folder).rglob("*.jpg"))
        self.transform = create_transform(
            (3, int(side), int(side)), crop_pct=1.0, interpolation="bilinear"
        )

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        return self.transform(Image.open(self.files[index]).convert("RGB"))


model = timm.create_model("mobilenetv1_100", num_classes=int(classes)).eval()
model = model.to(memory_format=torch.channels_last)
data = Images()
loader = torch.utils.data.DataLoader(data, batch_size=int(batch), num_workers=int(workers))
found = []
with torch.inference_mode():
    for images in loader:
        shares = model(images.contiguous(memory_format=torch.channels_last)).softmax(-1)
        top, labels = shares.topk(5)
        found += zip(labels.tolist(), top.tolist())
with open(out, "w", newline="") as file:
    table = csv.writer(file)
    for name, (labels, top) in zip(data.files, found):
        table.writerow([name, *labels, *top])
"""


@dataclass(frozen=True)
class Cost:
    """What a process took.

    Attributes:
        seconds: From start to end.
        core_seconds: Of all its threads and children.
        early: Resident MiB at a tenth of the time.
        late: Resident MiB at its end.
    """

    seconds: float
    core_seconds: float
    early: float
    late: float


def draw(root: Path, count: int) -> None:
    """Few contents under many names."""
    rng = np.random.default_rng(0)
    contents = []
    for number in range(_CONTENTS):
        blocks = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        file = root.parent / f"{number}.jpg"
        Image.fromarray(blocks.repeat(_SIDE // 8, 0).repeat(_SIDE // 8, 1)).save(file, quality=90)
        contents.append(file.read_bytes())
    for number in tqdm(range(count), "drawing", unit="image", delay=1):
        folder = root / f"{number // _PER_FOLDER:04d}"
        if not number % _PER_FOLDER:
            folder.mkdir(parents=True)
        (folder / f"{number:07d}.jpg").write_bytes(contents[number % _CONTENTS])


def make_models(folder: Path) -> dict[str, Path]:
    """MobileNet 1.0 at 64 pixels with random weights: an export and weights."""
    code = (
        "import sys; from pathlib import Path; from tests.benchmarks import bench_predict\n"
        "bench_predict.save_models(Path(sys.argv[1]))"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(folder)], check=True, cwd=ROOT, env=_ENVIRONMENT
    )
    return {"export": folder / "model.onnx", "weights": folder / "model.safetensors"}


def save_models(folder: Path) -> None:
    """Write both; in a process of its own, for torch's memory."""
    from tasks.classification.application import CLASSIFICATION
    from tasks.export.onnx_file import write_onnx
    from tasks.weights.file import save_weights
    from tools.flows.source import Source

    network, card = CLASSIFICATION.network().example(1.0, _SIDE, "")
    card = replace(card, source="random weights")
    file = folder / "model.safetensors"
    save_weights(file, network.state_dict(), card)
    source = Source(network.eval(), card, file)
    write_onnx(source.graph(), card, source.facts(), folder / "model.onnx", dynamic=True)


def rss_of(process: int) -> float:
    """Resident MiB of a process and its children; 0 once they are gone."""
    total = 0
    for one in (process, *children_of(process)):
        try:
            text = Path(f"/proc/{one}/status").read_text(encoding="ascii")
        except OSError:
            continue
        total += sum(int(r.split()[1]) for r in text.splitlines() if r.startswith("VmRSS"))
    return total / 1024


def children_of(process: int) -> list[int]:
    """Children of a process."""
    try:
        text = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(one) for one in text.split()]


def measured(command: Sequence[object]) -> Cost:
    """Run a process and look at its memory meanwhile."""
    before, start = os.times(), time.perf_counter()
    seen: list[tuple[float, float]] = []
    # Progress goes to a file: a pipe that nobody reads would fill up and stop the process.
    with (
        TemporaryFile() as messages,
        subprocess.Popen(
            [*map(str, command)],
            cwd=ROOT,
            env=_ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=messages,
        ) as process,
    ):
        while process.poll() is None:
            seen.append((time.perf_counter() - start, rss_of(process.pid)))
            time.sleep(0.1)
        if process.returncode:
            messages.seek(0)
            raise SystemExit(messages.read().decode()[-3000:])
    seconds, after = time.perf_counter() - start, os.times()
    cores = sum(after[2:4]) - sum(before[2:4])
    there = [(when, size) for when, size in seen if size]
    early = next(size for when, size in there if when >= seconds / 10)
    return Cost(seconds, cores, early, max(size for _, size in there[-3:]))


def predict_command(model: Path, images: Path, out: Path, *flags: object) -> list[object]:
    """A command line of predict.py."""
    options = ("--format", "jsonl", "--no-draw", "--batch-size", _BATCH, "--threads", 1)
    place = ("--device", "cpu", "--out", out)
    return [sys.executable, "tools/predict.py", model, images, *options, *place, *flags]


def kill_often(command: Sequence[object], out: Path, kills: int, size: int, seed: int) -> int:
    """Kill a run at random moments, and resume it each time until it ends.

    Args:
        command: The run.
        out: Its output folder.
        kills: Number of times.
        size: Bytes of its result.
        seed: Seed of the moments.

    Returns:
        Number of kills that came before its end.
    """
    rng, done = random.Random(seed), 0
    resume = [*map(str, command), "--resume"]
    for number, least in enumerate(sorted(rng.randrange(size) for _ in range(kills)), start=1):
        with subprocess.Popen(
            resume,
            cwd=ROOT,
            env=_ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            while process.poll() is None and _size(out) < least:
                time.sleep(0.02)
            time.sleep(rng.uniform(0, 0.05))
            if process.poll() is None:
                process.kill()
                done += 1
        print(f"  kill {number}: {_lines(out)} lines", flush=True)
    subprocess.run(resume, cwd=ROOT, env=_ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
    return done


def _size(folder: Path) -> int:
    """Bytes of the results so far, or of those that are complete."""
    for name in ("predictions.jsonl.part", "predictions.jsonl"):
        try:
            return (folder / name).stat().st_size
        except OSError:
            continue
    return 0


def _lines(folder: Path) -> int:
    for name in ("predictions.jsonl.part", "predictions.jsonl"):
        if (folder / name).exists():
            with (folder / name).open("rb") as file:
                return sum(1 for _ in file)
    return 0


def report(name: str, cost: Cost, count: int) -> None:
    """Print a row."""
    print(
        f"{name:24}{cost.seconds:8.1f} s {count / cost.seconds:8.0f} images/s "
        f"{count / cost.core_seconds:8.0f} images per core-second   "
        f"{cost.early:6.0f} MiB at 10 %, {cost.late:6.0f} MiB at the end",
        flush=True,
    )


def main() -> None:
    """Measure, kill, compare and print; exit with 1 if a result differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with TemporaryDirectory() as place:
        folder = Path(place)
        models = make_models(folder)
        images, plain = folder / "images", folder / "plain.py"
        draw(images, args.images)
        plain.write_text(_PLAIN, encoding="utf-8")
        commands = {
            "predict.py, ONNX export": predict_command(models["export"], images, folder / "onnx"),
            "predict.py, PyTorch": predict_command(models["weights"], images, folder / "torch"),
            "timm in a plain loop": [
                *(sys.executable, plain, images, folder / "plain.csv", _SIDE, _BATCH),
                *(args.workers, 1000),
            ],
        }
        costs = {name: measured(command) for name, command in commands.items()}
        print(f"{args.images} images of {_SIDE} x {_SIDE}, MobileNet 1.0-{_SIDE}, one thread")
        for name, cost in costs.items():
            report(name, cost, args.images)
        base = costs["timm in a plain loop"]
        for name, cost in costs.items():
            print(
                f"{name:24}{base.seconds / cost.seconds:6.2f} times as fast as the plain loop, "
                f"{base.core_seconds / cost.core_seconds:.2f} per core-second"
            )
        killed = predict_command(models["export"], images, folder / "killed")
        out = folder / "killed"
        size = (folder / "onnx" / "predictions.jsonl").stat().st_size
        kills = kill_often(killed, out, args.kills, size, args.seed)
        ours, theirs = ((folder / one / "predictions.jsonl") for one in ("onnx", "killed"))
        with ours.open("rb") as one, theirs.open("rb") as other:
            differing = sum(a != b for a, b in zip(one, other, strict=False))
        same = ours.read_bytes() == theirs.read_bytes()
        print(f"killed {kills} times: {differing} lines differ, files equal: {same}")
        rows = [json.loads(line) for line in ours.open(encoding="utf-8")]
        names = {row["file"] for row in rows}
        print(f"{len(rows)} lines, {len(names)} images")
        shutil.rmtree(images)
    if not same or len(names) != args.images:
        sys.exit(1)


if __name__ == "__main__":
    main()
