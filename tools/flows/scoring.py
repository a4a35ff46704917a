"""What an export is worth on labelled photos, in one number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.deploy import Export
from configs.tools import Evaluate
from tasks.open_model import open_model
from tasks.predictor import Model
from tools.flows.evaluating import look_at_all
from tools.flows.recipe import Exam, Recipe, recipe_for
from tools.flows.source import Source


@dataclass(frozen=True)
class Scorer:
    """An application's main metric.

    Attributes:
        metric: Its name.
        score: Of an export's file, in points of 100.
    """

    metric: str
    score: Callable[[Path], float]


def open_scorer(args: Export, source: Source, recipes: Sequence[Recipe[Any]]) -> Scorer:
    """Open the labelled data that exports are to be scored on.

    Args:
        args: Flags, of which ``--labelled`` is given.
        source: The model that was exported.
        recipes: Of all applications.

    Raises:
        InputError: If the data cannot be used.
    """
    assert args.labelled is not None
    application = source.application
    recipe = recipe_for(application, recipes, source.file)
    asked = Evaluate(source.file, data=args.labelled, batch_size=1, workers=0, common=args.common)
    options = application.pick(args.options)
    model = Model(application, source.card, source.file, options, network=source.model)
    exam = (recipe.labelled or recipe.exam)(asked, args.labelled, model)
    return Scorer(application.metric.title, lambda file: _points(args, file, exam))


def _points(args: Export, file: Path, exam: Exam) -> float:
    model = open_model(file, args.options, threads=args.common.threads or None)
    evaluator: Any = look_at_all(model, exam, "cpu", "measuring")
    metric = model.application.metric
    return float(100 * evaluator.compute()["metrics"][metric.name] / metric.best)
