"""What fine-grained training adds to classification: a first stage on noisy web images."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from configs.fine_grained import DOGS_PRESETS, TrainDogs
from datasets.labels.structure import LabelledData
from tasks.classification.application import CLASSIFICATION
from tasks.fitting.checkpoint import LAST_NAME, InterruptedRun
from tasks.fitting.stopwatch import Stopwatch
from tasks.predictor import Model
from tasks.runtime.open import read_card
from tools import cli
from tools.classification.data import open_both
from tools.classification.recipe import CLASSIFICATION_RECIPE, ClassExam, ClassRun, open_exam
from tools.fine_grained.data import BREEDS, clean_web, web_of, with_wrong_labels
from tools.flows.evaluating import look_at_all
from tools.flows.photo_loaders import Data, make_photos
from tools.flows.recipe import Loading, Notes, Recipe
from tools.flows.run_folder import is_first, save_config
from tools.flows.stages import is_begun, read_record
from tools.flows.told_files import told_files
from tools.flows.training import fit_run

# Within a run folder: the first stage, and in it the record that is written when it is done.
WEB_FOLDER, RECORD_NAME = "web", "stage.json"


class DogsRun(ClassRun):
    """The data of both stages, and what is made from it.

    A resumed run continues in the stage in which it was interrupted. Without a ``web`` of noisy
    images the first stage is skipped; ``wrong`` are images with deliberately wrong labels.
    """

    config: TrainDogs

    def __init__(
        self,
        config: TrainDogs,
        path: Path,
        train: Data,
        val: Data,
        *,
        web: Path | None,
        wrong: LabelledData | None,
    ) -> None:
        super().__init__(config, path, train, val)
        self.web, self.wrong = web, wrong
        if web is not None:  # Which the first stage has more of.
            self.few_photos = 0

    def prepare(self, folder: Path, device: str, watch: Stopwatch) -> Notes:
        """Train the first stage, unless that is done; the second starts from its weights."""
        if self.web is None:
            return []
        inside = folder / WEB_FOLDER
        record = inside / RECORD_NAME
        told = read_record(record, "notes")
        if told is not None:
            watch.go_on_from(told.get("seconds", 0.0))  # Older records tell none.
            notes = [(name, text) for name, text in told["notes"]]
        else:
            notes = self._train_on_web(self.web, folder, device, watch)
        self.config = replace(self.config, weights=inside)
        return notes

    def _train_on_web(self, web: Path, folder: Path, device: str, watch: Stopwatch) -> Notes:
        config, inside = self.config, folder / WEB_FOLDER
        with told_files(web) as files:
            found = clean_web(web, self.train.classes, self.val, config.copy_bits)
        begun = config.resume is not None and is_begun(inside)
        stage = replace(config.first_stage(), resume=inside if begun else None)
        cli.say(f"first stage: {len(found.data)} web images, {stage.fit.epochs} epochs")
        run = ClassRun(stage, web, found.data, self.chosen)
        network, card = run.build(None)
        if is_first():
            save_config(config, folder)
        try:
            fit_run(run, network, card, folder=inside, device=device, watch=watch)
        except InterruptedRun:
            raise InterruptedRun(
                f"stopped in the first stage and saved to {inside / LAST_NAME}; go on with "
                f"--resume {folder}"
            ) from None
        top1 = read_card(inside).metrics["top1"]
        notes = [
            ("web", found.text),
            *(("files of the web", ledger.line()) for ledger in files),
            ("first stage", f"top-1 {top1:.3f} on the data, loss {stage.loss.robust}: {inside}"),
        ]
        cli.say(f"first stage done: {notes[-1][1]}")
        if is_first():
            told = {"notes": notes, "top1": top1, "seconds": watch.seconds}
            cli.write_json(
                inside / RECORD_NAME, {**told, "unknown": found.unknown, **asdict(found.removed)}
            )
        return notes

    def resumes(self, folder: Path) -> bool:
        """Whether the second stage had begun."""
        return self.config.resume is not None and is_begun(folder)

    def after_fit(self, model: Model, folder: Path, device: str, workers: int) -> Notes:
        """How often a mislabelled image is answered with its wrong label."""
        if self.wrong is None:
            return []
        loading = Loading(self.config.fit.batch_size, workers, alone=True)
        exam = ClassExam(make_photos(self.wrong, model.card, loading))
        found = look_at_all(model, exam, device, "looking at wrong labels")
        exam.loader.close()
        share = found.compute()["metrics"]["top1"]
        text = (
            f"{len(self.wrong)} of {len(self.train)} training images, on purpose; {share:.1%} of "
            "them memorised"
        )
        cli.say(f"wrong labels: {text}")
        return [("wrong labels", text)]


def open_run(config: TrainDogs, path: Path) -> DogsRun:
    """Open the data of both stages. Raises InputError if they cannot be used."""
    web = web_of(config)
    train, val = open_both(config, path)
    wrong = None
    if config.noise:
        train, wrong = with_wrong_labels(train, config)
    return DogsRun(config, path, train, val, web=web, wrong=wrong)


FINE_GRAINED_RECIPE = Recipe(
    name="fine-grained classification",
    application=CLASSIFICATION,
    config=TrainDogs,
    built_in=BREEDS,
    sketch=CLASSIFICATION_RECIPE.sketch,
    open=open_run,
    exam=open_exam,
    measures=(CLASSIFICATION.metric,),
    presets=lambda _: DOGS_PRESETS,
    head="breeds",
)
