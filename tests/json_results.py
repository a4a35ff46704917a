"""What commands print with ``--json``, against the schemas of docs/schemas/.

``python -m tests.json_results`` writes the schema that is made of the applications' own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache, wraps
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource

from tests.house import ROOT

SCHEMAS = ROOT / "docs/schemas"
ROWS = "predict_row"
# Training commands that print more than training.json says.
_OTHER_TRAININGS = ("train_multi", "train_gan")
# Where the schema of some results lies beside others.
_FILES = {"evaluate": "report"}


def schema_of(tool: str) -> str:
    """Name of the schema of a command's result."""
    if tool.startswith("train_") and tool not in _OTHER_TRAININGS:
        return "training"
    return _FILES.get(tool, tool)


@cache
def schemas() -> dict[str, dict[str, Any]]:
    """All schemas by name."""
    files = sorted(SCHEMAS.glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


@cache
def _registry() -> Registry:
    known = [(f"{one}.json", Resource.from_contents(text)) for one, text in schemas().items()]
    return Registry().with_resources(known)


def fault_of(data: Any, name: str) -> str:
    """Why data are not as one of the schemas says; empty if they are."""
    fault = fault_in(data, schemas()[name])
    return fault and f"{name}.json: {fault}"


def fault_in(data: Any, schema: Mapping[str, Any]) -> str:
    """Why data are not as a schema says; empty if they are."""
    found = best_match(Draft202012Validator(schema, registry=_registry()).iter_errors(data))
    return "" if found is None else f"{found.json_path}: {found.message:.600}"


def strict(text: str) -> Any:
    """JSON without the numbers that it does not have. Raises ValueError for those."""

    def refuse(number: str) -> None:
        raise ValueError(f"{number} is no number of JSON")

    return json.loads(text, parse_constant=refuse)


def check_results() -> None:
    """Check what each command prints as its result from now on, with ``--json`` or without.

    Only predict.py has less to say without the flag.
    """
    from datasets.names import shown_in
    from tools import cli

    if hasattr(cli.result, "__wrapped__"):
        return

    def checked(result: Callable[..., None]) -> Callable[..., None]:
        @wraps(result)
        def check(common: Any, data: dict[str, Any], text: str) -> None:
            tool = Path(sys.argv[0]).stem
            known = schema_of(tool) in schemas()  # Tests call it without a command, too.
            whole = common.json or tool != "predict"
            # Tests of flags replace the training by nothing; other processes print nothing.
            if known and whole and data and int(os.environ.get("RANK", 0)) == 0:
                fault = fault_of(strict(json.dumps(shown_in(data))), schema_of(tool))
                assert not fault, fault
            result(common, data, text)

        return check

    cli.result = checked(cli.result)


def rows_schema() -> dict[str, Any]:
    """The schema of a row of predict.py, by the applications' own schemas."""
    from tasks.application import PhotoApplication
    from tasks.applications import APPLICATIONS

    image = {
        "file": {
            "type": "string",
            "description": "The image as it was named on the command line, or found below a "
            "folder of it. A frame of a video follows `#`.",
        },
        "width": {"type": "integer", "minimum": 1},
        "height": {"type": "integer", "minimum": 1},
    }
    rows = [
        {
            **one.schema,
            "title": one.title,
            "required": [*image, *one.schema["required"]],
            "properties": {**image, **one.schema["properties"]},
        }
        for one in APPLICATIONS
        if isinstance(one, PhotoApplication)
    ]
    unique = {json.dumps(row["properties"]): row for row in reversed(rows)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{ROWS}.json",
        "title": "A line of predictions.jsonl, written by tools/predict.py",
        "anyOf": list(reversed(unique.values())),
    }


if __name__ == "__main__":
    text = f"{json.dumps(rows_schema(), indent=2)}\n"
    (SCHEMAS / f"{ROWS}.json").write_text(text, encoding="utf-8")
