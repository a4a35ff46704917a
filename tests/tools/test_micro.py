"""``tools/export.py --micro``: networks of 8 bits for microcontrollers."""

import re
from pathlib import Path

import pytest

from backbone.bodies import default_flavour
from tasks.classification.model import Classifier
from tasks.export.litert.writer import write_litert
from tasks.weights.card import Card
from tests.conftest import Tool
from tests.exports import CLASSES, SMALL
from tests.litert import kinds_in
from tools.flows.source import Source
from tools.flows.targets import facts_of, onnx_of, target_named
from tools.speed.measuring import write_int8


def test_flags_that_it_needs(tool: Tool, tmp_path: Path) -> None:
    for given in ((), ("--target", "litert"), ("--int8", "--calibrate", tmp_path)):
        status, _, err = tool("export", tmp_path, "--micro", *given)
        assert status == 2
        assert "--micro: goes with --target litert --int8" in err


@pytest.mark.slow
def test_the_page_names_the_operators_of_a_classifier(tmp_path: Path) -> None:
    """TensorFlow Lite Micro runs nothing that its resolver was not given."""
    page = (Path(__file__).parents[2] / "docs" / "phone.md").read_text(encoding="utf-8")
    told = re.findall(r"operators\.Add(\w+)\(\)", page)
    (number,) = re.findall(r"MicroMutableOpResolver<(\d+)>", page)
    assert int(number) == len(told) == len({*told})
    flavour = default_flavour("mobilenet_v1").sized(SMALL.size)
    model = Classifier(SMALL, len(CLASSES), flavour).eval()
    card = Card("classification", SMALL.to_json(), flavour, CLASSES)
    source, target = Source(model, card, tmp_path / "none"), target_named("litert")
    plain, rounded = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    onnx_of(target).write(source, facts_of(target, source), plain, False)
    write_int8(source, plain, rounded)
    write_litert(rounded, {}, tmp_path / "model.tflite", micro=True)
    kinds = {kind.replace("_", "") for kind in kinds_in(tmp_path / "model.tflite")}
    assert kinds == {one.upper() for one in told}
