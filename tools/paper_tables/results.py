"""What runs have reached: one table per application, for a page of results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from configs.paper import ClassifierRow, DetectorRow, Table
from datasets.errors import InputError
from datasets.json_files import read_object
from tasks.application import Metric
from tasks.fitting.stopwatch import REPORT_NAME
from tools import cli
from tools.flows.run_folder import CONFIG_NAME
from tools.paper_tables.runs import Run, is_model
from tools.paper_tables.text import pipes

_TITLES = ("network", "test images", "", "95 % interval", "paper", "minutes", "command")


@dataclass(frozen=True)
class Result:
    """The result of a run, as its report and its configuration state it.

    Attributes:
        run: The run.
        metric: Metric by which runs of its application are compared.
        value: Its value.
        low: Lower end of its 95 % interval; None if it has none.
        high: Upper end.
        printed: What the paper prints for this network and task, in percent; empty if nothing.
        images: Number of test images.
        minutes: Duration of the training.
        command: The command line.
    """

    run: Run
    metric: Metric
    value: float
    low: float | None
    high: float | None
    printed: str
    images: int | None
    minutes: float
    command: str

    @property
    def network(self) -> str:
        """Framework or body, width and resolution."""
        model = self.run.card.model
        name = model.get("framework") or model.get("backbone", "")
        return f"{name} {model.get('alpha', '')}-{model.get('size', '')}"

    def cells(self) -> list[str]:
        """A text per column."""
        known = self.low is not None and self.high is not None
        return [
            self.network,
            "-" if self.images is None else str(self.images),
            f"{self.value:.3f}",
            f"{self.low:.3f} to {self.high:.3f}" if known else "-",
            self.printed or "-",
            f"{self.minutes:.1f}",
            f"`{self.command}`",
        ]

    def to_json(self) -> dict[str, Any]:
        """As data; the paper's figures are a text, as they are printed."""
        return {
            "folder": self.run.folder,
            "network": self.network,
            "metric": self.metric.name,
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "printed": self.printed,
            "images": self.images,
            "minutes": self.minutes,
            "command": self.command,
        }


Found = dict[str, list[Result]]
Measures = Mapping[str, Sequence[Metric]]


def results_of(runs: Sequence[Run], tables: Sequence[Table], measures: Measures) -> Found:
    """Results by the name of their application, the best first.

    Runs without a report, which are unfinished, and those of applications that are not compared
    by one metric are named on the terminal and left out.

    Args:
        runs: The runs.
        tables: The paper's tables.
        measures: For each application the metrics by which its runs are compared: the first that a
            run has.
    """
    found: Found = {}
    for run in runs:
        result = _result_of(run, tables, measures)
        if result is not None:
            found.setdefault(run.card.task, []).append(result)
    for rows in found.values():
        rows.sort(key=lambda row: -row.value)
    return dict(sorted(found.items()))


def _result_of(run: Run, tables: Sequence[Table], measures: Measures) -> Result | None:
    try:
        report = read_object(run.folder / REPORT_NAME).values
        config = read_object(run.folder / CONFIG_NAME).values
        metrics = report["metrics"]
        metric = next(one for one in measures.get(run.card.task, ()) if one.name in metrics)
    except (InputError, KeyError) as error:
        cli.say(f"warning: left out: {run.folder}: {error}")
        return None
    except StopIteration:
        cli.say(f"warning: left out: {run.folder}: no metric by which such runs are compared")
        return None
    low, high = (metrics.get(f"{metric.name}_{end}") for end in ("low", "high"))
    printed = next(_printed_for(run, metric, tables), "")
    return Result(
        run,
        metric,
        metrics[metric.name],
        low,
        high,
        printed,
        report.get("images"),
        report.get("minutes", 0.0),
        str(config.get("command", "")),
    )


def _printed_for(run: Run, metric: Metric, tables: Sequence[Table]) -> Iterator[str]:
    """What tables print for a run's network, task and number of classes."""
    for table in tables:
        if table.task != run.card.task or metric.name not in table.metrics:
            continue
        place = table.metrics.index(metric.name)
        for row in table.rows:
            model = row.model
            if not isinstance(model, ClassifierRow | DetectorRow) or len(row.accuracy) <= place:
                continue
            outputs = model.outputs if isinstance(model, ClassifierRow) else model.classes
            if outputs == len(run.card.classes) and is_model(run.card.model, model):
                yield row.accuracy[place]


def as_tables(found: Found) -> str:
    """A Markdown table per application."""
    if not found:
        return "no finished run was found"
    parts = []
    for name, rows in found.items():
        heads = [head or rows[0].metric.title for head in _TITLES]
        lines = [
            f"### {name.replace('_', ' ').capitalize()}",
            "",
            pipes(heads),
            "|" + "---|" * len(heads),
        ]
        parts.append("\n".join([*lines, *(pipes(row.cells()) for row in rows)]))
    return "\n\n".join(parts)


def as_data(found: Found) -> dict[str, Any]:
    """All tables as data."""
    return {"results": {name: [row.to_json() for row in rows] for name, rows in found.items()}}
