"""TensorFlow's classifiers as imported beside their originals, top-1 on the same ImageNet squares.

``MOBILENETS_DATA=FOLDER python -m tests.benchmarks.bench_imported``
"""

import os
from pathlib import Path

import torch
from torch import Tensor

from backbone.formats.partial import PartialFlavour
from backbone.formats.recognise import read_network
from backbone.layers import Normalize, fold_batchnorm
from datasets.images import read_image
from datasets.squares import centre_square
from tasks.classification.import_weights import import_network
from tasks.classification.reference_runtimes import LiteRt
from tests.benchmarks.target_files import TENSORFLOW, labelled_images


def main() -> None:
    """Print both sides' top-1 for each file."""
    torch.set_num_threads(1)
    data = Path(os.environ["MOBILENETS_DATA"])
    files, columns = labelled_images(data)
    targets = torch.tensor(columns)
    print(f"{'file':50}  ours  LiteRT  same class, % of {len(files)} images")
    for name, last in TENSORFLOW.items():
        source = data / f"weights/{name}.tflite"
        head = data / f"weights/{last}.tflite" if last else None
        imported = import_network(read_network(source, head=head), PartialFlavour())
        seen = imported.card.flavour.input
        squares = [
            centre_square(read_image(f, upright=True), seen.size, crop=seen.crop) for f in files
        ]
        images = torch.stack([torch.from_numpy(square.copy()) for square in squares])
        images = images.permute(0, 3, 1, 2).contiguous()
        model = fold_batchnorm(imported.model)
        with torch.inference_mode():
            ours = torch.cat([model(part) for part in images.split(20)])
        theirs = LiteRt(source, head)(Normalize(seen)(images))[:, 1:]
        agreed = ours.argmax(1) == theirs.argmax(1)
        figures = (_share(ours, targets), _share(theirs, targets), 100 * agreed.float().mean())
        print(f"{name:50} {figures[0]:5.1f}   {figures[1]:5.1f}  {figures[2]:5.1f}", flush=True)


def _share(answers: Tensor, targets: Tensor) -> float:
    """Top-1 in percent; of equal answers, which 8 bits give, the first counts."""
    return 100 * float((answers.argmax(1) == targets).float().mean())


if __name__ == "__main__":
    main()
