"""INT8 from a float export to a file: its gate, its report, and bad input."""

import functools
import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from configs.common import Common
from configs.deploy import Export
from configs.tools import Evaluate
from datasets.builtin.faces import draw_faces
from datasets.builtin.identities import draw_identities
from datasets.builtin.places import draw_places
from datasets.builtin.scenes import draw_scenes
from datasets.images import save_image
from datasets.names import shown_in
from tasks.detection.model import build_detector
from tasks.detection.spec import DetectorSpec
from tasks.int8 import remedies
from tasks.open_model import open_model
from tasks.runtime.open import open_export
from tests.datasets.label_fakes import write_folders
from tests.datasets.parquet_fakes import save_table
from tests.exports import CLASSES as EXPORTED
from tests.exports import Exports
from tests.tasks.onnx_net import CLASSES, SIZE, card_of, classifier, network_of, pictures, to_onnx
from tools.flows import quantising
from tools.flows.evaluating import look_at_all
from tools.flows.quantising import Scorer, calibration_pictures, open_scorer, write_int8
from tools.flows.recipe import recipe_for
from tools.flows.source import Source
from tools.recipes import RECIPES

PHOTOS = 16


@pytest.fixture(scope="module")
def source() -> Source:
    model = classifier()
    return Source(model, card_of(model), Path("ants.safetensors"))


@pytest.fixture(scope="module")
def float_file(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("float") / "float.onnx"
    onnx.save(to_onnx(source.model), file)
    return file


@pytest.fixture(scope="module")
def photos(float_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per class: twelve photos where the float export puts them, four elsewhere."""
    folder, exported = tmp_path_factory.mktemp("photos"), open_export(float_file, 1)
    for name in CLASSES.names:
        (folder / name).mkdir()
    for number, picture in enumerate(pictures(PHOTOS)):
        photo = (127.5 * (picture[0].transpose(1, 2, 0) + 1)).astype(np.uint8)
        (answer,) = exported([photo])
        likely = np.argsort(-answer["probabilities"])
        name = CLASSES.names[likely[int(number >= PHOTOS - 4)]]
        save_image(folder / name / f"{number:02d}.png", photo)
    return folder


def flags(folder: Path, calibrate: Path, **more: object) -> Export:
    common = Common(out=folder / "ants.int8.onnx", threads=1)
    return Export(folder, int8=True, calibrate=calibrate, common=common, **more)


@pytest.mark.slow
def test_the_file_answers_as_the_float_one(
    source: Source, float_file: Path, photos: Path, tmp_path: Path
) -> None:
    args = flags(tmp_path, photos, labelled=photos, max_drop=10.0)
    result, text = write_int8(args, source, float_file, RECIPES)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "ants.int8.onnx",
        "ants.int8.onnx.json",
    ]
    report = json.loads((tmp_path / "ants.int8.onnx.json").read_text())
    assert report == json.loads(json.dumps(shown_in(result)))
    assert report["bytes"] == (tmp_path / "ants.int8.onnx").stat().st_size < report["float_bytes"]
    assert report["photos"] == {"measured": 12, "compared": 4}
    assert report["scores"]["original"] == 75
    assert report["scores"]["drop"] == 75 - report["scores"]["ours"] <= 10
    names = [step["name"] for step in report["remedies"]]
    assert [name.startswith("naive") for name in names[:3]] == [True, True, False]
    alone = [row["alone"] for row in report["layers"]]
    assert alone == sorted(alone)
    for told in ("naive: a scale per tensor", "top-1: float 75.0", report["layers"][0]["name"]):
        assert told in text
    ours, theirs = open_export(tmp_path / "ants.int8.onnx", 1), open_export(float_file, 1)
    assert ours.precision == "int8"
    assert ours.card == theirs.card
    assert ours.facts["int8"]["scores"]["ours"] == report["scores"]["ours"]
    photo = np.full((2 * SIZE, SIZE, 3), 90, np.uint8)[:SIZE]
    one, other = ours([photo])[0]["probabilities"], theirs([photo])[0]["probabilities"]
    assert 0 < np.abs(one - other).max() < 0.1


@pytest.mark.slow
def test_a_loss_above_the_limit_writes_nothing(
    source: Source, float_file: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(file: Path) -> float:
        return 90.0 if open_export(file, 1).precision == "float32" else 71.5

    monkeypatch.setattr(quantising, "open_scorer", lambda *_: Scorer("top-1", score, "images"))
    quick = functools.partial(remedies.fine_tune, steps=1)
    monkeypatch.setattr(remedies, "fine_tune", quick)
    args = flags(tmp_path, photos, labelled=photos, max_drop=2.0)
    with pytest.raises(ValueError, match="not written") as caught:
        write_int8(args, source, float_file, RECIPES)
    told = str(caught.value)
    assert "falls from 90.0 to 71.5, by 18.5 points; --max-drop allows 2" in told
    for remedy in ("mse ranges", "equalisation", "bias correction", "in float", "fine-tuning"):
        assert remedy in told
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_naive_network_that_keeps_to_the_limit_is_taken(
    source: Source, float_file: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the one with remedies, though closer in its answers, does not."""
    told = iter((90.0, 60.0, 89.5, 80.0))  # Float, per tensor, per channel, with remedies.
    monkeypatch.setattr(
        quantising, "open_scorer", lambda *_: Scorer("top-1", lambda _: next(told), "images")
    )
    args = flags(tmp_path, photos, labelled=photos, max_drop=1.0)
    result, text = write_int8(args, source, float_file, RECIPES)
    assert result["scores"]["ours"] == 89.5
    assert not any(step["kept"] for step in result["remedies"])
    assert "float 90.0, int8 89.5" in text
    assert open_export(tmp_path / "ants.int8.onnx", 1).facts["int8"]["remedies"] == []


@pytest.mark.slow
def test_without_labels_nothing_is_claimed(
    source: Source, float_file: Path, photos: Path, tmp_path: Path
) -> None:
    result, text = write_int8(flags(tmp_path, photos), source, float_file, RECIPES)
    assert result["scores"] is None
    assert "not measured on labelled images" in text


@pytest.mark.slow
def test_bad_photos(source: Source, float_file: Path, tmp_path: Path) -> None:
    def refused(folder: Path) -> str:
        with pytest.raises(ValueError, match="--calibrate") as caught:
            write_int8(flags(tmp_path / "out", folder), source, float_file, RECIPES)
        return str(caught.value)

    assert "no such folder" in refused(tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "0 images there; 8 or more are needed" in refused(empty)
    for number in range(10):
        (empty / f"{number}.jpg").write_text("not an image")
    told = refused(empty)
    assert "0 images can be read" in told
    assert ".jpg: not an image" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_damaged_photos_are_left_out(
    source: Source,
    float_file: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for file in photos.rglob("*.png"):
        (mixed / file.name).write_bytes(file.read_bytes())
    (mixed / "cut.png").write_bytes((mixed / "00.png").read_bytes()[:-40])
    args, model = flags(tmp_path / "out", mixed), onnx.load(str(float_file))
    found = calibration_pictures(args, model, network_of(source.model))
    assert (len(found.fit), len(found.held)) == (12, 4)
    assert "cut.png" in capsys.readouterr().err
    rows = [file.read_bytes() for file in sorted(mixed.iterdir())]
    table = save_table(tmp_path / "shots.parquet", {"image": rows})
    args = flags(tmp_path / "out", table)
    same = calibration_pictures(args, model, network_of(source.model))
    assert (len(same.fit), len(same.held)) == (12, 4)
    assert "shots.parquet/000016" in capsys.readouterr().err


def test_two_stages_are_refused(photos: Path, tmp_path: Path, float_file: Path) -> None:
    spec = DetectorSpec(framework="faster_rcnn_300", alpha=0.1)
    model = build_detector(spec, CLASSES)
    source = Source(model, card_of(classifier()), Path("r.safetensors"))
    with pytest.raises(ValueError, match="one stage"):
        write_int8(flags(tmp_path, photos), source, float_file, RECIPES)


def draw_labelled(kind: str, root: Path) -> Path:
    """A few labelled photos for one of the suite's exports."""
    if kind == "classifier":
        return write_folders(root, {f"val/{name}": 4 for name in EXPORTED.names})
    if kind == "attributes":
        return draw_faces(root, num_identities=12, per_identity=2, size=40)
    if kind == "faces":
        return draw_identities(root, num_identities=67, per_identity=2, num_pairs=2, size=40)
    if kind == "places":
        return draw_places(root, num_photos=60, num_authors=20, size=40)
    return draw_scenes(root, num_train=1, num_val=4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "metric"),
    [
        ("classifier", "top-1"),
        ("ssdlite", "AP"),
        ("places", "GeoScore"),
        ("attributes", "mean AP"),
        ("faces", "AUC"),
    ],
)
def test_every_application_is_scored_by_its_own_figure(
    kind: str, metric: str, tmp_path: Path, exports: Exports
) -> None:
    """As evaluate.py scores the network that the export was made of, in points of 100."""
    source, data = exports.source(kind), draw_labelled(kind, tmp_path / "data")
    scorer = open_scorer(flags(tmp_path, data, labelled=data), source, RECIPES)
    assert scorer.metric == metric
    points = scorer.score(exports.file(kind))
    assert points == scorer.score(exports.file(kind)), "an exam can be sat twice"
    model = open_model(source.file)
    recipe = recipe_for(model.application, RECIPES, source.file)
    exam = recipe.exam(Evaluate(source.file, batch_size=4, workers=0), data, model)
    figures = look_at_all(model, exam, "cpu", "").compute()["metrics"]
    told = model.application.metric
    assert points == pytest.approx(100 * figures[told.name] / told.best, abs=2.0)
    assert 0 <= points <= 100
