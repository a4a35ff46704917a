"""Every application in every export target, through the tools that take exports."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from configs.common import Common
from configs.deploy import Export
from configs.deploy import Target as Name
from datasets.errors import InputError
from datasets.images import save_image
from tasks.detection.spec import PostSpec
from tasks.export.litert.writer import write_litert
from tasks.flag_values import flag_of
from tasks.loading import load
from tasks.multitask.spec import HEADS
from tasks.runtime.open import is_export, open_export, read_card
from tasks.runtime.runtimes import RUNTIMES, Runtime, runtime_named, runtime_of
from tests.backbone.tflite_files import write_ssd
from tests.conftest import Tool
from tests.exports import KINDS, POST, SINGLE, Exports, photos
from tests.litert import kinds_in, open_litert
from tests.tools.page_models import make_multi
from tools.flows.exporting import export_model, write_export
from tools.flows.int8_files import write_quantised
from tools.flows.source import MultiSource, open_any_source
from tools.flows.targets import TARGETS, Translate, facts_of, onnx_of, target_named

# How far answers may be from the network's: rounding, but for a resize inside the file, which may
# round a pixel otherwise.
LIMIT, RESIZED = 1e-4, 0.05
NAMES = [one.runtime.target for one in TARGETS]


def test_every_target_is_told_everywhere() -> None:
    assert get_args(Name) == tuple(NAMES) == tuple(one.target for one in RUNTIMES)
    assert len({one.suffix for one in RUNTIMES}) == len(RUNTIMES)
    for target in TARGETS:
        assert target.square == target.runtime.square
        assert runtime_of(Path(f"model{target.runtime.suffix}")) is target.runtime
        assert target.runtime.int8 or target.from_onnx is None


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen photos of several sizes, and a file that is none."""
    folder = tmp_path_factory.mktemp("album")
    for number, photo in enumerate(photos(4)):
        save_image(folder / f"{number}.png", photo)
    (folder / "4.jpg").write_text("no image")
    return folder


def installed(target: str) -> Runtime:
    """What runs a target's files; the test is skipped where it is an extra that is not there."""
    runtime = runtime_named(target)
    if runtime.version is None:
        pytest.skip(f"{runtime.package} is an extra")
    return runtime


@dataclass(frozen=True)
class Written:
    """A target's file of an application, and what was told of it."""

    file: Path
    result: dict[str, Any]


@pytest.fixture(scope="module")
def written(exports: Exports) -> Callable[[str, str], Written]:
    """An application's small network as a target's file, converted once, where another lay."""
    made: dict[tuple[str, str], Written] = {}

    def write(kind: str, target: str) -> Written:
        source, runtime = exports.source(kind), installed(target)
        if (kind, target) not in made:
            out = exports.folder / target / kind / f"model{runtime.suffix}"
            _lay_an_older(out)
            batch = "1" if kind in SINGLE else None
            post = POST if source.task == "detection" else PostSpec()
            common = Common(out=out, threads=1)
            args = Export(source.file, target, batch=batch, post=post, common=common)
            made[kind, target] = Written(out, export_model(args)[0])
        return made[kind, target]

    return write


def _lay_an_older(out: Path) -> None:
    """An export that is to make room: a file, or a folder with files."""
    if out.suffix == ".mlpackage":
        out.mkdir(parents=True)
        out = out / "older"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("older")


@pytest.mark.slow
@pytest.mark.parametrize("target", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_table_of_applications_and_targets(
    exports: Exports, written: Callable[[str, str], Written], kind: str, target: str
) -> None:
    """Each file answers as its network, on photos of several sizes; and tells what it is."""
    source, made = exports.source(kind), written(kind, target)
    file, result = made.file, made.result
    exported = open_export(file, 1)
    assert is_export(file)
    assert read_card(file) == source.card
    assert exported.takes_squares == target_named(target).square
    images = photos()
    answers = load(file, threads=1)(images)
    assert [one.to_dict() for one in answers], "as in a program of three lines"
    differences = source.differences(
        images, [one.outputs for one in answers], resized=True, ready=exported.takes_squares
    )
    exact = exported.takes_squares or source.short_side is None
    assert max(differences.values()) < (LIMIT if exact else RESIZED), differences
    assert exported.facts["checked"] == result["checked"]
    more = {file.with_suffix(".bin")} if target == "openvino" else set()
    assert {*file.parent.iterdir()} == {file, *more}, "the older one made room"
    stored = [one for one in file.parent.rglob("*") if one.is_file()]
    assert "older" not in {one.name for one in stored}
    assert result["bytes"] == sum(one.stat().st_size for one in stored) > 30_000


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> MultiSource:
    """A run of six heads."""
    run = make_multi(tmp_path_factory.mktemp("runs") / "several")
    source = open_any_source(Export(run, post=POST))
    assert isinstance(source, MultiSource)
    return source


@pytest.mark.slow
@pytest.mark.parametrize("target", [one.runtime.target for one in TARGETS if one.square])
def test_several_heads_in_one_file(several: MultiSource, target: str, tmp_path: Path) -> None:
    """Boxes see the whole photo and the others its centre: two inputs, one trunk."""
    runtime = installed(target)
    out = tmp_path / f"several{runtime.suffix}"
    args = Export(several.file, target, post=POST, common=Common(out=out, threads=1))
    facts = write_export(args, several, out)
    assert max(facts["checked"]["differences"].values()) < LIMIT
    assert [one["fit"] for one in facts["square"].values()] == ["centre", "whole"]
    exported, images = open_export(out, 1), photos()[:2]
    assert exported.heads == HEADS
    assert exported.facts["checked"] == facts["checked"]
    together = exported(images)
    for name in HEADS:
        found = exported.head(name)(images)
        source = several.heads[name]
        assert max(source.differences(images, found, resized=False).values()) < LIMIT
        for row, rest in zip(found, together, strict=True):
            for output, values in row.items():
                np.testing.assert_array_equal(values, rest[f"{name}_{output}"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classifier", "ssdlite"])
@pytest.mark.parametrize("target", [one.runtime.target for one in TARGETS if one.square])
def test_predictions_are_the_networks(
    exports: Exports,
    written: Callable[[str, str], Written],
    tool: Tool,
    tmp_path: Path,
    album: Path,
    kind: str,
    target: str,
) -> None:
    told = []
    own = [f"--{flag_of(name)}={value}" for name, value in vars(POST).items()]
    flags = own if exports.source(kind).task == "detection" else ()
    for weights, more in ((exports.source(kind).file, flags), (written(kind, target).file, ())):
        out = tmp_path / weights.suffix[1:]
        status, _, err = tool("predict", weights, album, "--out", out, "--no-draw", *more)
        assert status == 0, err
        assert "4.jpg" in err
        told.append(json.loads((out / "predictions.json").read_text()))
    one, other = map(_numbers, told)
    assert len(one) == len(other) > 0
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=0.02)


def _numbers(value: object) -> list[float]:
    """All numbers in an answer, in their order."""
    if isinstance(value, dict):
        return [number for one in value.values() for number in _numbers(one)]
    if isinstance(value, list):
        return [number for one in value for number in _numbers(one)]
    return [float(value)] if isinstance(value, float) else []


@pytest.mark.slow
def test_eight_bits_end_in_a_litert_file(
    exports: Exports,
    written: Callable[[str, str], Written],
    tool: Tool,
    tmp_path: Path,
    album: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Measured as ONNX, translated, compared with that, and named last.

    For microcontrollers, which take signed bytes; and for others, from the same ONNX file. Whoever
    runs them through the suite does not notice.
    """
    source, out = exports.source("attributes"), tmp_path / "out" / "model.tflite"
    plain = tmp_path / "plain.tflite"

    def write(onnx_file: Path, notes: dict[str, str], file: Path, **given: Any) -> None:
        write_litert(onnx_file, notes, file, **given)
        write_litert(onnx_file, notes, plain)

    monkeypatch.setattr("tools.flows.targets.write_litert", write)
    flags = ("--target", "litert", "--int8", "--micro", "--calibrate", album, "--out", out)
    status, text, err = tool("export", source.file, *flags, "--json")
    assert status == 0, err
    assert json.loads(text)["target"] == "litert"
    assert {file.name for file in out.parent.iterdir()} == {"model.tflite", "model.tflite.json"}
    theirs = source.predict()(photos())
    for file, kind in ((out, np.int8), (plain, np.uint8)):
        assert open_litert(file).get_input_details()[0]["dtype"] == kind
        exported = open_export(file, 1)
        assert exported.precision == "int8"
        assert exported.takes_squares
        assert file.stat().st_size < 0.5 * written("attributes", "litert").result["bytes"]
        for one, other in zip(exported(photos()), theirs, strict=True):
            assert 0 < np.abs(one["probabilities"] - other["probabilities"]).max() < 0.2
    assert "FULLY_CONNECTED" not in kinds_in(out), "it would want weights in real numbers"


@pytest.mark.slow
def test_a_translation_that_answers_otherwise_is_refused(exports: Exports, tmp_path: Path) -> None:
    """An older file stays, and nothing lies beside it."""
    source, target = exports.source("attributes"), target_named("litert")
    facts = facts_of(onnx_of(target), source)
    plain = exports.folder / "measured.onnx"
    onnx_of(target).write(source, facts, plain, False)
    measured, other = onnx.load(str(plain)), onnx.load(str(plain))
    for value in other.graph.initializer:
        if len(value.dims) == 1 and value.data_type == onnx.TensorProto.FLOAT:  # Biases.
            value.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(value) + 1, value.name))
    onnx.save(other, str(plain))
    translate = target.from_onnx
    assert translate is not None

    def write(from_onnx: Translate) -> None:
        write_quantised(
            replace(target, from_onnx=from_onnx),
            measured,
            source.card,
            facts,
            out,
            photos=photos(),
            accept=lambda _: facts,
            threads=1,
        )

    out = tmp_path / "model.tflite"
    out.write_text("older")
    with pytest.raises(InputError, match="not written: its probabilities differ from those of"):
        write(lambda _, notes, file: translate(plain, notes, file))
    assert out.read_text() == "older"
    write(translate)
    assert open_export(out, 1).card == source.card
    assert [file.name for file in tmp_path.iterdir()] == ["model.tflite"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--target", "litert", "--batch", "dynamic"), "--batch dynamic: a file for litert takes"),
        (("--target", "litert", "--int8"), "--int8 needs --calibrate"),
        (("--target", "openvino", "--int8", "--calibrate", "."), "goes with --target onnx or li"),
        (("--target", "litert", "--out", "a.onnx"), "a file for litert ends in .tflite"),
        (("--target", "onnx", "--out", "a.tflite"), "a file for onnx ends in .onnx"),
        (("--target", "tensorrt"), "litert"),
    ],
)
def test_flags_that_do_not_go_together(
    exports: Exports, tool: Tool, flags: tuple[str, ...], message: str
) -> None:
    status, _, err = tool("export", exports.folder / "model.safetensors", *flags)
    assert status == 2
    assert message in " ".join(err.replace("│", " ").split())


@pytest.mark.slow
def test_a_cut_file_and_one_of_tensorflows(
    written: Callable[[str, str], Written], tool: Tool, tmp_path: Path, album: Path
) -> None:
    whole = written("attributes", "litert").file.read_bytes()
    for share in (0.3, 0.9, 0.999):
        file = tmp_path / "cut.tflite"
        file.write_bytes(whole[: int(share * len(whole))])
        status, _, err = tool("predict", file, album, "--out", tmp_path / "found")
        assert status == 2, err
        assert "cut.tflite" in err
        assert "Traceback" not in err
    assert not (tmp_path / "found").exists()
    theirs = tmp_path / "theirs.tflite"
    write_ssd(theirs)
    assert not is_export(theirs)
    with pytest.raises(ValueError, match="carries no card"):
        open_export(theirs)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [one.suffix for one in RUNTIMES])
def test_a_broken_one_is_told(tool: Tool, tmp_path: Path, album: Path, suffix: str) -> None:
    runtime = next(one for one in RUNTIMES if one.suffix == suffix)
    installed(runtime.target)
    broken = tmp_path / f"broken{suffix}"
    if runtime.folder:
        broken.mkdir()
    else:
        broken.write_bytes(b"no program")
    status, _, err = tool("predict", broken, album, "--out", tmp_path / "found")
    assert status == 2
    assert broken.name in err
    assert "Traceback" not in err
    assert not (tmp_path / "found").exists()
