"""A model in three lines: every kind of image and file, what its answers hold, and kind errors."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from datasets.errors import InputError
from datasets.images import read_image, save_image
from tasks import load, loading
from tasks.detection.spec import DetectOptions, PostSpec
from tasks.geolocation.spec import DecodeSpec
from tasks.loading import LoadedModel
from tasks.weights.card import Card
from tasks.weights.file import save_weights
from tests.exports import CLASSES, POST, SHAPES, TRAITS, Exports, photos
from tests.house import ROOT

IMAGE = photos()[0]


@pytest.fixture(scope="module")
def classifier(exports: Exports) -> LoadedModel:
    return load(exports.source("classifier").file, device="cpu", batch_size=2)


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "png")
    return file.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_image(tmp_path / "a.png", IMAGE)
    return tmp_path / "a.png"


@pytest.mark.slow
def test_every_kind_of_image_is_the_same(classifier: LoadedModel, file: Path) -> None:
    expected = classifier(IMAGE).outputs["probabilities"]
    tensor = torch.from_numpy(IMAGE).permute(2, 0, 1)
    for given in (
        str(file),
        file,
        _png(IMAGE),
        PIL.Image.open(file),
        PIL.Image.fromarray(IMAGE).convert("RGBA"),
        IMAGE[..., ::-1].copy()[..., ::-1],
        tensor,
        tensor / 255,
        tensor.half() / 255,
    ):
        found = classifier(given).outputs["probabilities"]
        np.testing.assert_array_equal(found, expected, str(type(given)))


def test_pictures_of_pillow_are_turned_upright(classifier: LoadedModel, tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.fromarray(IMAGE).save(tmp_path / "turned.png", exif=exif)
    found = classifier([tmp_path / "turned.png", PIL.Image.open(tmp_path / "turned.png")])
    expected = classifier(np.rot90(IMAGE, -1)).outputs["probabilities"]
    for one in found:
        np.testing.assert_allclose(one.outputs["probabilities"], expected, atol=1e-5)


@pytest.mark.slow
def test_several_keep_their_order(classifier: LoadedModel, file: Path) -> None:
    several = [*photos(), file, IMAGE]
    alone = [str(classifier(one)) for one in several]
    assert [str(one) for one in classifier(several)] == alone
    assert [str(one) for one in classifier(tuple(several))] == alone
    assert [str(one) for one in classifier(iter(several))] == alone
    assert classifier([]) == []
    assert list(classifier(iter([]))) == []


def test_an_iterator_is_read_batch_by_batch(classifier: LoadedModel) -> None:
    taken: list[int] = []

    def images() -> Iterator[np.ndarray]:
        for number in range(5):
            taken.append(number)
            yield IMAGE

    answers = classifier(images())
    assert taken == []
    next(answers)
    assert taken == [0, 1]
    assert len(list(answers)) == 4


def test_answers_read_files_anew_to_draw(classifier: LoadedModel, file: Path) -> None:
    answer = classifier(file)
    picture = answer.draw()
    assert picture.mode == "RGB"
    assert np.array_equal(np.array(picture), np.array(classifier(IMAGE).draw()))
    file.unlink()
    with pytest.raises(InputError, match=r"a\.png: cannot be read"):
        answer.draw()


def test_a_class(classifier: LoadedModel) -> None:
    answer = classifier(IMAGE)
    probabilities = answer.outputs["probabilities"]
    assert answer.name == CLASSES.names[probabilities.argmax()]
    assert answer.probability == pytest.approx(probabilities.max())
    assert set(answer.names) == set(CLASSES.names)
    assert sum(answer.probabilities) == pytest.approx(1, abs=1e-5)
    assert answer.top(2) == list(zip(answer.names, answer.probabilities, strict=True))[:2]
    assert len(answer.top(99)) == len(CLASSES)
    assert answer.top(0) == []
    assert answer.name in str(answer)
    assert classifier.names == CLASSES.names


@pytest.mark.slow
def test_boxes(exports: Exports, monkeypatch: pytest.MonkeyPatch) -> None:
    file = exports.source("ssd").file
    answer = load(file, device="cpu")(IMAGE)
    assert answer.boxes.shape == (len(answer), 4)
    assert (answer.scores > 0.5).all()
    assert answer.names == [SHAPES.names[label - 1] for label in answer.labels]
    assert answer.top(1) == [(answer.names[0], answer.scores[0])]
    fewer = load(file, DetectOptions(post=PostSpec(score_threshold=0.8)), device="cpu")(IMAGE)
    assert len(answer) > len(fewer) > 0
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(InputError, match="pip install supervision"):
        answer.to_supervision()


@pytest.mark.slow
def test_boxes_for_supervision(exports: Exports) -> None:
    import supervision

    file = exports.source("ssd").file
    answer = load(file, device="cpu")(IMAGE)
    given = answer.to_supervision()
    assert isinstance(given, supervision.Detections)
    np.testing.assert_allclose(given.xyxy, answer.boxes, rtol=1e-6)
    np.testing.assert_allclose(given.confidence, answer.scores, rtol=1e-6)
    np.testing.assert_array_equal(given.class_id, answer.labels - 1)
    assert given.data["class_name"].tolist() == answer.names
    assert given.tracker_id is None
    one = answer.labels[0] - 1
    of_one: Any = given[given.class_id == one]
    assert set(of_one.data["class_name"].tolist()) == {answer.names[0]}
    assert supervision.BoxAnnotator().annotate(IMAGE.copy(), given).any()
    sure = DetectOptions(post=PostSpec(score_threshold=1))
    empty = load(file, sure, device="cpu")(IMAGE).to_supervision()
    assert empty.is_empty()
    assert empty.xyxy.shape == (0, 4)
    assert len(supervision.Detections.merge([given, empty])) == len(given)


@pytest.mark.slow
def test_places_attributes_and_faces(exports: Exports) -> None:
    place = load(exports.source("places").file, DecodeSpec(abstain=1.0), device="cpu")(IMAGE)
    assert place.latlng is None
    place = load(exports.source("places").file, device="cpu")(IMAGE)
    assert -90 <= place.latlng[0] <= 90
    assert sum(place.region.probabilities) >= 0.9
    assert len(place.region.tokens) == len(place.region.probabilities)
    traits = load(exports.source("attributes").file, device="cpu")(IMAGE)
    assert set(traits.present) <= set(traits.names) == set(TRAITS.names)
    assert traits.top(2) == list(zip(traits.names, traits.probabilities, strict=True))[:2]
    one, other = load(exports.source("faces").file, device="cpu")(photos()[:2])
    assert one.distance(one) == pytest.approx(0, abs=1e-5)
    assert one.distance(other) == pytest.approx(
        ((one.embedding - other.embedding) ** 2).sum(), abs=1e-5
    )
    with pytest.raises(InputError, match="holds no threshold"):
        one.same_person(other)
    for answer in (place, traits, one):
        assert json.loads(json.dumps(answer.to_dict()))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (np.zeros((8, 8, 3), np.float32), r"float32 \(8, 8, 3\).*\(255 \* image\)"),
        (np.full((8, 8, 3), 9.0), "convert it to 0..255 and uint8; OpenCV reads BGR"),
        (np.zeros((3, 8, 8), np.uint8), r"image\.transpose\(1, 2, 0\)"),
        (np.zeros((8, 8), np.uint8), r"np\.dstack"),
        (np.zeros((8, 8, 4), np.uint8), "drop the alpha channel"),
        (np.zeros((2, 8, 8, 3), np.uint8), r"pass a batch as a list"),
        (np.zeros((0, 8, 3), np.uint8), r"uint8 \(0, 8, 3\)"),
        (torch.zeros(8, 8, 3), r"image\.permute\(2, 0, 1\)"),
        (torch.zeros(2, 3, 8, 8), "pass a batch as a list"),
        (torch.full((3, 8, 8), 2.0), "floats from 2 to 2, but 0..1 is expected"),
        (torch.full((3, 8, 8), -1.0), "leave out mean and standard deviation"),
        (torch.full((3, 8, 8), torch.nan), "floats from nan to nan"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), "torch.int64"),
        (PIL.Image.new("I;16", (8, 8)), "mode 'I;16', which has more than 8 bits"),
        (b"no image", "the image: not an image"),
        (None, "NoneType: no image; pass a path"),
        ({"file": "a.jpg"}, "dict: no image"),
        ([IMAGE, 3], "image 1: is a int, and no image"),
        ([IMAGE, IMAGE[..., 0]], "image 1: an array of uint8"),
        ("gone.jpg", r"gone\.jpg: cannot be read"),
        (Path(), "is a folder; pass a list of its files"),
    ],
)
def test_what_is_no_image(classifier: LoadedModel, given: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        classifier(given)


@pytest.mark.slow
def test_a_folder_means_the_run_or_the_one_model_in_it(exports: Exports, tmp_path: Path) -> None:
    weights = exports.source("classifier").file.read_bytes()
    with pytest.raises(InputError, match=r"holds no model: neither model\.safetensors"):
        load(tmp_path)
    (tmp_path / "a.safetensors").write_bytes(weights)
    assert load(tmp_path, device="cpu").path == tmp_path / "a.safetensors"
    (tmp_path / "b.onnx").write_bytes(b"")
    with pytest.raises(InputError, match=r"holds 2 models; name one of them: a\.safet.*, b\.onnx"):
        load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(weights)
    assert load(str(tmp_path), device="cpu").path == tmp_path
    with pytest.raises(InputError, match=r"no such file or folder$"):
        load(tmp_path / "gone")
    with pytest.raises(InputError, match="fetched only with hub=True"):
        load("me/pets")


@pytest.mark.slow
def test_the_hub_is_asked_only_if_told(
    exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    (tmp_path / "model.safetensors").write_bytes(exports.source("classifier").file.read_bytes())

    def fetch(name: str, files: tuple[str, ...]) -> Path:
        assert files == ("model.safetensors",)
        asked.append(name)
        return tmp_path

    monkeypatch.setattr(loading, "fetch_hub", fetch)
    assert load("me/pets", hub=True, device="cpu").task == "classification"
    assert asked == ["me/pets"]
    with pytest.raises(InputError, match="leave out hub=True"):
        load(tmp_path, hub=True)


@pytest.mark.slow
def test_arguments_that_do_not_fit(exports: Exports, tmp_path: Path) -> None:
    file = exports.source("classifier").file
    for error, options in (
        ("DetectOptions: .* is for classification", {"args": (DetectOptions(),)}),
        ("threads=2: .* is no export", {"threads": 2}),
        ("batch_size=0: 1 or more", {"batch_size": 0}),
        ("device elsewhere: not on this machine", {"device": "elsewhere"}),
        ("head=boxes: .* is for classification alone", {"head": "boxes"}),
        ("names its own classes", {"labels": "names.txt"}),
    ):
        args: Any = options.pop("args", ())
        with pytest.raises(InputError, match=error):
            load(file, *args, **options)
    card = exports.source("classifier").card
    several = replace(card, task="multitask", model={"heads": {"classes": {}, "boxes": {}}})
    save_weights(tmp_path / "model.safetensors", {"body.a": torch.zeros(1)}, several)
    with pytest.raises(InputError, match="several heads; choose one by head=: classes, boxes"):
        load(tmp_path)
    save_weights(tmp_path / "gan.safetensors", {}, Card("dcgan", {}, card.flavour, CLASSES))
    with pytest.raises(InputError, match="weights for dcgan answer no images"):
        load(tmp_path / "gan.safetensors")


@pytest.mark.slow
def test_an_export_answers_without_torch(exports: Exports, tmp_path: Path) -> None:
    """And without all else that the runtime's users need not install."""
    code = (
        "import sys\n"
        "absent = ('torch', 'torchvision', 'matplotlib', 'scipy', 'tyro', 'tqdm', 'safetensors')\n"
        "for name in absent: sys.modules[name] = None\n"
        "from tasks import load\n"
        "image, weights, *files = sys.argv[1:]\n"
        "for file in files:\n"
        "    answer = load(file, threads=1)(image)\n"
        "    print(type(answer).__name__, answer.draw().size, len(answer.to_dict()))\n"
        "try: load(weights)\n"
        "except ValueError as error: print(error)\n"
        "assert not any(sys.modules[name] for name in absent)\n"
        "assert 'datasets.boxes' not in sys.modules\n"
    )
    save_image(tmp_path / "a.png", IMAGE)
    weights = exports.source("classifier").file
    files = [exports.file(kind) for kind in ("classifier", "ssd", "places")]
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a.png", weights, *files],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    for name in ("ClassAnswer", "BoxAnswer", "PlaceAnswer"):
        assert name in done.stdout
    assert "needs PyTorch to run" in done.stdout


@pytest.mark.slow
def test_an_export_answers_as_its_model(exports: Exports) -> None:
    """In the runtime itself, whose device and options are checked."""
    file = exports.file("ssd")
    model = load(file, threads=1)
    assert model.device == "cpu"
    same = DetectOptions(post=replace(POST, score_threshold=0.5))
    found, expected = model(IMAGE), load(exports.source("ssd").file, same, device="cpu")(IMAGE)
    assert found.names == expected.names
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.1)
    with pytest.raises(InputError, match="is run on the CPU"):
        load(file, device="cuda")
    with pytest.raises(InputError, match="proposals=9: not for an export"):
        load(file, DetectOptions(proposals=9))


def test_read_image_is_the_one_decoder(file: Path) -> None:
    np.testing.assert_array_equal(read_image(file, upright=True), IMAGE)
