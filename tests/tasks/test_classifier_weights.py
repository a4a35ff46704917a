"""Classifiers from weights files: imported, equal to their originals, loaded, started from."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from backbone.flavour import Flavour
from backbone.formats.partial import PartialFlavour
from backbone.formats.recognise import read_network
from backbone.imagenet_classes import WORDNET_IDS
from backbone.layers import Normalize
from backbone.spec import BackboneName, Variant
from datasets.types import ClassMap
from tasks import start_network
from tasks.body_spec import ClassifierSpec
from tasks.classification.application import CLASSIFICATION
from tasks.classification.evaluator import columns_in
from tasks.classification.import_weights import Imported, import_network
from tasks.classification.model import Classifier, class_rows, start_classifier
from tasks.classification.reference_runtimes import compare, run_keras, run_timm
from tasks.detection.model import build_detector
from tasks.detection.spec import DetectorSpec
from tasks.predictor import open_network
from tasks.weights.card import Card
from tasks.weights.file import save_weights
from tests.backbone import foreign

FLAVOUR = Flavour(padding="symmetric", bn_eps=1e-5)
GIVEN = PartialFlavour(bn_eps=1e-5, activation="leaky_relu:0.1", mean=(0.4,) * 3, std=(0.3,) * 3)


def whole(flavour: Flavour) -> Flavour:
    return replace(flavour, input=replace(flavour.input, crop=1.0))


def pictures(size: int) -> Tensor:
    rng = torch.Generator().manual_seed(size)
    return torch.randint(0, 256, (2, 3, size, size), generator=rng, dtype=torch.uint8)


def distance(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference relative to the largest value."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


def bring(source: Path, size: int) -> tuple[Imported, Any, Tensor]:
    """Import a source and normalise pictures for it."""
    network = read_network(source)
    imported = import_network(network, PartialFlavour(size=size))
    return imported, network, Normalize(imported.card.flavour.input)(pictures(size))


@pytest.mark.slow
@pytest.mark.parametrize("size", [224, 225])
@pytest.mark.parametrize(
    ("name", "alpha", "variant"),
    [("100", 1.0, "standard"), ("100h", 1.0, "conv_head"), ("125", 1.25, "standard")],
)
def test_timm_answers_the_same(
    tmp_path: Path, name: str, alpha: float, variant: Variant, size: int
) -> None:
    timm = pytest.importorskip("timm")
    state = foreign.timm_names(foreign.random_state(10, alpha, variant=variant))
    original = timm.create_model(f"mobilenetv1_{name}", num_classes=10)
    original.load_state_dict(state)
    save_file(state, tmp_path / "m.safetensors")
    imported, network, inputs = bring(tmp_path / "m.safetensors", size)
    assert imported.card.model["variant"] == variant
    with torch.inference_mode():
        theirs = original.eval()(inputs)
        ours = imported.model(pictures(size))
        assert distance(ours, theirs) < 1e-5
        again = run_timm(tmp_path / "m.safetensors", network, inputs)
    assert torch.equal(again, theirs.softmax(1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "top", "size"),
    [
        ("h5", True, 224),
        ("weights.h5", False, 224),
        ("keras", True, 193),
        ("weights.h5", True, 193),
        ("h5", False, 193),
        ("keras", False, 240),
    ],
)
def test_keras_answers_the_same(
    tmp_path: Path, kind: str, top: bool, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    pytest.importorskip("h5py")
    shape = (size, size, 3)
    end = {"classes": 10} if top else {"include_top": False, "pooling": "avg"}
    model = keras.applications.MobileNet(weights=None, alpha=0.25, input_shape=shape, **end)
    rng = torch.Generator().manual_seed(1)
    for variable in model.weights:
        value = torch.rand(tuple(variable.shape), generator=rng)
        small = variable.name not in ("gamma", "moving_variance")
        variable.assign((value - 0.5) * 0.4 if small else value + 0.5)
    file = tmp_path / f"m.{kind}"
    (model.save_weights if kind == "weights.h5" else model.save)(file)
    imported, network, inputs = bring(file, size)
    with torch.inference_mode():
        runtime, theirs = run_keras(file, network, inputs)
        assert ("filled" in runtime) == (kind == "weights.h5")
        if top:
            ours = imported.model(pictures(size)).softmax(1)
        else:
            ours = imported.model(inputs)[32].mean((2, 3))
    assert imported.card.flavour.padding == ("same" if size == 224 else "keras")
    assert distance(ours, theirs) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["same", "symmetric", "keras"])
@pytest.mark.parametrize("columns", [6, 0, 1001])
def test_what_has_no_runtime_is_compared_with_a_plain_network(
    tmp_path: Path, padding: str, columns: int
) -> None:
    """The file's tensors through functions of torch alone; a slip in ours shows."""
    state = foreign.in_order(foreign.random_state(columns))
    torch.save(state, tmp_path / "m.pth")
    given = replace(GIVEN, padding=padding, size=65)
    network = read_network(tmp_path / "m.pth")
    imported = import_network(network, given)
    same = compare(tmp_path / "m.pth", network, imported, pictures(65))
    assert not isinstance(same, str)
    assert same.difference < 1e-5
    assert str(same).startswith("against a plain network of its tensors (no runtime of PyTorch")
    with torch.no_grad():
        imported.model.state_dict()[f"{'body.' * bool(columns)}layers.3.depthwise.bn.bias"] += 0.5
    other = compare(tmp_path / "m.pth", network, imported, pictures(65))
    assert not isinstance(other, str)
    assert other.difference > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("top", [True, False])
def test_older_keras_files_are_read(tmp_path: Path, top: bool) -> None:
    h5py = pytest.importorskip("h5py")
    state = foreign.random_state(6 * top)
    with h5py.File(tmp_path / "mobilenet_5_0_128_tf.h5", "w") as file:
        for name, value in foreign.keras_names(state).items():
            file[name] = value
    network = read_network(tmp_path / "mobilenet_5_0_128_tf.h5")
    assert all(torch.equal(network.state[name], value) for name, value in state.items())
    imported = import_network(network)
    assert imported.card.flavour == replace(
        Flavour(), input=replace(Flavour().input, size=128, crop=0.875)
    )
    odd = import_network(network, PartialFlavour(size=240)).card.flavour
    assert odd.padding == "keras"
    with pytest.raises(ValueError, match=r"padding keras: .* multiple of 32"):
        build_detector(DetectorSpec(), ClassMap.from_names(["cat"]), whole(odd))


# Class names.


@pytest.fixture
def labelled(tmp_path: Path) -> Callable[..., Imported]:
    """Import a timm file with some columns and a list of names."""

    def bring(columns: int, names: str) -> Imported:
        save_file(foreign.timm_names(foreign.random_state(columns)), tmp_path / "m.safetensors")
        (tmp_path / "names.txt").write_text(names)
        network = read_network(tmp_path / "m.safetensors")
        return import_network(network, labels=tmp_path / "names.txt" if names else None)

    return bring


@pytest.mark.slow
def test_class_names(labelled: Callable[..., Imported]) -> None:
    numbered = labelled(3, "")
    assert numbered.card.classes.names == ("class 1", "class 2", "class 3")
    assert not numbered.background
    named = labelled(3, "a\nb\n\nc\n")
    assert named.card.classes.names == ("a", "b", "c")
    double = labelled(3, "crane\ndog\ncrane\n")
    assert double.card.classes.names == ("crane (class 1)", "dog", "crane (class 3)")


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "names"), [(1001, ""), (4, "background\na\nb\nc")])
def test_the_background_column_is_dropped(
    labelled: Callable[..., Imported], columns: int, names: str
) -> None:
    imported = labelled(columns, names)
    assert imported.background
    assert len(imported.card.classes) == columns - 1
    rows = foreign.random_state(columns)
    state = imported.state()
    assert torch.equal(state["head.2.weight"], rows["head.2.weight"][1:])
    assert torch.equal(state["head.2.bias"], rows["head.2.bias"][1:])


@pytest.mark.parametrize(("columns", "count"), [(4, 3), (3, 4), (6, 2)])
def test_too_few_or_too_many_names(
    labelled: Callable[..., Imported], columns: int, count: int
) -> None:
    names = "\n".join("abcdef"[:count])
    with pytest.raises(ValueError, match=f"{columns} class columns, but {count} class names in"):
        labelled(columns, names)


@pytest.mark.slow
def test_imagenets_columns_have_wordnet_ids(labelled: Callable[..., Imported]) -> None:
    """Whatever they are called, data of WordNet ids find them."""
    lines = [f"n{number:08d} name {k}" for k, number in enumerate(WORDNET_IDS)]
    some = [2, 998, 0]
    data = ClassMap(tuple(WORDNET_IDS[k] for k in some), ("great_white_shark", "ear", "tench"))
    plain = ["background", "tench, Tinca tinca", *(f"crane {k // 2}" for k in range(999))]
    for columns, names in ((1000, ""), (1001, ""), (1000, lines), (1001, lines), (1001, plain)):
        classes = labelled(columns, "\n".join(names)).card.classes
        assert classes.ids == WORDNET_IDS
        found = columns_in(classes, data)
        assert found is not None
        assert [found.tolist().index(k) for k in range(3)] == some
        assert (found >= 0).sum() == 3
    assert labelled(1000, "").card.classes.names[0] == "n01440764"
    assert labelled(2, "n01440764\nn01443537 goldfish").card.classes == ClassMap(
        (1440764, 1443537), ("n01440764", "goldfish")
    )
    own = labelled(1000, "\n".join(f"mine {k}" for k in range(1000))).card.classes
    assert own.ids == tuple(range(1, 1001))
    with pytest.raises(ValueError, match=r"names\.txt: class id 1440764 occurs twice"):
        labelled(2, "n01440764 a\nn01440764 b")


def test_a_body_has_no_names(labelled: Callable[..., Imported]) -> None:
    with pytest.raises(ValueError, match="has no classifier, only a body"):
        labelled(0, "a\nb")


# Loading and starting.


@pytest.fixture
def saved(labelled: Callable[..., Imported], tmp_path: Path) -> Path:
    imported = labelled(3, "cat\ndog\nfox")
    save_weights(tmp_path / "c.safetensors", imported.state(), imported.card)
    return tmp_path / "c.safetensors"


def rewrite(path: Path, **change: Any) -> None:
    from tasks.weights.head_files import load_weights

    state, card = load_weights(path)
    save_weights(path, state, replace(card, **change))


def card_model(path: Path) -> dict[str, Any]:
    return open_network(path, CLASSIFICATION)[1].model


@pytest.mark.slow
def test_a_saved_classifier_answers_the_same(
    labelled: Callable[..., Imported], saved: Path
) -> None:
    imported = labelled(3, "cat\ndog\nfox")
    model, card = open_network(saved, CLASSIFICATION)
    assert card.classes.names == ("cat", "dog", "fox")
    assert card.model == ClassifierSpec(alpha=foreign.ALPHA, size=224).to_json()
    with torch.inference_mode():
        assert torch.equal(model(pictures(64)), imported.model(pictures(64)))


@pytest.mark.slow
def test_cards_that_do_not_fit_are_refused(saved: Path) -> None:
    model = card_model(saved)
    rewrite(saved, task="detection")
    with pytest.raises(ValueError, match="weights are for detection, not for classification"):
        open_network(saved, CLASSIFICATION)
    rewrite(saved, task="classification", model={**model, "odd": 1})
    with pytest.raises(ValueError, match=r"card's model cannot be built: missing or unknown: odd"):
        open_network(saved, CLASSIFICATION)
    rewrite(saved, model={**model, "size": 96})
    with pytest.raises(ValueError, match="size 96 in the model, but 224 in the flavour"):
        open_network(saved, CLASSIFICATION)
    rewrite(saved, model=model, classes=ClassMap.from_names(["cat", "dog"]))
    with pytest.raises(ValueError, match=r"'head\.2\.weight' is \(3, 51\) in the weights"):
        open_network(saved, CLASSIFICATION)


def fresh(classes: int = 4, **spec: Any) -> Classifier:
    whole = ClassifierSpec(**{"alpha": foreign.ALPHA, "size": 96, **spec})
    flavour = replace(FLAVOUR, input=replace(FLAVOUR.input, interpolation="bicubic"))
    return Classifier(whole, classes, flavour)


@pytest.mark.slow
def test_known_classes_keep_their_rows(saved: Path) -> None:
    model, (old, _) = fresh(), open_network(saved, CLASSIFICATION)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    classes = ClassMap.from_names(["emu", "fox", "cat", "yak"])
    card, new = start_classifier(model, classes, saved)
    assert new == ["emu", "yak"]
    assert card.classes.names == ("cat", "dog", "fox")
    state, theirs = model.state_dict(), old.state_dict()
    for name in ("head.2.weight", "head.2.bias"):
        assert torch.equal(state[name][1], theirs[name][2])
        assert torch.equal(state[name][2], theirs[name][0])
        assert torch.equal(state[name][[0, 3]], before[name][[0, 3]])
    body = [name for name in state if name.startswith("body.")]
    assert all(torch.equal(state[name], theirs[name]) for name in body)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", get_args(BackboneName))
def test_rows_go_with_their_classes_on_any_body(
    monkeypatch: pytest.MonkeyPatch, backbone: BackboneName
) -> None:
    """Of other bodies only the last layer is real: they are large."""
    size = 299 if backbone == "inception_v3" else 224
    spec, names = ClassifierSpec(backbone=backbone, size=size), ClassMap.from_names(list("abc"))
    with torch.device("meta"):
        old, new = Classifier(spec, 3), Classifier(spec, 4)
    keys = class_rows(old.body)
    for model in (old, new):
        last = model.get_submodule(keys[0].rpartition(".")[0]).to_empty(device="cpu")
        for number, parameter in enumerate(last.parameters()):
            nn.init.uniform_(parameter, number, number + 1)
    state, before = old.state_dict(), [new.get_parameter(key).clone() for key in keys]
    card = Card("classification", spec.to_json(), old.body.flavour, names)
    monkeypatch.setattr(start_network, "load_weights", lambda _: (dict(state), card))
    _, fresh = start_classifier(new, ClassMap.from_names(list("cxay")), Path("w"))
    assert fresh == ["x", "y"]
    for key, value in zip(keys, before, strict=True):
        assert torch.equal(new.get_parameter(key)[[0, 2]], state[key][[2, 0]])
        assert torch.equal(new.get_parameter(key)[[1, 3]], value[[1, 3]])


@pytest.mark.slow
def test_squeezenet_comes_back_whole(tmp_path: Path) -> None:
    classes, file = ClassMap.from_names(list("abc")), tmp_path / "s.safetensors"
    old = Classifier(ClassifierSpec(backbone="squeezenet", size=64), 3).eval()
    card = Card("classification", old.spec.to_json(), old.body.flavour, classes)
    save_weights(file, old.state_dict(), card)
    new = Classifier(old.spec, 3).eval()
    assert start_classifier(new, classes, file)[1] == []
    with torch.inference_mode():
        answers = [
            model(pictures(64)) for model in (old, new, open_network(file, CLASSIFICATION)[0])
        ]
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])


@pytest.mark.slow
def test_other_tasks_lend_their_body(saved: Path) -> None:
    model, (old, card) = fresh(), open_network(saved, CLASSIFICATION)
    state = {k: v for k, v in old.state_dict().items() if k.startswith("body.")}
    state["box.weight"] = torch.zeros(3)
    theirs = {"backbone": "mobilenet_v1", "alpha": foreign.ALPHA, "framework": "ssd300"}
    lent = Card("detection", theirs, card.flavour, ClassMap.from_names(["cat"]))
    save_weights(saved, state, lent)
    head = model.state_dict()["head.2.weight"].clone()
    _, new = start_classifier(model, ClassMap.from_names(["cat", "a", "b", "c"]), saved)
    assert new == ["cat", "a", "b", "c"]
    assert torch.equal(model.state_dict()["head.2.weight"], head)
    assert torch.equal(model.body.layers[0].conv.weight, old.body.layers[0].conv.weight)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ({"alpha": 0.25}, "have alpha 0.05, the model to train 0.25; choose --alpha 0.05"),
        ({"variant": "shallow"}, "choose --variant standard"),
        ({"backbone": "vgg16", "alpha": 1.0}, "choose --backbone mobilenet_v1"),
    ],
)
def test_another_body_is_refused(saved: Path, spec: dict[str, Any], part: str) -> None:
    if spec.get("backbone") == "vgg16":
        with torch.device("meta"):
            model = Classifier(ClassifierSpec(**spec), 4)
    else:
        model = fresh(**spec)
    with pytest.raises(ValueError, match=part):
        start_classifier(model, ClassMap.from_names(list("abcd")), saved)


@pytest.mark.slow
def test_another_flavour_is_refused(saved: Path) -> None:
    spec = ClassifierSpec(alpha=foreign.ALPHA, size=96)
    told = "have padding symmetric, bn_eps 1e-05, the model to train padding same, bn_eps 0.001$"
    with pytest.raises(ValueError, match=told):
        start_classifier(Classifier(spec, 4), ClassMap.from_names(list("abcd")), saved)
