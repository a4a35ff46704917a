"""Core ML packages: our interpreter's answers are PyTorch's, and messages for what is none."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.errors import InputError
from tasks.export.coreml_file import write_coreml, write_notes
from tasks.runtime.coreml_session import CoreMlSession, model_file, read_model
from tasks.runtime.exported import Exported
from tasks.runtime.session import CARD_KEY, FACTS_KEY
from tasks.square_graph import SquareGraph
from tests.exports import CLASSES, Exports

# Not imported before a test asks for it: that takes seconds.
if importlib.util.find_spec("coremltools") is None:
    pytest.skip("coremltools is an extra", allow_module_level=True)

pytestmark = pytest.mark.slow


def write(exports: Exports, kind: str, file: Path) -> Path:
    write_coreml(*exports.square(kind), file)
    return file


@pytest.fixture(scope="module")
def written(exports: Exports, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(exports, "classifier", tmp_path_factory.mktemp("coreml") / "model.mlpackage")


def test_a_classifier_as_vision_knows_it(written: Path) -> None:
    told = read_model(written).description
    (picture,) = told.input
    assert (picture.name, picture.type.imageType.width) == ("images", 48)
    assert {one.name for one in told.output} == {"classLabel", "classLabel_probs"}
    assert told.predictedFeatureName == "classLabel"
    program = read_model(written).mlProgram.functions["main"]
    last = program.block_specializations[program.opset].operations[-1]
    (names,) = last.inputs["classes"].arguments
    kept = [
        one.immediateValue.tensor.strings.values[0]
        for one in names.value.immediateValue.list.values
    ]
    assert kept == list(CLASSES.names)


def test_equal_networks_make_equal_packages(
    written: Path, exports: Exports, tmp_path: Path
) -> None:
    again = write(exports, "classifier", tmp_path / "model.mlpackage")
    files = [file.relative_to(again) for file in sorted(again.rglob("*")) if file.is_file()]
    assert [
        name.name for name in files if (again / name).read_bytes() != (written / name).read_bytes()
    ] == []
    assert len(files) == 3


def test_facts_are_written_into_a_finished_file(written: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.mlpackage"
    shutil.copytree(written, file)
    facts = {**json.loads(CoreMlSession(file).notes[FACTS_KEY]), "checked": {"photos": 4}}
    write_notes(file, {FACTS_KEY: json.dumps(facts)})
    after = Exported(CoreMlSession(file), file)
    assert after.facts["checked"] == {"photos": 4}
    square = np.full((1, 48, 48, 3), 90, np.uint8)
    before = CoreMlSession(written).run(square)
    np.testing.assert_array_equal(CoreMlSession(file).run(square)[0], before[0])


def test_what_is_no_package(written: Path, tmp_path: Path) -> None:
    for name, share, message in (("cut", 0.5, "not a Core ML"), ("empty", 0.0, "holds no ML")):
        file = tmp_path / f"{name}.mlpackage"
        shutil.copytree(written, file)
        data = model_file(file).read_bytes()
        model_file(file).write_bytes(data[: int(len(data) * share)])
        with pytest.raises(InputError, match=message):
            CoreMlSession(file)
    weights = tmp_path / "weights.mlpackage"
    shutil.copytree(written, weights)
    (model_file(weights).parent / "weights" / "weight.bin").unlink()
    with pytest.raises(InputError, match="no weights at byte"):
        CoreMlSession(weights)
    with pytest.raises(InputError, match="cannot be read as a Core ML package"):
        CoreMlSession(tmp_path / "missing.mlpackage")


def test_an_operator_that_it_lacks_is_told(exports: Exports, tmp_path: Path) -> None:
    source = exports.source("classifier")
    graph = SquareGraph(source.application, source.model, source.card)
    graph.fit = Sorted()
    with pytest.raises(InputError, match=r"lack\.mlpackage: Core ML cannot hold this network"):
        write_coreml(
            graph, {CARD_KEY: json.dumps(source.card.to_json())}, tmp_path / "lack.mlpackage"
        )


class Sorted(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.special.i0(images.float().permute(0, 3, 1, 2))
        return found
