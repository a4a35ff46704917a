"""Programs that use the shipped model, with its names and shapes filled in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from datasets.images import Image
from tasks.runtime.runtimes import runtime_of
from tasks.runtime.session import FACTS_KEY
from tasks.runtime.square import Square, squares_of
from tools.shipping.templates.cpp import CPP
from tools.shipping.templates.kotlin import KOTLIN
from tools.shipping.templates.python import PYTHON
from tools.shipping.templates.swift import SWIFT

# Names of element types in each language; C++ and Swift have those of their runtimes.
_KINDS: Mapping[str, tuple[str, str, str]] = {
    "float32": ("FloatArray", "Float", "float"),
    "int32": ("IntArray", "Int32", "std::int32_t"),
    "int64": ("LongArray", "Int64", "std::int64_t"),
    "bool": ("BooleanArray", "Bool", "bool"),
    "uint8": ("ByteArray", "UInt8", "std::uint8_t"),
    "int8": ("ByteArray", "Int8", "std::int8_t"),
}
FILES = {"Kotlin": "Model.kt", "Swift": "Model.swift", "C++": "model.cpp", "Python": "model.py"}
_TEMPLATES = {"Kotlin": KOTLIN, "Swift": SWIFT, "C++": CPP, "Python": PYTHON}


@dataclass(frozen=True)
class Output:
    """An output of a graph: its name, shape for one image, element type, and description."""

    name: str
    shape: tuple[int, ...]
    kind: str
    about: str

    @property
    def count(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Form:
    """What a program has to know about an exported file.

    Attributes:
        target: Target of the file.
        file: Name of the file.
        outputs: Its outputs, in their order.
        square: How its input is prepared; None if it takes images of any size.
    """

    target: str
    file: str
    outputs: tuple[Output, ...]
    square: Square | None


def form_of(file: Path, described: Mapping[str, str], image: Image) -> Form:
    """Inspect an export by running it on an image (H, W, 3).

    Args:
        file: The export.
        described: Description of each output.
        image: Any image.

    Raises:
        InputError: If its runtime does not run it.
    """
    runtime = runtime_of(file)
    assert runtime is not None
    session = runtime.session(file, 1)
    squares = squares_of(json.loads(session.notes[FACTS_KEY]), file)
    ready = [one(image) for one in squares.values()] or [image]
    found = session.run(*(one[None] for one in ready))
    outputs = tuple(
        Output(name, tuple(value.shape), str(value.dtype), described.get(name, ""))
        for name, value in zip(session.outputs, found, strict=True)
    )
    return Form(runtime.target, file.name, outputs, next(iter(squares.values()), None))


def write_snippets(forms: Sequence[Form]) -> dict[str, str]:
    """Programs by the name of their file, each for the first target that its language has."""
    programs = {}
    for language, templates in _TEMPLATES.items():
        form = next((one for one in forms if one.target in templates), None)
        if form is not None:
            text = Template(templates[form.target]).substitute(_values(form))
            programs[FILES[language]] = text.lstrip("\n")
    return programs


def _values(form: Form) -> dict[str, Any]:
    """What templates are filled with."""
    square = form.square or Square(0, "whole")
    names = [one.name for one in form.outputs]
    about = [f"{one.name} {list(one.shape)} {one.kind}: {one.about}" for one in form.outputs]
    return {
        "FILE": form.file,
        "STEM": Path(form.file).name.partition(".")[0],
        "SUFFIX": form.file.partition(".")[2],
        "SIDE": square.size,
        "SHORT": round(square.size / square.crop),
        "WHOLE": square.fit == "whole",
        "KEEP_ASPECT": square.keep_aspect,
        "FILTER": square.interpolation.upper(),
        "CENTRE": str(square.fit == "centre").lower(),
        "OUTPUT_LIST": json.dumps(names),
        "CPP_NAMES": ", ".join(f'"{name}"' for name in names),
        "COUNT": len(names),
        "HASH_ABOUT": "\n".join(f"#   {line}" for line in about),
        "SLASH_ABOUT": "\n".join(f"//   {line}" for line in about),
        "KOTLIN_ARRAYS": "\n".join(
            f"    val {_camel(one.name)} = {_kotlin_array(one)}" for one in form.outputs
        ),
        "KOTLIN_MAP": ", ".join(f'"{one.name}" to {_camel(one.name)}' for one in form.outputs),
        "SWIFT_FIELDS": "\n".join(
            f"    var {_camel(one.name)}: [{_KINDS[one.kind][1]}] = []" for one in form.outputs
        ),
        "SWIFT_READS": "\n".join(
            f"        answer.{_camel(one.name)} = try read({number})"
            for number, one in enumerate(form.outputs)
        ),
        "SWIFT_ORT_READS": "\n".join(
            f'        answer.{_camel(one.name)} = try read("{one.name}")' for one in form.outputs
        ),
        "CPP_PRINTS": "\n".join(
            f'    show("{one.name}", {_cpp_data(form.target, number, one)}, {one.count});'
            for number, one in enumerate(form.outputs)
        ),
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _kotlin_array(one: Output) -> str:
    inner = f"{_KINDS[one.kind][0]}({one.shape[-1]})"
    for count in reversed(one.shape[:-1]):
        inner = f"Array({count}) {{ {inner} }}"
    return inner


def _cpp_data(target: str, number: int, one: Output) -> str:
    kind = _KINDS[one.kind][2]
    if target == "onnx":
        return f"found[{number}].GetTensorData<{kind}>()"
    if target == "litert":
        return f"interpreter->typed_output_tensor<{kind}>({number})"
    return f"found.get()[{number}].toTensor().const_data_ptr<{kind}>()"
