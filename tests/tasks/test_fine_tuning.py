"""Fine-tuning: rates that fall with depth, a body that is held for some epochs, frozen norms."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backbone.bodies import build_body
from datasets.builtin.shapes_and_breeds import draw_shapes
from datasets.labels.augmentation import LabelTransform
from datasets.labels.opening import open_labelled
from datasets.labels.torch_set import LabelledSet, label_loader
from tasks.application import NoOptions
from tasks.body_spec import ClassifierSpec
from tasks.classification.application import CLASSIFICATION
from tasks.classification.evaluator import LabelEvaluator
from tasks.classification.model import Classifier
from tasks.classification.task import ClassificationTask
from tasks.fitting.checkpoint import InterruptedRun, RunKeeper
from tasks.fitting.engine import fit
from tasks.fitting.optim import decay_groups, make_optimizer, rate_factor, rate_groups
from tasks.fitting.spec import FitSpec
from tasks.fitting.stopwatch import Stopwatch
from tasks.predictor import Model
from tasks.weights.card import Card
from tests.tools.runs import assert_equal

SMALL = ClassifierSpec(alpha=0.25, size=32)


def rates(model: nn.Module, spec: FitSpec) -> dict[str, tuple[float, float]]:
    """(rate, weight decay) by name; every parameter is in one group exactly."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found: dict[str, tuple[float, float]] = {}
    for group in make_optimizer(model, spec).param_groups:
        for parameter in group["params"]:
            assert names[id(parameter)] not in found
            found[names[id(parameter)]] = group["lr"], group["weight_decay"]
    assert found.keys() == set(names.values())
    return found


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adamw"])
def test_rates_fall_with_depth(optimizer: Any) -> None:
    spec = FitSpec(optimizer=optimizer, lr=0.8, weight_decay=1e-3, layer_decay=0.5)
    found = rates(Classifier(SMALL, 4), spec)
    for name, (rate, decay) in found.items():
        parts = name.split(".")
        depth = 0 if parts[0] == "head" else 14 - int(parts[2])
        assert rate == pytest.approx(0.8 * 0.5**depth), name
        free = "bn" in parts or "bias" in parts or "depthwise" in parts
        assert decay == (0 if free else 1e-3), name
    assert found["head.2.weight"] == (0.8, 1e-3)
    assert found["body.layers.13.pointwise.conv.weight"][0] == pytest.approx(0.4)


def test_without_layer_decay_there_are_two_groups() -> None:
    model = Classifier(SMALL, 4)
    assert len(make_optimizer(model, FitSpec()).param_groups) == 2
    assert {rate for rate, _ in rates(model, FitSpec(lr=0.3)).values()} == {0.3}


def test_the_schedule_scales_all_rates() -> None:
    model, spec = Classifier(SMALL, 4), FitSpec(lr=1.0, layer_decay=0.5, warmup=0)
    optimizer = make_optimizer(model, spec)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate_factor(spec, 100))
    first = [group["lr"] for group in optimizer.param_groups]
    for _ in range(50):
        optimizer.step()
        schedule.step()
    later = [group["lr"] for group in optimizer.param_groups]
    factor = rate_factor(spec, 100)
    assert factor(50) < 0.51
    assert later == pytest.approx([rate * factor(50) / factor(0) for rate in first])


@pytest.mark.parametrize("name", ["mobilenet_v1", "vgg16", "squeezenet", "resnet50"])
def test_every_body_tells_its_depths(name: Any) -> None:
    with torch.device("meta"):
        body = build_body(name)
    depths = body.depths()
    assert set(depths) == set(body.parameters())
    assert sorted(set(depths.values())) == list(range(1, max(depths.values()) + 1))
    first, last = next(body.parameters()), list(body.parameters())[-1]
    assert depths[first] == max(depths.values())
    assert depths[last] == 1
    groups = rate_groups(decay_groups(body, 0.1), depths, 1.0, 0.9)
    assert sum(len(group["params"]) for group in groups) == len(depths)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets") / "shapes"
    return draw_shapes(root, num_train=3, num_val=1, size=32)


FIT = FitSpec(
    epochs=4, batch_size=8, optimizer="adamw", lr=1e-2, frozen_epochs=2, layer_decay=0.8,
    ema_decay=0.9, eval_every=1, weight_decay=0.1, precision="fp32",
)  # fmt: skip


class Watched(ClassificationTask):
    """Keeps the model's tensors after each epoch, and stops where it is told to."""

    stop_at: int | None = None

    def on_train_start(self) -> None:
        self.states = [self.copied()]

    def copied(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.model.state_dict().items()}

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if self.global_step == self.stop_at:
            raise KeyboardInterrupt
        super().on_train_batch_start(batch, batch_idx)

    def on_train_epoch_end(self) -> None:
        self.states.append(self.copied())


def train(
    shapes: Path,
    folder: Path,
    spec: FitSpec,
    *,
    resume: bool = False,
    stop_at: int | None = None,
    watch: Stopwatch | None = None,
) -> Watched:
    data, val = open_labelled(shapes, "train"), open_labelled(shapes, "val")
    torch.manual_seed(0)
    network = Classifier(SMALL, 8)
    card = Card(CLASSIFICATION.name, SMALL.to_json(), network.body.flavour, data.classes)
    task = Watched(
        Model(CLASSIFICATION, card, folder, NoOptions(), network=network),
        spec,
        0,
        LabelEvaluator(val.labels, val.classes),
        monitor=CLASSIFICATION.metric.name,
        targets=lambda batch: batch["targets"],
    )
    task.stop_at = stop_at
    sets = (
        LabelledSet(data, LabelTransform(32, "small")),
        LabelledSet(val, LabelTransform(32, "none")),
    )
    loaders = [
        label_loader(part, batch_size=8, train=k == 0, workers=0) for k, part in enumerate(sets)
    ]
    fit(
        task,
        *loaders,
        folder=folder,
        device="cpu",
        resume=resume,
        write_best=lambda *_: None,
        watch=watch or Stopwatch(),
    )
    return task


def changed(one: dict[str, Tensor], two: dict[str, Tensor]) -> set[str]:
    return {name for name, value in one.items() if not torch.equal(value, two[name])}


@pytest.mark.slow
def test_the_body_is_held_and_let_go(shapes: Path, tmp_path: Path) -> None:
    """Not a bit of it changes in the first epochs, batch norm's statistics included."""
    task = train(shapes, tmp_path, FIT)
    states = task.states
    assert len(states) == 5
    for before, after in ((0, 1), (1, 2)):
        assert changed(states[before], states[after]) == {"head.2.weight", "head.2.bias"}
    for before, after in ((2, 3), (3, 4)):
        assert changed(states[before], states[after]) == set(states[0])
    assert all(parameter.requires_grad for parameter in task.model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [4, 7, 10])
def test_resuming_is_exact(shapes: Path, tmp_path: Path, stop_at: int) -> None:
    """Stopped inside an epoch with the body held, with it free, and where it is let go."""
    spec = replace(FIT, save_minutes=1e-6)
    straight = train(shapes, tmp_path / "one", spec)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(shapes, tmp_path / "two", spec, stop_at=stop_at)
    resumed = train(shapes, tmp_path / "two", spec, resume=True)
    assert not changed(straight.copied(), resumed.copied())
    states = [
        torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("one", "two")
    ]
    for part in ("optimizer_states", "current_model_state"):
        assert_equal(states[0][part], states[1][part], part)


@pytest.mark.slow
def test_a_stop_on_a_logging_step_keeps_its_row(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.fitting.engine._LOG_EVERY", 2)
    train(shapes, tmp_path / "one", FIT)
    step = Watched.training_step

    def signalled(self: Watched, batch: Any, batch_idx: int) -> Tensor:
        if self.global_step == 3:  # The fourth, which is logged.
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Watched, "training_step", signalled)
        with pytest.raises(InterruptedRun):
            train(shapes, tmp_path / "two", FIT)
    train(shapes, tmp_path / "two", FIT, resume=True)
    one, two = ((tmp_path / name / "metrics.csv").read_text() for name in ("one", "two"))
    assert "\n3,loss," in one
    assert one == two


@pytest.mark.slow
def test_time_is_counted_over_all_processes(shapes: Path, tmp_path: Path) -> None:
    """Also from a checkpoint of before it was kept, which tells nothing of it."""
    spec = replace(FIT, epochs=2, save_minutes=1e-6)
    hour, later = Stopwatch(), Stopwatch()
    hour.go_on_from(3600)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(shapes, tmp_path, spec, stop_at=4, watch=hour)
    train(shapes, tmp_path, spec, resume=True, watch=later)
    assert 3600 < later.seconds < 7200
    assert later.minutes >= 60
    fresh = Stopwatch()
    RunKeeper(tmp_path, 1, lambda *_: None, fresh).load_state_dict({"best": 0.5})
    assert fresh.seconds < 3600


@pytest.mark.slow
def test_frozen_norms_stay_frozen_when_the_body_is_let_go(shapes: Path, tmp_path: Path) -> None:
    states = train(shapes, tmp_path, replace(FIT, freeze_bn=True)).states
    moved = changed(states[0], states[-1])
    assert not any("running" in name or "tracked" in name for name in moved)
    assert "body.layers.0.conv.weight" in moved
