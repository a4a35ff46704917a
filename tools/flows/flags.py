"""The command line of a training tool: flags override a preset and values stored with weights."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from configs.io import from_json, to_json
from configs.presets import Presets
from configs.training import SquareTraining, Training
from datasets.errors import InputError
from datasets.json_files import read_object
from datasets.yaml_files import read_yaml
from tools import cli
from tools.flows.run_folder import named_again, resumed
from tools.flows.slurm import join_srun

Config = TypeVar("Config", bound=Training)
Square = TypeVar("Square", bound=SquareTraining)


def peek(*names: str) -> dict[str, str]:
    """The values of some flags on the command line, before it can be parsed as a whole.

    Its defaults depend on a preset, which depends on other flags. Errors in flags are left to the
    parser; the first of several values is used.
    """
    return {name: words[0] for name, words in peek_all(*names).items() if words}


def peek_all(*names: str) -> dict[str, list[str]]:
    """All values of each of these flags."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in names:
        parser.add_argument(f"--{name}", nargs="*", default=[], dest=name)
    given, _ = parser.parse_known_args()
    return vars(given)


def asks_for_help() -> bool:
    """Whether help is requested, for which no file is read."""
    return bool({"-h", "--help"} & set(sys.argv))


def read_flags(presets: Presets[Config], *, has_data: bool | None = None) -> Config:
    """The command line over the preset's defaults, or the configuration of a run to resume.

    With ``--config``, the command line overrides the settings of a file.

    Args:
        presets: Presets of the tool.
        has_data: Whether own data is given, if ``--data`` does not determine it.

    Raises:
        InputError: If the preset is unknown, the weights cannot be read, the folder cannot be
            resumed, or the file of settings cannot be used.
    """
    join_srun()
    given = peek("preset", "data", "weights", "teacher", "targets", "backbone", "config")
    file = Path(given["config"]) if given.get("config") and not asks_for_help() else None
    if file is not None:
        if "preset" in given:
            raise InputError(f"--preset {given['preset']}: --config {file} names its own")
        default = _of_file(presets, file)
    else:
        default = presets.choose(
            given.get("preset", "auto"),
            has_data=bool(given.get("data")) if has_data is None else has_data,
            has_weights=bool(given.get("weights")),
            has_teacher=bool(given.keys() & {"teacher", "targets"}),
        )
        if isinstance(default, SquareTraining):
            default = _suited(default, given.get("weights"), given.get("backbone"))
    config = cli.parse(type(default), default)
    if config.resume is not None:
        return resumed(config, config.resume)
    if file is not None:
        named = [a.split("=")[0] for a in sys.argv[1:] if a.startswith("--")]
        named_again(config, default, f"--config {file}: it", None, named)
        config = replace(config, config=None)
    if isinstance(config, SquareTraining) and isinstance(default, SquareTraining):
        used, seen = config.interpolation, default.interpolation
        if config.weights is not None and used != seen:
            cli.say(f"note: --interpolation {used}: the weights have seen {seen}")
    return replace(config, preset=default.preset, command=cli.shown_command())


def _of_file(presets: Presets[Config], file: Path) -> Config:
    """A preset with what a file of settings says; where output goes is not repeated.

    Raises:
        InputError: If it is no file of settings of this tool.
    """
    yaml = file.suffix.lower() != ".json"
    found = dict((read_yaml if yaml else read_object)(file).values)
    try:
        base = presets.choose(
            str(found.get("preset", "auto")),
            has_data=found.get("data") is not None,
            has_weights=found.get("weights") is not None,
        )
        saved = from_json(type(base), _merged(to_json(base), found), texts=yaml)
    except InputError as error:
        raise InputError(f"--config {file}: {error}") from error
    common = replace(saved.common, out=None, json=False)
    return replace(saved, preset=base.preset, resume=None, config=None, common=common)


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """A nested table with the values of another one in place of its own."""
    tables = {
        key: _merged(base[key], value)
        for key, value in over.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return {**base, **over, **tables}


def _suited(default: Square, weights: str | None, backbone: str | None) -> Square:
    """Defaults that suit the weights to start from, or else the body."""
    if weights and not asks_for_help():
        return as_stored(default, Path(weights))
    if backbone not in (None, "mobilenet_v1"):  # Which alone has widths.
        plain = replace(default.model, alpha=1.0, variant="standard", stem_stride=2)
        return replace(default, model=plain)
    return default


def as_stored(default: Square, weights: Path) -> Square:
    """Defaults from the weights to start from: their model, and how they preprocess images.

    A preset without cropping is not changed: its images are whole (faces, small ones).
    """
    from tasks.runtime.open import read_card

    card = read_card(weights)
    told = {name: card.model[name] for name in default.model.to_json() if name in card.model}
    seen = card.flavour.input
    return replace(
        default,
        model=replace(default.model, **told),
        interpolation=seen.interpolation,
        crop=seen.crop if default.crop < 1 else default.crop,
    )
