"""Weights files as people break them, and what a tool must say then."""

import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file


def expect(answer: tuple[int, str, str], *parts: str, status: int = 2) -> None:
    """The exit status, and all parts in the message, wherever its lines break."""
    code, out, err = answer
    assert code == status, err
    assert "Traceback" not in err
    shown = re.sub(r"[\s│]+", " ", out + err)
    for part in parts:
        assert part in shown, shown


def empty(data: Path) -> None:
    """No pictures, no annotations."""
    shutil.rmtree(data)
    data.mkdir()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def without_card(file: Path) -> None:
    save_file({"weight": torch.zeros(3)}, file)


def pickled(file: Path) -> None:
    file.write_bytes(pickle.dumps({"weight": 1}))


def card_of(change: Callable[[dict[str, object]], None]) -> Callable[[Path], None]:
    """Rewrite a file with another card."""

    def rewrite(file: Path) -> None:
        with safe_open(file, framework="pt") as opened:
            card = json.loads(opened.metadata()["card"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        change(card)
        save_file(tensors, file, metadata={"card": json.dumps(card)})

    return rewrite
