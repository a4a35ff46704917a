"""Optimisers, schedules, averaged weights, files, metrics: the parts of the engine."""

import errno
import json
import math
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from backbone.flavour import Flavour
from backbone.formats import pytorch
from backbone.mobilenet_v1 import MobileNetV1
from datasets.errors import InputError
from datasets.types import ClassMap
from tasks.fitting.checkpoint import AtomicCheckpointIO
from tasks.fitting.engine import AveragedWeights
from tasks.fitting.history import MetricsFile, read_metrics
from tasks.fitting.optim import RMSpropTF, decay_groups, rate_factor
from tasks.fitting.spec import FitSpec
from tasks.weights.atomic_write import replacing, write_text
from tasks.weights.card import Card
from tasks.weights.file import read_weights_card as read_card
from tasks.weights.file import save_weights
from tasks.weights.head_files import load_weights


def test_rmsprop_is_tensorflows() -> None:
    """Mean square from 1, epsilon inside the root, the rate inside the momentum."""
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = RMSpropTF([weight], lr=0.1, momentum=0.8, eps=0.5)
    value, square, velocity = [1.0, -2.0], [1.0, 1.0], [0.0, 0.0]
    for step in range(5):
        gradient = [0.3 * (step + 1), -1.5]
        weight.grad = torch.tensor(gradient)
        optimizer.step()
        for k in range(2):
            square[k] = 0.9 * square[k] + 0.1 * gradient[k] ** 2
            velocity[k] = 0.8 * velocity[k] + 0.1 * gradient[k] / math.sqrt(square[k] + 0.5)
            value[k] -= velocity[k]
        assert weight.tolist() == pytest.approx(value, rel=1e-5)


def test_rmsprop_decays_weights_and_skips_what_has_no_gradient() -> None:
    one, two = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    one.grad = torch.zeros(1)
    RMSpropTF([{"params": [one, two], "weight_decay": 0.5}], lr=0.1, eps=1.0).step()
    assert one.item() < 1
    assert two.item() == 1


def test_no_weight_decay_on_depthwise_norms_and_biases() -> None:
    body = MobileNetV1(0.25)
    decayed, free = decay_groups(body, 1e-4)
    kept = {id(p) for p in decayed["params"]}
    for name, parameter in body.named_parameters():
        should = "conv" in name and "depthwise" not in name
        assert (id(parameter) in kept) == should, name
    assert decayed["weight_decay"] == 1e-4
    assert free["weight_decay"] == 0
    total = len(decayed["params"]) + len(free["params"])
    assert total == len(list(body.parameters()))


def test_cosine_schedule() -> None:
    factor = rate_factor(FitSpec(epochs=10, warmup=0.1), 100)
    assert factor(0) == pytest.approx(0.1)
    assert factor(9) == 1
    assert factor(55) == pytest.approx(0.5)
    assert factor(100) == pytest.approx(0, abs=1e-9)
    assert all(factor(k) >= factor(k + 1) for k in range(10, 99))


def test_exponential_schedule_is_the_papers() -> None:
    spec = FitSpec(epochs=10, warmup=0, schedule="exponential", decay_rate=0.94, decay_epochs=2.5)
    factor = rate_factor(spec, 1000)
    assert factor(249) == 1
    assert factor(250) == pytest.approx(0.94)
    assert factor(999) == pytest.approx(0.94**3)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("epochs", 0, "--epochs 0 must be 1 or more"),
        ("batch_size", -4, "--batch-size -4"),
        ("lr", 0, "--lr 0 must be above 0"),
        ("ema_decay", 1, r"--ema-decay 1 is not in \[0, 1\)"),
        ("clip_norm", -1, "--clip-norm -1"),
        ("bn_momentum", 0, "--bn-momentum 0"),
    ],
)
def test_impossible_recipes_are_named(field: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FitSpec(**{field: value})


def test_averaging_warms_up() -> None:
    """The first averages follow quickly; integer counters are copied."""
    model = nn.BatchNorm1d(1)
    averaging = AveragedWeights(0.999)
    kept = torch.optim.swa_utils.AveragedModel(model, use_buffers=True, **averaging._kwargs)
    values = []
    for step in range(1, 5):
        nn.init.constant_(model.weight, float(step))
        assert model.num_batches_tracked is not None
        model.num_batches_tracked.fill_(step)
        kept.update_parameters(model)
        values.append(float(kept.module.weight.detach()))
    expected = [1.0]
    for count, step in enumerate(range(2, 5), start=1):
        decay = (1 + count) / (10 + count)
        expected.append(decay * expected[-1] + (1 - decay) * step)
    assert values == pytest.approx(expected)
    assert int(kept.module.num_batches_tracked) == 4


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "good")

    def fail() -> None:
        with replacing(file) as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fail()
    assert file.read_text() == "good"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_full_disk_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoint and weights writers hit a real ENOSPC half way."""
    checkpoint, weights = tmp_path / "last.ckpt", tmp_path / "model.safetensors"
    writer = AtomicCheckpointIO()
    state = {"a": torch.arange(1000.0)}
    card = empty_card()
    writer.save_checkpoint(state, checkpoint)
    save_weights(weights, state, card)
    before = (checkpoint.read_bytes(), weights.read_bytes())
    named = Path.with_name

    def onto_full_disk(self: Path, name: str) -> Path:
        link = named(self, name)
        if name.endswith(".tmp"):
            link.symlink_to(FULL)
        return link

    monkeypatch.setattr(Path, "with_name", onto_full_disk)
    bigger = {"a": torch.arange(1e6)}
    with pytest.raises(OSError, match=r"last\.ckpt"):
        writer.save_checkpoint(bigger, checkpoint)
    monkeypatch.undo()
    assert (checkpoint.read_bytes(), weights.read_bytes()) == before
    assert torch.equal(writer.load_checkpoint(checkpoint)["a"], state["a"])
    assert torch.equal(load_weights(weights)[0]["a"], state["a"])


def empty_card() -> Card:
    return Card("detection", {}, Flavour(), ClassMap((), ()))


def test_a_cut_checkpoint_is_named(tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    writer = AtomicCheckpointIO()
    writer.save_checkpoint({"a": torch.arange(1000)}, file)
    file.write_bytes(file.read_bytes()[:900])
    with pytest.raises(ValueError, match=r"last\.ckpt: damaged checkpoint"):
        writer.load_checkpoint(file)


@pytest.mark.slow
def test_a_changed_bit_is_found(tmp_path: Path, rng: np.random.Generator) -> None:
    """Wherever it lies, the file is refused; or it holds what it held, where nothing is read."""
    checkpoint, weights = tmp_path / "last.ckpt", tmp_path / "model.safetensors"
    writer, state = AtomicCheckpointIO(), {"a": torch.arange(3000.0), "b": torch.tensor(2)}
    writer.save_checkpoint(state, checkpoint)
    save_weights(weights, state, empty_card())
    readers: dict[Path, Callable[[Path], Any]] = {
        checkpoint: writer.load_checkpoint,
        weights: lambda file: load_weights(file)[0],
    }
    for file, read in readers.items():
        whole, refused = file.read_bytes(), 0
        for place in rng.integers(len(whole), size=60).tolist():
            damaged = bytearray(whole)
            damaged[place] ^= 1 << int(rng.integers(8))
            file.write_bytes(damaged)
            found = state
            try:
                found = read(file)
            except InputError:
                refused += 1
            assert all(torch.equal(found[name], state[name]) for name in state)
        assert refused > 50
        file.write_bytes(whole)
        read(file)


def test_a_changed_weight_is_told_with_both_digests(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_weights(file, {"a": torch.arange(9.0)}, empty_card())
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.write_bytes(whole)
    told = r"its card states digest \w{12}, but its tensors and card have \w{12}"
    with pytest.raises(ValueError, match=f"{re.escape(str(file))}: damaged: {told}"):
        load_weights(file)
    read_card(file)  # Which looks at no tensor.


def test_weights_without_a_digest_are_read(tmp_path: Path) -> None:
    """Files of older versions have none."""
    file = tmp_path / "model.safetensors"
    told = json.dumps(empty_card().to_json())
    save_file({"a": torch.arange(9.0)}, file, metadata={"card": told})
    assert load_weights(file)[1] == empty_card()


class Evil:
    """Unpickling it would run a command."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("echo owned",)


def test_a_damaged_history_is_named(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    head = "step,name,value\r\n1,loss,.5\r\n"
    for torn in ("2,lo", "2,loss,", "\0\0\0", "2"):
        file.write_text(head + torn)
        assert read_metrics(file)[:1] == [(1, "loss", 0.5)]
    for wrong in ("2,loss,abc", "x,y", "\u00b2,loss,1", "\0"):
        file.write_text(f"{head}{wrong}\r\n3,loss,1\r\n")
        with pytest.raises(InputError, match=r"metrics.csv: line 3 is no step, name and value"):
            read_metrics(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"metrics.csv: not text in UTF-8"):
        read_metrics(file)


def test_a_checkpoint_without_some_of_it_is_damaged(tmp_path: Path) -> None:
    """Lightning would begin anew with what is lacking, without a word."""
    file = tmp_path / "last.ckpt"
    states: tuple[object, ...] = ([1], {"epoch": 0}, {"loops": {}})
    for state in states:
        torch.save(state, file)
        with pytest.raises(InputError, match=r"damaged checkpoint .*it has no 'loops'"):
            AtomicCheckpointIO(("loops",)).load_checkpoint(file)


def test_checkpoints_run_no_code(tmp_path: Path) -> None:
    torch.save({"a": Evil()}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match="damaged checkpoint"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "last.ckpt")


def test_metrics_go_on_after_a_resume(tmp_path: Path) -> None:
    first = MetricsFile(tmp_path)
    for step in (0, 10, 20):
        first.log_metrics({"loss": float(step), "epoch": 0}, step)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("30,lo")  # Killed in the middle of a line.
    resumed = MetricsFile(tmp_path)
    resumed.log_metrics({"loss": 9.5}, 20)
    assert read_metrics(tmp_path / "metrics.csv") == [
        (0, "loss", 0.0),
        (10, "loss", 10.0),
        (20, "loss", 9.5),
    ]
    assert read_metrics(tmp_path / "none.csv") == []


@pytest.mark.parametrize(
    "line", [b"\xc2\xb2,loss,1", b"9,loss,0.1\x02", b"9,loss", b"9,loss,1,2", b"9,\xb3,1", b"{}"]
)
def test_metrics_of_something_else_are_refused(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "metrics.csv"
    file.write_bytes(b"step,name,value\r\n0,loss,1\r\n" + line + b"\r\n")
    with pytest.raises(InputError, match=r"metrics\.csv: (line 3 is no step|not text in UTF-8)"):
        read_metrics(file)
    file.write_bytes(file.read_bytes().rstrip())  # A line that a full disk has cut.
    if b"\xb3" not in line:
        assert read_metrics(file) == [(0, "loss", 1.0)]


def test_a_checkpoint_that_unpacks_to_far_more_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even for its check sums."""
    with zipfile.ZipFile(tmp_path / "last.ckpt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(100_000))
    monkeypatch.setattr(pytorch, "_MOST_UNPACKED", 90_000)
    monkeypatch.delattr(zipfile.ZipFile, "testzip")
    with pytest.raises(InputError, match=r"last.ckpt: damaged checkpoint .*unpacks to 0.0 GB"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "last.ckpt")
