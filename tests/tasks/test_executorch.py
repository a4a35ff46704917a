"""ExecuTorch programs: the same answers, and messages for what is none."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from datasets.errors import InputError
from tasks.export.executorch_file import write_executorch, write_executorch_onnx, write_notes
from tasks.export.onnx_module import OnnxModule
from tasks.export.read_onnx import read_onnx
from tasks.runtime.executorch_session import ExecuTorchSession
from tasks.runtime.exported import Exported
from tasks.runtime.onnx_session import OnnxSession
from tasks.runtime.session import CARD_KEY, FACTS_KEY
from tests.exports import Exports
from tests.litert import small_model
from tools.flows.targets import facts_of, notes_of, onnx_of, target_named
from tools.speed.measuring import write_int8

# Not imported before a test asks for it: that takes seconds.
if importlib.util.find_spec("executorch") is None:
    pytest.skip("executorch is an extra", allow_module_level=True)

pytestmark = pytest.mark.slow


def write(exports: Exports, kind: str, file: Path) -> Path:
    write_executorch(*exports.square(kind), file)
    return file


@pytest.fixture(scope="module")
def written(exports: Exports, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(exports, "classifier", tmp_path_factory.mktemp("pte") / "model.pte")


def test_facts_are_written_into_a_finished_file(written: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.pte"
    file.write_bytes(written.read_bytes())
    before = ExecuTorchSession(file)
    facts = {**json.loads(before.notes[FACTS_KEY]), "checked": {"photos": 4}}
    write_notes(file, {FACTS_KEY: json.dumps(facts)})
    after = Exported(ExecuTorchSession(file), file)
    assert after.facts["checked"] == {"photos": 4}
    assert ExecuTorchSession(file).notes[CARD_KEY] == before.notes[CARD_KEY]
    square = np.zeros((1, 48, 48, 3), np.uint8)
    for one, other in zip(before.run(square), ExecuTorchSession(file).run(square), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match="has room for"):
        write_notes(file, {FACTS_KEY: "x" * 100_000})


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_part_of_a_file_is_refused(written: Path, share: float, tmp_path: Path) -> None:
    file, data = tmp_path / "model.pte", written.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"model\.pte: not an ExecuTorch program"):
        ExecuTorchSession(file)


def test_a_damaged_mark_does_not_end_the_process(written: Path, tmp_path: Path) -> None:
    file, data = tmp_path / "model.pte", written.read_bytes()
    file.write_bytes(data[:4] + b"ET\xff2" + data[8:])
    with pytest.raises(
        InputError, match=r"model\.pte: not an ExecuTorch program .*damaged at its"
    ):
        ExecuTorchSession(file)


def test_a_file_without_a_card_is_told(tmp_path: Path) -> None:
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(torch.nn.ReLU(), (torch.zeros(1, 2),))
    file = tmp_path / "foreign.pte"
    file.write_bytes(to_edge_transform_and_lower(program).to_executorch().buffer)
    with pytest.raises(InputError, match="carries no card"):
        Exported(ExecuTorchSession(file), file)


def test_squares_of_another_side_are_refused(written: Path) -> None:
    with pytest.raises(RuntimeError):
        ExecuTorchSession(written).run(np.zeros((1, 40, 40, 3), np.uint8))


def test_eight_bits_are_those_of_the_onnx_file(
    exports: Exports, written: Path, tmp_path: Path
) -> None:
    """By its scales, and computed in 8 bits: the file is not one of floats."""
    source, target = exports.source("classifier"), target_named("executorch")
    plain = onnx_of(target)
    facts = facts_of(plain, source)
    float_file, int8_file = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    plain.write(source, facts, float_file, False)
    write_int8(source, float_file, int8_file)
    program = tmp_path / "model.pte"
    write_executorch_onnx(int8_file, notes_of(source.card, facts), program)
    lowered, rounded = ExecuTorchSession(program, 1), OnnxSession(int8_file, 1)
    module, real = OnnxModule(read_onnx(float_file)), OnnxSession(float_file, 1)
    for square in np.random.default_rng(0).integers(0, 256, (5, 1, 48, 48, 3), np.uint8):
        assert np.abs(lowered.run(square)[0] - rounded.run(square)[0]).max() < 0.05
        with torch.no_grad():
            (found,) = module(torch.from_numpy(square))
        assert np.abs(found.numpy() - real.run(square)[0]).max() < 1e-5
    assert program.stat().st_size < 0.5 * written.stat().st_size


def test_what_cannot_be_written(tmp_path: Path) -> None:
    source, target = tmp_path / "model.onnx", tmp_path / "model.pte"
    source.write_bytes(b"no model at all")
    with pytest.raises(InputError, match=r"model\.onnx: not an ONNX file that can be read"):
        write_executorch_onnx(source, {FACTS_KEY: "{}"}, target)
    odd = [onnx.helper.make_node("Softplus", ["x"], ["y"])]
    onnx.save(small_model(odd, {"x": np.zeros((1, 4), np.float32)}, {}, ["y"]), str(source))
    with pytest.raises(InputError, match=r"model\.onnx: cannot be .* no operator for ONNX.s Soft"):
        write_executorch_onnx(source, {FACTS_KEY: "{}"}, target)
    assert not target.exists()
