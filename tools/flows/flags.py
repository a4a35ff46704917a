"""The command line of a training tool: flags over a preset, or over what weights tell."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from configs.training import SquareTraining
from datasets.spec import Interpolation
from tools import cli
from tools.flows.run_folder import resumed

Config = TypeVar("Config", bound=SquareTraining)


def read_flags(kind: type[Config], choose: Callable[..., Config]) -> Config:
    """The command line over the preset's defaults, or the configuration of a run to resume.

    Args:
        kind: What is configured.
        choose: Gives the defaults of a preset, as ``choose_cls_preset``.
    """
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("preset", "data", "weights", "backbone"):
        peek.add_argument(f"--{name}")
    given, _ = peek.parse_known_args()
    default = choose(
        given.preset or "auto", has_data=bool(given.data), has_weights=bool(given.weights)
    )
    seen = None
    if given.weights and not {"-h", "--help"} & set(sys.argv):
        default, seen = _as_told(default, given.weights)
    elif given.backbone not in (None, "mobilenet_v1"):  # Which alone has widths.
        plain = replace(default.model, alpha=1.0, variant="standard", stem_stride=2)
        default = replace(default, model=plain)
    config = cli.parse(kind, default)
    if config.resume is None:
        if seen not in (None, config.interpolation):
            cli.say(f"note: --interpolation {config.interpolation}: the weights have seen {seen}")
        return replace(config, preset=default.preset, command=cli.shown_command())
    return resumed(config, config.resume)


def _as_told(default: Config, weights: str) -> tuple[Config, Interpolation]:
    """Defaults as the weights to start from tell: their model, and how they have seen photos.

    A recipe that crops nothing keeps to that: its pictures are whole (faces, small ones).
    """
    from tasks.runtime.open import read_card

    card = read_card(Path(weights))
    told = {name: card.model[name] for name in default.model.to_json() if name in card.model}
    seen = card.flavour.input
    changed = replace(
        default,
        model=replace(default.model, **told),
        interpolation=seen.interpolation,
        crop=seen.crop if default.crop < 1 else default.crop,
    )
    return changed, seen.interpolation
