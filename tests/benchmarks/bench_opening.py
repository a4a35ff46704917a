"""Opening a data set of COCO's size: the annotation file, the doctor's first and second look.

    python -m tests.benchmarks.bench_opening

Draws 118,000 images (eight, with comments of their own) and 825,000 boxes with polygons, 340 MB
of annotations. Each side runs in a process of its own, in turns, so that its memory is its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from tqdm import tqdm

SIDES = {
    "pycocotools": "from pycocotools.coco import COCO; found = COCO(FILE).anns",
    "field by field": (
        "from datasets.boxes import coco; coco.typed_columns = lambda file: None; "
        "found = coco.read(ROOT, coco.Part(FILE)).boxes"
    ),
    "by type": ("from datasets.boxes import coco; found = coco.read(ROOT, coco.Part(FILE)).boxes"),
}
_START = "import sys, time, resource; from pathlib import Path; "
_IMPORTS = {
    "pycocotools": "import pycocotools.coco; ",
    "field by field": "import datasets.boxes.coco; ",
    "by type": "import datasets.boxes.coco; ",
}
_END = (
    "; print(time.process_time() - begun, "
    "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, len(found))"
)


def draw(root: Path, num_images: int, num_boxes: int) -> Path:
    """Write a set in COCO's layout, the same each time; returns its annotation file."""
    rng = np.random.default_rng(0)
    images, notes = root / "train2017", root / "annotations"
    for folder in (images, notes):
        folder.mkdir(parents=True)
    drawn = []
    for _ in range(8):
        small = cv2.resize(rng.integers(0, 255, (12, 16, 3), np.uint8), (640, 480))
        drawn.append(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 20])[1].tobytes())
    owners = np.sort(rng.integers(0, num_images, num_boxes)) + 1
    file = notes / "instances_train2017.json"
    with file.open("w", encoding="utf-8") as out:
        out.write('{"info": {"year": 2017}, "licenses": [], "images": [')
        for k in tqdm(range(1, num_images + 1), "images", unit="image"):
            name = f"{k:012d}.jpg"
            # Another comment of another length: no two files are the same.
            comment = f"{k}".rjust(8 + k % 2000).encode()
            head, rest = drawn[k % len(drawn)][:2], drawn[k % len(drawn)][2:]
            marked = head + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + rest
            (images / name).write_bytes(marked)
            out.write(
                f'{"," if k > 1 else ""}{{"license": 3, "file_name": "{name}", "coco_url": "", '
                f'"height": 480, "width": 640, "date_captured": "", "flickr_url": "", "id": {k}}}'
            )
        out.write('], "annotations": [')
        for k, owner in enumerate(tqdm(owners.tolist(), "boxes", unit="box"), start=1):
            x, y, w, h = np.round(rng.uniform((0, 0, 9, 9), (400, 300, 200, 150)), 2).tolist()
            turns = np.linspace(0, 2 * np.pi, 18, endpoint=False)
            outline = np.stack([x + w * (1 + np.cos(turns)) / 2, y + h * (1 + np.sin(turns)) / 2])
            numbers = ",".join(f"{v:.2f}" for v in outline.T.ravel())
            out.write(
                f'{"," if k > 1 else ""}{{"segmentation": [[{numbers}]], "area": {w * h:.4f}, '
                f'"iscrowd": 0, "image_id": {owner}, "bbox": [{x}, {y}, {w}, {h}], '
                f'"category_id": {k % 80 + 1}, "id": {k}}}'
            )
        rows = ",".join(f'{{"id": {k}, "name": "class {k}"}}' for k in range(1, 81))
        out.write(f'], "categories": [{rows}]}}')
    return file


def opened(side: str, file: Path) -> tuple[float, float]:
    """Seconds of the processor and gigabytes that a side takes to open a file."""
    place = f"FILE, ROOT = Path({str(file)!r}), Path({str(file.parent.parent)!r}); "
    code = f"{_START}{_IMPORTS[side]}{place}begun = time.process_time(); {SIDES[side]}{_END}"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    seconds, memory, _ = done.stdout.split()[-3:]
    return float(seconds), float(memory)


def examined(root: Path) -> tuple[float, float, float]:
    """Seconds by the clock and of the processor, and gigabytes, of ``check_data.py``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    command = [sys.executable, "tools/check_data.py", str(root)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, spent, after.ru_maxrss / 1e6


def main() -> None:
    """Draw, open and examine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=118_000)
    parser.add_argument("--boxes", type=int, default=825_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        root = Path(folder) / "set"
        file = draw(root, args.images, args.boxes)
        print(f"{args.images} images, {args.boxes} boxes, {file.stat().st_size / 1e6:.0f} MB")
        rows = {side: [opened(side, file) for side in [side]] for side in SIDES}
        for _ in range(args.rounds - 1):
            for side, found in rows.items():
                found.append(opened(side, file))
        base = np.median([seconds for seconds, _ in rows["by type"]])
        for side, found in rows.items():
            seconds, memory = np.median(found, axis=0)
            print(f"{side}: {seconds:.1f} s, {memory:.2f} GB, {seconds / base:.1f} times")
        for look in ("first", "second"):
            clock, spent, memory = examined(root)
            print(f"check_data.py, {look} look: {clock:.1f} s ({spent:.1f} s of the processor), "
                  f"{memory:.2f} GB")  # fmt: skip


if __name__ == "__main__":
    main()
