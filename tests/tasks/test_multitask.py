"""Several heads on one trunk: one pass, own norms, balance, files, loader."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datasets import loader_processes
from datasets.loader import EpochSampler, ResumableLoader
from datasets.task_mix import InTurn, TaskMix
from datasets.types import ClassMap
from tasks.application import PhotoApplication
from tasks.applications import photo_application
from tasks.body_network import BodyNetwork
from tasks.body_spec import ClassifierSpec
from tasks.classification.application import CLASSIFICATION
from tasks.classification.model import Classifier, start_classifier
from tasks.detection.application import DETECTION
from tasks.detection.model import build_detector, detector_flavour
from tasks.detection.spec import DetectorSpec
from tasks.face_attributes.application import FACE_ATTRIBUTES
from tasks.face_attributes.model import AttributeNet
from tasks.face_embedding.load import describe_model
from tasks.face_embedding.model import FaceEmbedder
from tasks.face_embedding.spec import EmbedderSpec
from tasks.fitting.optim import decay_groups
from tasks.multitask.balance import Balance
from tasks.multitask.cost import count_params, pass_costs
from tasks.multitask.graph import MultiGraph
from tasks.multitask.load import build_stored, load_multi
from tasks.multitask.model import MultiTaskNet
from tasks.multitask.stored import Stored, multi_card, read_stored
from tasks.photo_graph import PhotoGraph
from tasks.predictor import open_network
from tasks.runtime.open import read_card
from tasks.weights.card import Card
from tasks.weights.file import save_weights
from tasks.weights.head_files import load_weights

SPEC = ClassifierSpec(alpha=0.1, size=32)
NAMES = ClassMap.from_names(["cat", "dog", "bee"])


def models() -> dict[str, BodyNetwork]:
    """A head of each kind, with weights of its own."""
    torch.manual_seed(3)
    detector = build_detector(DetectorSpec(alpha=0.1, size=64), NAMES)
    heads: dict[str, Any] = {
        "classes": Classifier(SPEC, 3),
        "attributes": AttributeNet(SPEC, 3),
        "embedding": FaceEmbedder(EmbedderSpec(alpha=0.1, size=32, dim=8)),
        "boxes": detector,
    }
    for model in heads.values():  # Statistics that differ from a fresh net's, and among heads.
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 2)
    return heads


def make_net(own: tuple[str, ...] = ()) -> MultiTaskNet:
    heads = models()
    return MultiTaskNet(models()["classes"].body, heads, own).eval()


def photo(size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=generator)


def save(net: MultiTaskNet, path: Path) -> Stored:
    """Write a net as a run does."""
    tasks = {"classes": "classification", "attributes": "face_attributes", "boxes": "detection"}
    cards = {}
    for name in net.heads:
        model = net.head(name)
        flavour = replace(
            detector_flavour("mobilenet_v1"),
            input=replace(detector_flavour("mobilenet_v1").input, size=model.spec.size),
        )
        told = model.spec.to_json()
        if name == "embedding":
            assert isinstance(model.spec, EmbedderSpec)
            told = describe_model(model.spec, "none")
        classes = ClassMap((), ()) if name == "embedding" else NAMES
        cards[name] = Card(tasks.get(name, "face_embedding"), told, flavour, classes)
    card = multi_card(SPEC.to_json(), cards, card=cards["classes"])
    out = net.left_out()
    state = {k: v for k, v in net.state_dict().items() if not k.startswith(out)}
    save_weights(path, state, card)
    return read_stored(path)


@pytest.mark.slow
@pytest.mark.parametrize("own", [(), ("classes", "attributes", "embedding", "boxes"), ("boxes",)])
def test_one_pass_answers_as_each_model_does(own: tuple[str, ...]) -> None:
    net = make_net(own)
    assert net.sizes == {32: ["classes", "attributes", "embedding"], 64: ["boxes"]}
    passes: list[int] = []
    net.body.layers[0].register_forward_hook(lambda *_: passes.append(1))
    with torch.inference_mode():
        for size in net.sizes:
            found = net.answers(photo(size))
            assert list(found) == net.sizes[size]
            for name, given in found.items():
                torch.testing.assert_close(given, net.head(name).raw(photo(size)), rtol=0, atol=0)
    if not own:
        assert len(passes) == 2 + 4, "one for all of a size; then one for each"
    with pytest.raises(ValueError, match=r"48 pixels: the heads take 32 \(classes, .*64 \(boxes"):
        net.answers(photo(48))


@pytest.mark.slow
def test_a_trunk_without_heads_learns_its_norms() -> None:
    """Its norms are held only where heads have others; none that come later would."""
    for own, held in (((), False), (tuple(models()), True)):
        body = make_net(own).body
        assert body.layers[1].depthwise.bn.weight.requires_grad is not held
    bare = MultiTaskNet(models()["classes"].body, {})
    assert all(parameter.requires_grad for parameter in bare.body.parameters())


@pytest.mark.slow
def test_own_norms_on_common_convolutions() -> None:
    """Nobody's norms are another's, and no parameter is handed to the optimiser twice."""
    net = make_net(("classes", "attributes"))
    one, two = net.head("classes").body, net.head("attributes").body
    assert one is not two
    assert net.head("embedding").body is net.body
    assert one.layers[1].depthwise.conv is two.layers[1].depthwise.conv
    assert one.layers[1].depthwise.bn is not two.layers[1].depthwise.bn
    groups = decay_groups(net, 0.1)
    chosen = [p for group in groups for p in group["params"]]
    assert len({id(p) for p in chosen}) == len(chosen)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net.train()
    losses = net.head("classes")(photo(32), torch.tensor([0, 1]))
    losses["class"].backward()
    assert two.layers[1].depthwise.bn.weight.grad is None
    assert one.layers[1].depthwise.bn.weight.grad is not None
    moved = [k for k, v in net.state_dict().items() if not torch.equal(v, before[k])]
    assert all(name.startswith("heads.classes.body") for name in moved)
    assert len(moved) == 3 * 27, "means, variances and counters of the 27 norms"


def test_balance_by_hand() -> None:
    fixed = Balance({"a": 1.0, "b": 0.5}, learnt=False)
    assert fixed({"a": torch.tensor(4.0)})["a"] == 1
    later = fixed({"a": torch.tensor(2.0), "b": torch.tensor(8.0)})
    assert later == {"a": 0.5, "b": 0.5}
    assert fixed.first.tolist() == [4, 8]
    nothing = Balance({"a": 1.0}, learnt=False)
    assert nothing({"a": torch.tensor(0.0)})["a"] == 0, "no first loss yet"
    assert nothing({"a": torch.tensor(5.0)})["a"] == 1
    learnt = Balance({"a": 1.0, "b": 3.0}, learnt=True)
    with torch.no_grad():
        learnt.log_variances.copy_(torch.tensor([0.0, math.log(2)]))
    found = learnt({"a": torch.tensor(7.0), "b": torch.tensor(5.0)})
    assert found["a"] == 1
    assert found["b"].item() == pytest.approx(3 * (0.5 + math.log(2) / 2))
    found["b"].backward()
    slope = 3 * (-0.5 + 0.5)  # exp(-s) is a half: just where the loss equals its variance / 2.
    assert learnt.log_variances.grad.tolist() == pytest.approx([0, slope], abs=1e-6)


class Numbers:
    """Samples that tell their set's name, epoch and index."""

    def __init__(self, name: str, length: int) -> None:
        self.name, self.length = name, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, draw: tuple[int, int]) -> str:
        return f"{self.name}{draw[0]}:{draw[1]}"


def mix(per_step: int = 0, **sizes: int) -> TaskMix:
    loaders = {
        name: ResumableLoader(
            Numbers(name, size),
            EpochSampler(size, shuffle=True, seed=1),
            batch_size=2,
            collate=list,
            finish=lambda batch: {"files": batch},
            workers=0,
        )
        for name, size in sizes.items()
    }
    return TaskMix(loaders, per_step=per_step, seed=5)


def test_tasks_share_the_memory_of_their_loaders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader_processes, "free_bytes", lambda: 30_000)
    both = mix(a=8, b=8)
    for loader, size in zip(both._loaders.values(), (1000, 3000), strict=True):
        loader.num_workers = 2
        monkeypatch.setattr(loader, "_batch_bytes", lambda size=size: size)
    both._share_memory()
    assert [loader.memory_share for loader in both._loaders.values()] == [0.25, 0.75]
    with pytest.warns(UserWarning, match="too little for 2 loader"):
        assert [one._fit_memory()[:2] for one in both._loaders.values()] == [(2, 1), (2, 1)]


def epochs(one: TaskMix, *numbers: int) -> list[list[str]]:
    """All steps of some epochs, chosen as the trainer does."""
    found = []
    for number in numbers:
        one.sampler.set_epoch(number)
        found += files(iter(one))
    return found


def files(batches: Iterator[Any]) -> list[list[str]]:
    return [batch["files"] for batch in batches]


def test_each_task_has_its_own_epochs() -> None:
    both = mix(a=4, b=12)
    assert len(both) == 4, "8 batches in all, two in a step"
    seen = [file for step in epochs(both, 0) for file in step]
    of_a = [file for file in seen if file[0] == "a"]
    assert sorted(of_a) == [f"a{epoch}:{k}" for epoch in range(2) for k in range(4)]
    assert len({file for file in seen if file[0] == "b"}) == 8, "two thirds of an epoch"
    rest = [file for step in epochs(both, 1) for file in step if file[0] == "b"]
    assert sorted(file for file in [*seen, *rest] if file.startswith("b0:")) == sorted(
        f"b0:{k}" for k in range(12)
    )
    with pytest.raises(ValueError, match="--heads-per-step 3: there are 2"):
        mix(per_step=3, a=4, b=4)


@pytest.mark.parametrize("per_step", [0, 1])
def test_the_mix_goes_on_at_any_step(per_step: int) -> None:
    straight = mix(per_step, a=4, b=10, c=6)
    wanted = epochs(straight, 0, 1)
    for stop in (1, 3, len(straight), len(straight) + 2):
        before, done = mix(per_step, a=4, b=10, c=6), 0
        while done < stop:
            before.sampler.set_epoch(done // len(before))
            for batch in before:
                assert batch["files"] == wanted[done]
                done += 1
                if done == stop:
                    break
        after = mix(per_step, a=4, b=10, c=6)
        after.load_state_dict(before.state_dict())
        found = files(iter(after))
        if stop < len(straight):
            found += epochs(after, 1)
        assert found == wanted[stop:]
    fresh = mix(per_step, a=4, b=10, c=6)
    assert epochs(fresh, 1) == wanted[len(straight) :], "an epoch needs none before it"


@pytest.mark.slow
def test_draws_follow_the_square_root_of_sizes() -> None:
    three = mix(1, a=2, b=8, c=18)
    count = Counter(name for step in range(6000) for name in three.drawn(step))
    np.testing.assert_allclose([count[n] / 6000 for n in "abc"], [1 / 6, 2 / 6, 3 / 6], atol=0.02)
    two = mix(2, a=2, b=8, c=18)
    assert all(len(two.drawn(step)) == 2 for step in range(9))
    turn = InTurn({"a": mix(a=4), "b": mix(b=4)})
    assert [next(iter(batch["parts"])) for batch in turn] == ["a", "a", "b", "b"]


@pytest.mark.slow
def test_a_file_gives_each_task_its_model(tmp_path: Path) -> None:
    net = make_net(("boxes",))
    stored = save(net, tmp_path / "model.safetensors")
    state, _ = load_weights(tmp_path / "model.safetensors")
    assert not any(".body." in k for k in state if k.startswith("heads.classes."))
    assert all(".bn." in k for k in state if k.startswith("heads.boxes.body."))
    again, cards = load_multi(tmp_path / "model.safetensors")
    assert list(cards) == ["classes", "attributes", "embedding", "boxes"]
    assert again.own_norms == {"boxes"}
    for name in cards:
        size = net.head(name).spec.size
        with torch.inference_mode():
            wanted, given = net.head(name).raw(photo(size)), again.head(name).raw(photo(size))
        torch.testing.assert_close(given, wanted, rtol=0, atol=0)
    applications: dict[str, PhotoApplication[Any]] = {
        "classes": CLASSIFICATION,
        "attributes": FACE_ATTRIBUTES,
        "boxes": DETECTION,
    }
    stored.save_heads(tmp_path / "heads")
    for name, application in applications.items():
        model, card = open_network(tmp_path / "heads" / f"{name}.safetensors", application)
        card = replace(card, trunk="")
        size = net.head(name).spec.size
        assert card == stored.heads[name].card
        with torch.inference_mode():
            torch.testing.assert_close(
                model.raw(photo(size)), net.head(name).raw(photo(size)), rtol=0, atol=0
            )
    fresh = Classifier(SPEC, 3, stored.card.flavour)
    start_classifier(fresh, NAMES, tmp_path / "model.safetensors")
    assert torch.equal(fresh.body.layers[0].conv.weight, net.body.layers[0].conv.weight)


@pytest.mark.slow
def test_a_head_knows_its_trunk(tmp_path: Path) -> None:
    net = make_net(("attributes",))
    stored = save(net, tmp_path / "one.safetensors")
    stored.save_heads(tmp_path / "heads")
    without = stored.with_heads({"boxes": stored.heads["boxes"]})
    for name in ("classes", "attributes"):
        without = without.attach(name, tmp_path / "heads" / f"{name}.safetensors")
    assert list(without.heads) == ["classes", "attributes", "boxes"], "in the suite's order"
    again = build_stored(without)
    with torch.inference_mode():
        for name in ("classes", "attributes"):
            wanted = net.head(name).raw(photo(32))
            torch.testing.assert_close(again.head(name).raw(photo(32)), wanted, rtol=0, atol=0)
    with torch.no_grad():
        net.body.layers[3].pointwise.bn.bias.add_(0.1)
    other = save(net, tmp_path / "two.safetensors")
    with pytest.raises(ValueError, match=r"was trained on trunk \w{12}, but .*two\.safetensors"):
        other.attach("classes", tmp_path / "heads" / "classes.safetensors")
    other.attach("attributes", tmp_path / "heads" / "attributes.safetensors")  # Its norms are own.
    with torch.no_grad():
        net.body.layers[3].pointwise.conv.weight.add_(0.1)
    third = save(net, tmp_path / "three.safetensors")
    with pytest.raises(ValueError, match="on another trunk it answers nonsense"):
        third.attach("attributes", tmp_path / "heads" / "attributes.safetensors")
    with pytest.raises(ValueError, match=r"one\.safetensors: is no head's file"):
        third.attach("classes", tmp_path / "one.safetensors")
    with pytest.raises(ValueError, match=r"no head 'places'; it has classes, attributes, emb"):
        third.single("places")
    file = tmp_path / "heads" / "classes.safetensors"
    assert read_card(file).task == "classification"
    with pytest.raises(ValueError, match=r"a head without its trunk: keep it in the folder heads"):
        open_network(file, CLASSIFICATION)
    third.save(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="on another trunk it answers nonsense"):
        open_network(file, CLASSIFICATION)


@pytest.mark.slow
def test_costs() -> None:
    net = make_net()
    small, large = pass_costs(net, measure=False)
    assert (small.size, large.heads) == (32, ("boxes",))
    width = net.body.channels[32]
    heads = [width * columns for columns in (3, 3, 8)]
    body = small.one - heads[0]
    assert small.together == body + sum(heads)
    assert small.separate == 3 * body + sum(heads)
    assert 1 < small.ratio < 1.3
    assert large.together == large.separate == large.one
    own = make_net(("classes", "attributes", "embedding"))
    assert pass_costs(own, measure=False)[0].together == small.separate, "a pass each"
    together, separate = count_params(net)
    trunk = sum(p.numel() for p in net.body.parameters())
    assert separate - together == 3 * trunk
    timed = pass_costs(MultiTaskNet(net.body, {"classes": net.head("classes")}))[0]
    assert min(timed.ms.values()) > 0


@pytest.mark.slow
@pytest.mark.parametrize("own", [(), ("attributes",)])
def test_one_graph_gives_what_the_graphs_of_each_head_give(
    own: tuple[str, ...], tmp_path: Path
) -> None:
    net = make_net(own)
    stored = save(net, tmp_path / "model.safetensors")
    cards = {name: head.card for name, head in stored.heads.items()}
    graph = MultiGraph(net, cards)
    wanted_names = ("classes_probabilities", "attributes_probabilities", "attributes_present")
    assert graph.outputs[:3] == wanted_names
    photos = torch.randint(0, 256, (2, 50, 70, 3), dtype=torch.uint8)
    with torch.inference_mode():
        found = dict(zip(graph.outputs, graph(photos), strict=True))
        for name, card in cards.items():
            single = PhotoGraph(photo_application(card.task, name), net.head(name), card)
            for output, value in zip(single.outputs, single(photos), strict=True):
                torch.testing.assert_close(found[f"{name}_{output}"], value)
