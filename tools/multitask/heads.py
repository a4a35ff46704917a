"""The heads of a trunk: data, model, targets and report of each, as in its own tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.multitask import TrainMulti
from datasets.errors import InputError
from datasets.ledger import Ledger
from datasets.loader import Resumable
from tasks.body_network import BodyNetwork
from tasks.multitask.stored import StoredHead
from tasks.multitask.task import Branch
from tasks.predictor import Model
from tasks.weights.card import Card
from tools import cli
from tools.flows.evaluating import score_and_report
from tools.flows.few_photos import warn_of_few
from tools.flows.recipe import Notes, OpenedRun, Recipe
from tools.flows.told_files import card_of_parts, stand_ins, told_files
from tools.recipes import RECIPES


@dataclass(frozen=True)
class OpenedHead:
    """A head that is to be trained.

    Attributes:
        name: Name of the head.
        run: Its data, opened as by its own tool.
        model: Model, still with its own body.
        card: Card as in a separate file.
        loader: Loader of training batches.
        val_loader: Loader of evaluation batches.
        branch: How it is trained and evaluated.
        workers: Number of loader processes.
        files: What the files of its data are used as.
        parts: Rows for its report about the parts of its data.
    """

    name: str
    run: OpenedRun[Any]
    model: BodyNetwork
    card: Card
    loader: Resumable[Any]
    val_loader: Resumable[Any]
    branch: Branch
    workers: int
    files: Sequence[Ledger]
    parts: Notes

    @property
    def data(self) -> str:
        """Description of its training data."""
        return f"{self.run.path}: {self.run.subject}"

    def as_model(self, network: Any, card: Card, path: Path) -> Model:
        """The head as a model of its application, read from a path."""
        application = self.branch.application
        options = application.pick(self.run.options())
        return Model(application, card, path, options, network=network)

    def measure(self, model: Model, folder: Path, device: str, *, page: bool) -> Mapping[str, Any]:
        """Metrics on the test part; the application's own report is written to a folder.

        It only has a page with ``page``.
        """
        exam = self.run.exam(model, workers=self.workers, tested=True, alone=True)
        score, _, _ = score_and_report(
            model,
            exam,
            folder=folder,
            device=device,
            title=f"{self.name} on {self.run.path.name}{exam.title}",
            notes=[*self.parts, *self.run.notes],
            files=self.files,
            report=page,
        )
        metrics: Mapping[str, Any] = score["metrics"]
        return metrics


def recipe_of(head: str) -> Recipe[Any]:
    """The recipe of a head, by its name."""
    return next(one for one in RECIPES if (one.head or one.application.head) == head)


def open_head(
    config: TrainMulti, name: str, path: Path | None, stored: StoredHead | None
) -> OpenedHead:
    """Open a head's data, and build its model. Raises InputError if data or weights do not fit."""
    cli.say(f"-- {name}")
    recipe, single = recipe_of(name), config.single(name, path)
    from_scratch = path is not None and config.weights is None and config.resume is None
    path = recipe.built_in.or_given(path, config.common.seed)
    with told_files(path) as files:
        if stored is not None and recipe.open_further is not None:
            run = recipe.open_further(single, path, stored.state)
        else:
            run = recipe.open(single, path)
    parts = stand_ins(files)
    if from_scratch:
        warn_of_few(run)
    model, card = run.build(None)
    card = card_of_parts(card, files)
    assert isinstance(model, BodyNetwork), f"{type(model).__name__} is no head"
    if stored is not None:
        _go_on_from(stored, model, card, config, name, path)
    options = recipe.application.pick(run.options())
    given = Model(recipe.application, card, path, options, network=model)
    exam = run.exam(given, workers=config.workers, tested=False, alone=False)
    return OpenedHead(
        name,
        run,
        model,
        card,
        run.training_loader(config.workers),
        exam.loader,
        Branch(recipe.application, card, exam.evaluator, run.targets(model)),
        config.workers,
        files,
        parts,
    )


def _go_on_from(
    stored: StoredHead, model: BodyNetwork, card: Card, config: TrainMulti, name: str, path: Path
) -> None:
    """Fill a head with its stored tensors. Raises InputError naming the flag if they differ."""
    if (stored.card.classes, stored.card.task) != (card.classes, card.task):
        raise InputError(
            f"--tasks {name}={path}: has other classes than the head of {config.weights}; "
            f"--drop {name} first, then --add it in another run"
        )
    for key, flag in (("dim", "--dim"), ("size", config.size_flag(name))):
        theirs, ours = stored.card.model.get(key), card.model.get(key)
        if theirs != ours:
            raise InputError(
                f"{flag} {ours}: the head {name} of {config.weights} was trained with {theirs}; "
                f"give {flag} {theirs}"
            )
    fresh = model.state_dict()
    # Its own norms are left out if it gives them up; shapes are checked by torch.
    own = {key: value for key, value in stored.state.items() if key in fresh}
    model.load_state_dict({**fresh, **own})
