"""Names of choices that concern data. It imports nothing slow."""

from __future__ import annotations

from typing import Literal

Augmentation = Literal["ssd", "tf", "flip", "none"]
LabelAugmentation = Literal["none", "tf_slim", "mild", "modern", "small"]
Interpolation = Literal["bilinear", "bicubic"]
Split = Literal["train", "val", "test", "all"]
# Alignment of faces in their images: none; as in LFW's funneled versions; or with eyes, nose and
# corners of the mouth at fixed positions.
Alignment = Literal["none", "funneled", "five_points"]
FaceAugmentation = Literal["none", "flip", "face"]

# Formats of boxes, as --format takes them.
BoxFormat = Literal[
    "coco",
    "voc",
    "yolo",
    "darknet",
    "csv",
    "open_images",
    "labelme",
    "cvat",
    "label_studio",
    "via",
    "kitti",
    "hugging_face",
    "parquet",
    "shards",
]

# Options of an examination that apply only to some kinds of data.
Option = Literal["anchors", "keep_aspect", "classes", "format", "images"]
# Options that state how a data set is to be read.
HINTS: tuple[Option, ...] = ("format", "images")

# Largest number of bits, of 64, in which the perceptual hashes of an image and its copy differ.
COPY_BITS = 10
