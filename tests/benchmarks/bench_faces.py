"""The real MobileFaceNet on LFW's pairs, by the suite's own evaluator.

``MOBILENETS_DATA=FOLDER python -m tests.benchmarks.bench_faces``
"""

import os
from pathlib import Path

import torch
from tqdm import tqdm

from datasets.identities.augmentation import FaceTransform
from datasets.identities.lfw import read_lfw
from datasets.labels.torch_set import LabelledSet, label_loader
from tasks.face_embedding.evaluator import FaceEvaluator, format_metrics
from tests.tasks.ncnn import MobileFaceNet

# The middle 112 of the 144 pixels that LFW's photos are cut to.
CROP = 112 / 144


def main() -> None:
    """Print the figures of the ten folds."""
    data = read_lfw(Path(os.environ["MOBILENETS_DATA"]) / "lfw")
    network = MobileFaceNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    evaluator = FaceEvaluator(data.labels, data.pairs)
    faces = LabelledSet(data, FaceTransform(112, "none", crop=CROP))
    loader = label_loader(faces, batch_size=64, train=False, workers=0)
    for batch in tqdm(loader, "embedding", len(loader), unit="batch"):
        images = batch["images"].contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            rows = network(images).numpy()
        evaluator.update(batch["image_ids"], [{"embedding": row} for row in rows])
    print(format_metrics(evaluator.compute()))


if __name__ == "__main__":
    main()
