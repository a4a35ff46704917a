"""Google's ai-edge-quantizer beside this suite's INT8, both from the same float file.

    pip install ai-edge-quantizer ai-edge-litert opencv-python-headless pillow
    python -m tests.benchmarks.bench_quantizer float.tflite int8.tflite --calibrate DIR --val DIR

The files are a classifier's exports for LiteRT; ``--val`` has a folder of images for each class,
named as the class is; images of ``--calibrate`` among them are not scored. An environment of its
own will do: torch is not needed. The other one quantises the float file as its makers advise:
recipe ``static_wi8_ai8``, ranges of its own calibrator. Everybody answers the same squares.
"""

from __future__ import annotations

import argparse
import tempfile
from importlib import import_module, metadata
from pathlib import Path

from tqdm import tqdm

from datasets.images import Image, find_images, read_image
from tasks.runtime.litert_session import import_interpreter
from tasks.runtime.open import open_export
from tasks.runtime.square import Square, squares_of


def quantised(file: Path, squares: list[Image], out: Path) -> None:
    """Write what ai-edge-quantizer makes of a float file, calibrated on squares."""
    quantizer, recipe = (import_module(f"ai_edge_quantizer.{n}") for n in ("quantizer", "recipe"))
    opened = import_interpreter(file)(str(file))
    (signature, ends), *_ = opened.get_signature_list().items()
    (name,) = ends["inputs"]
    made = quantizer.Quantizer(str(file), recipe.static_wi8_ai8())
    data = {signature: [{name: square[None]} for square in squares]}
    made.quantize(made.calibrate(data, num_threads=1)).export_model(str(out))


def top1(file: Path, images: list[Path], square: Square, columns: dict[str, int]) -> float:
    """Top-1 in percent of a classifier's file; of equal answers the first counts."""
    opened = import_interpreter(file)(str(file), num_threads=1)
    opened.allocate_tensors()
    entry, result = opened.get_input_details()[0], opened.get_output_details()[0]
    right = 0
    for image in tqdm(images, file.name, unit="image", mininterval=0.5):
        opened.set_tensor(entry["index"], square(read_image(image, upright=True))[None])
        opened.invoke()
        right += int(opened.get_tensor(result["index"]).argmax()) == columns[image.parent.name]
    return 100 * right / len(images)


def main() -> None:
    """Quantise, and print everybody's top-1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("float", type=Path)
    parser.add_argument("int8", type=Path)
    parser.add_argument("--calibrate", type=Path, required=True)
    parser.add_argument("--val", type=Path, required=True)
    parser.add_argument("--images", type=int, default=100, help="that are calibrated on")
    args = parser.parse_args()
    exported = open_export(args.float, 1)
    (square,) = squares_of(exported.facts, args.float).values()
    columns = {name: k for k, name in enumerate(exported.card.classes.names)}
    files = find_images(args.calibrate)
    files = files[:: max(1, len(files) // args.images)][: args.images]
    squares = [square(read_image(file, upright=True)) for file in files]
    images = [file for file in find_images(args.val) if file not in files]
    with tempfile.TemporaryDirectory() as folder:
        theirs = Path(folder) / "quantizer.tflite"
        quantised(args.float, squares, theirs)
        rows = {
            "float": args.float,
            "this suite": args.int8,
            f"ai-edge-quantizer {metadata.version('ai-edge-quantizer')}": theirs,
        }
        print(f"calibrated on {len(squares)} images; top-1 on {len(images)}")
        for name, file in rows.items():
            points = top1(file, images, square, columns)
            print(f"  {name:26} {points:5.1f} %  {file.stat().st_size / 1e6:.2f} MB", flush=True)


if __name__ == "__main__":
    main()
