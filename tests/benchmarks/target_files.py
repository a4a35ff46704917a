"""The networks whose exports are measured, and one file of each for every runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from backbone.formats.partial import PartialFlavour
from backbone.formats.recognise import read_network
from configs.common import Common
from configs.deploy import Export
from datasets.images import find_images
from tasks.classification.import_weights import import_network
from tasks.detection.from_tflite import import_ssd
from tasks.detection.tensorflow_form import form_of
from tasks.export.litert.writer import write_litert
from tasks.export.onnx_file import write_openvino
from tools.flows.exporting import write_export
from tools.flows.quantising import write_int8
from tools.flows.source import Source
from tools.flows.targets import facts_of, notes_of, onnx_of, target_named
from tools.recipes import RECIPES

# Classifiers of TensorFlow, and the second half of the one that comes in two.
TENSORFLOW = {
    "mobilenet_v1_1.0_224_quant_embedding_extractor": "mobilenet_quant_v1_224_head_layers",
    "mobilenet_v1_0.75_192_quant": None,
    "mobilenet_v1_0.5_160_quant": None,
    "mobilenet_v1_0.25_128_quant": None,
}
_LITERT = target_named("litert")
_SQUARES = onnx_of(_LITERT)  # ONNX files that take the same squares as phones' files.
# By title, the name of the file.
FILES = {
    "ONNX float": "float.onnx",
    "ONNX INT8": "int8.onnx",
    "LiteRT float": "float.tflite",
    "LiteRT INT8": "int8.tflite",
    "ExecuTorch float": "float.pte",
    "OpenVINO float": "float.xml",
}
# Detectors that end in TensorFlow's own operator (--postprocess tensorflow).
FORMED = {
    "LiteRT float, TensorFlow's form": "float.tensorflow.tflite",
    "LiteRT INT8, TensorFlow's form": "int8.tensorflow.tflite",
}


@dataclass(frozen=True)
class Measured:
    """A network to be measured.

    Attributes:
        name: For people, and of its folder.
        weights: Files that it comes from; the first alone is imported, the second is its head.
        flavour: What the file does not say of itself.
    """

    name: str
    weights: tuple[Path, ...]
    flavour: PartialFlavour = field(default_factory=PartialFlavour)

    @property
    def originals(self) -> tuple[Path, ...]:
        """Files that LiteRT runs as they are, one after the other."""
        return self.weights if self.weights[0].suffix == ".tflite" else ()

    @property
    def is_detector(self) -> bool:
        """Whether it finds boxes."""
        return "ssd" in self.weights[0].name

    @property
    def files(self) -> dict[str, str]:
        """Names of its exports by title."""
        return {**FILES, **FORMED} if self.is_detector else FILES

    def source(self) -> Source:
        """The suite's network."""
        file, *head = self.weights
        if self.is_detector:
            model, card = import_ssd(file)
            return Source(model, card, file)
        read = read_network(file, head=head[0] if head else None)
        imported = import_network(read, self.flavour)
        return Source(imported.model, imported.card, file)


def networks(data: Path) -> list[Measured]:
    """All that are measured, of the folder with samples."""
    weights = data / "weights"
    found = []
    for name, last in TENSORFLOW.items():
        files = [weights / f"{one}.tflite" for one in (name, last) if one]
        alpha, size = name.split("_")[2:4]
        found.append(Measured(f"TensorFlow alpha {float(alpha):g}, {size}", tuple(files)))
    given = PartialFlavour(
        padding="symmetric",
        bn_eps=1e-5,
        activation="leaky_relu:.1",
        size=224,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    found.append(
        Measured("PyTorch alpha 0.25, 224", (weights / "mobilenetV1X0.25_pretrain.tar",), given)
    )
    ssd = weights / "ssd_mobilenet_v1_0.75_300_coco_quant_detect.tflite"
    return [*found, Measured("TensorFlow SSD300 alpha 0.75", (ssd,))]


def labelled_images(data: Path) -> tuple[list[Path], list[int]]:
    """ImageNet's images among the samples, and the class of each, from 0."""
    listed = (data / "imagenet/synsets.txt").read_text(encoding="utf-8").splitlines()
    columns = {line.split()[0]: number for number, line in enumerate(listed)}
    files = find_images(data / "imagenet/val")
    return files, [columns[file.parent.name] for file in files]


def write_files(
    network: Measured, source: Source, calibrate: Path, folder: Path, say: Callable[[str], None]
) -> None:
    """Write what of a network's files is not there yet, each from a ready square to the answer.

    All files of 8 bits are the same network: the LiteRT files are written from the ONNX file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {title: folder / name for title, name in network.files.items()}
    # Of a detector ONNX files also hold what TensorFlow's operator takes.
    formed = replace(source, form=form_of(source.model)) if network.is_detector else source
    float_onnx, int8_onnx = files["ONNX float"], files["ONNX INT8"]
    common = Common(threads=1)

    def missing(title: str) -> bool:
        if not files[title].exists():
            say(f"writing {title}")
            return True
        return False

    args = Export(weights=source.file, common=common)
    for title, one, target in (
        ("ONNX float", formed, _SQUARES),
        ("LiteRT float", source, _LITERT),
        ("ExecuTorch float", source, target_named("executorch")),
    ):
        if missing(title):
            write_export(args, one, files[title], target)
    if formed.form is not None and missing(title := next(iter(FORMED))):
        theirs = replace(args, target="litert", postprocess="tensorflow")
        write_export(theirs, formed, files[title])
    notes = notes_of(source.card, facts_of(_SQUARES, source))
    if missing("OpenVINO float"):
        write_openvino(float_onnx, notes, files["OpenVINO float"])
    if missing("ONNX INT8"):
        wanted = Export(
            weights=source.file,
            int8=True,
            calibrate=calibrate,
            common=Common(threads=1, out=int8_onnx),
        )
        write_int8(wanted, source, float_onnx, RECIPES, _SQUARES)
    if missing("LiteRT INT8"):
        write_litert(int8_onnx, notes, files["LiteRT INT8"])
    if formed.form is not None and missing(title := [*FORMED][-1]):
        write_litert(int8_onnx, notes, files[title], detections=formed.form.end)
