"""Whether a translation of a network of 8 bits answers as the network that was measured."""

from pathlib import Path

import numpy as np
import pytest

from tools.flows.int8_files import refuse_apart

OUT = Path("model.tflite")


def answer(head: str = "", *, moved: float = 0.0, label: int = 1) -> dict[str, np.ndarray]:
    boxes = np.array([[10, 10, 60, 50], [30, 20, 90, 90]], np.float32) + np.float32(moved)
    return {
        f"{head}boxes": boxes,
        f"{head}scores": np.array([0.9, 0.4], np.float32),
        f"{head}labels": np.array([label, 2]),
    }


@pytest.mark.parametrize("head", ["", "boxes_"])
def test_boxes_of_a_translation_are_compared(head: str) -> None:
    refuse_apart([answer(head)], [answer(head, moved=2.0)], OUT)
    nothing = {name: values[:0] for name, values in answer(head).items()}
    refuse_apart([nothing, answer(head)], [nothing, answer(head)], OUT)
    for other in (answer(head, moved=40.0), answer(head, label=3)):
        with pytest.raises(ValueError, match=rf"not written: of its {head}boxes and those of the"):
            refuse_apart([answer(head)], [other], OUT)


def test_turned_sides_are_no_boxes_of_a_translation() -> None:
    """What a wrong order of the four numbers gives."""
    other = answer()
    other["boxes"] = other["boxes"][:, [1, 0, 3, 2]] * np.array([1, 3, 1, 3], np.float32)
    with pytest.raises(ValueError, match="by score"):
        refuse_apart([answer()], [other], OUT)
