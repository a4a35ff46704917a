"""Teachers from everywhere: whose answers they give, in whose columns, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

from backbone.imagenet_classes import WORDNET_IDS
from datasets.types import ClassMap
from tasks.body_spec import ClassifierSpec
from tasks.classification.model import Classifier
from tasks.classification.spec import TASK
from tasks.classification.teachers import open_teacher
from tasks.distillation.spec import DistillSpec
from tasks.weights.card import Card
from tasks.weights.file import save_weights

TENCH_AND_GOLDFISH = ClassMap((1443537, 1440764), ("goldfish", "tench"))
TWO = ClassMap.from_names(["a", "b"])
SHUFFLE = "shufflenet_v2_x0_5"  # The smallest of torchvision's.
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def images() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8, generator=generator)


@pytest.fixture
def ours(tmp_path: Path, images: Tensor) -> tuple[Path, Classifier]:
    """A teacher that knows c, a and b, in this order."""
    torch.manual_seed(2)
    spec = ClassifierSpec(alpha=0.1, size=48)
    model = Classifier(spec, 3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train().raw(images)  # Sets the statistics.
    model.eval()
    flavour = model.body.flavour
    card = Card(TASK, spec.to_json(), flavour, ClassMap.from_names(["c", "a", "b"]))
    save_weights(tmp_path / "model.safetensors", model.state_dict(), card)
    return tmp_path, model


def normalised(images: Tensor) -> Tensor:
    return (images / 255 - MEAN.view(-1, 1, 1)) / STD.view(-1, 1, 1)


@pytest.mark.slow
def test_our_columns_are_found_by_name(ours: tuple[Path, Classifier], images: Tensor) -> None:
    folder, model = ours
    teacher = open_teacher(DistillSpec(teacher=str(folder)), TWO)
    with torch.no_grad():
        answers = model(images)
    assert (answers[0] - answers[1]).abs().min() > 1e-3
    torch.testing.assert_close(teacher(images), answers[:, [1, 2]], rtol=1e-3, atol=1e-4)
    teacher.check(2, 32)


@pytest.mark.slow
def test_a_class_that_our_teacher_lacks(ours: tuple[Path, Classifier]) -> None:
    classes = ClassMap.from_names(["a", "d", "e"])
    with pytest.raises(ValueError, match=r"lacks 2 of the data's 3 classes \(d, e\); it knows c,"):
        open_teacher(DistillSpec(teacher=str(ours[0])), classes)


@pytest.mark.slow
def test_timm_with_imagenets_columns(tmp_path: Path, images: Tensor) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(3)
    model = timm.create_model("test_resnet", pretrained=False).eval()
    file = tmp_path / "w.safetensors"
    save_file(model.state_dict(), file)
    spec = DistillSpec(teacher="timm:test_resnet", teacher_weights=file)
    teacher = open_teacher(spec, TENCH_AND_GOLDFISH)
    assert teacher.size == 160
    large = torch.nn.functional.interpolate(
        images.float(), size=160, mode="bilinear", antialias=True
    )
    wanted = model((large / 255 - 0.5) / 0.5)[:, [1, 0]]
    torch.testing.assert_close(teacher(images), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_timm_with_columns_of_the_data(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model("test_resnet", pretrained=False, num_classes=2).eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    spec = DistillSpec(teacher="timm:test_resnet", teacher_weights=tmp_path / "w.safetensors")
    open_teacher(spec, TWO).check(2, 48)
    with pytest.raises(
        ValueError, match="has 2 columns, which are neither ImageNet's 1000 nor th"
    ):
        open_teacher(spec, ClassMap.from_names(["a", "b", "c"]))


@pytest.mark.slow
def test_timm_from_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm")
    hub = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    model = timm.create_model("test_resnet", pretrained=False)
    spec = DistillSpec(teacher="timm:test_resnet")
    with pytest.raises(ValueError, match="are not in the hub's cache, and nothing is downloaded"):
        open_teacher(spec, TENCH_AND_GOLDFISH)
    inside = tmp_path / f"models--{model.pretrained_cfg['hf_hub_id'].replace('/', '--')}"
    (inside / "snapshots" / "abc").mkdir(parents=True)
    (inside / "refs").mkdir()
    (inside / "refs" / "main").write_text("abc")
    save_file(model.state_dict(), inside / "snapshots" / "abc" / "model.safetensors")
    open_teacher(spec, TENCH_AND_GOLDFISH).check(2, 48)


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ValueError, match="--teacher timm:x: timm is not installed; pip install"):
        open_teacher(DistillSpec(teacher="timm:x"), TWO)


@pytest.mark.slow
def test_torchvision_from_a_file(tmp_path: Path, images: Tensor) -> None:
    torch.manual_seed(4)
    model = models.get_model(SHUFFLE, weights=None).eval()
    torch.save(model.state_dict(), tmp_path / "w.pth")
    spec = DistillSpec(teacher=f"torchvision:{SHUFFLE}", teacher_weights=tmp_path / "w.pth")
    teacher = open_teacher(spec, TENCH_AND_GOLDFISH)
    large = torch.nn.functional.interpolate(
        images.float(), size=224, mode="bilinear", antialias=True
    )
    wanted = model(normalised(large))[:, [1, 0]]
    torch.testing.assert_close(teacher(images), wanted, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="the class 'a' has no WordNet id among them"):
        open_teacher(spec, TWO)


@pytest.mark.slow
def test_torchvision_from_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    spec = DistillSpec(teacher=f"torchvision:{SHUFFLE}")
    with pytest.raises(
        ValueError, match=r"shufflenetv2_x0.5-\w+.pth is not in .*checkpoints, and"
    ):
        open_teacher(spec, TENCH_AND_GOLDFISH)
    name = Path(models.get_model_weights(SHUFFLE).DEFAULT.url).name
    file = tmp_path / "hub" / "checkpoints" / name
    file.parent.mkdir(parents=True)
    torch.save(models.get_model(SHUFFLE, weights=None).state_dict(), file)
    assert open_teacher(spec, TENCH_AND_GOLDFISH).size == 224


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "no such run folder or weights file; else write timm:NAME"),
        ("torchvision:resnet19", "no such model; the nearest is resnet1"),
        ("torchvision:fasterrcnn_resnet50_fpn", "no such model"),
        ("timm:test_resnets", "no such model; the nearest is test_resnet"),
        ("no_such_module:teach", r"cannot be imported \(ModuleNotFoundError: No module named"),
        ("math:pi", "is no function and no module, but 3.14"),
        ("math:tau_of", r"cannot be imported \(AttributeError"),
    ],
)
def test_names_that_lead_nowhere(name: str, message: str) -> None:
    if name.startswith("timm"):
        pytest.importorskip("timm")
    with pytest.raises(ValueError, match=f"--teacher {name}: {message}"):
        open_teacher(DistillSpec(teacher=name), TWO)


def test_weights_of_another_model(tmp_path: Path) -> None:
    spec = DistillSpec(teacher=f"torchvision:{SHUFFLE}", teacher_weights=tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"--teacher-weights .*w.pth: no such file"):
        open_teacher(spec, TENCH_AND_GOLDFISH)
    torch.save({"odd.weight": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w.pth: the weights lack 'conv1.0.weight'"):
        open_teacher(spec, TENCH_AND_GOLDFISH)


def test_any_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: Tensor) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_teacher.py").write_text(
        "def teach(x):\n    return x.float().mean((2, 3))[:, :2]\n"
    )
    teacher = open_teacher(DistillSpec(teacher="my_teacher:teach"), TWO)
    teacher.check(2, 48)
    torch.testing.assert_close(teacher(images), images.float().mean((2, 3))[:, :2])


def test_imagenets_classes_rise() -> None:
    assert len(WORDNET_IDS) == 1000
    assert list(WORDNET_IDS) == sorted(WORDNET_IDS)
    assert (WORDNET_IDS[0], WORDNET_IDS[1], WORDNET_IDS[-1]) == (1440764, 1443537, 15075141)
