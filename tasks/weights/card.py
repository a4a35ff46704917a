"""The card of a network, stored in weights and exports: what it is, and how to use it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from backbone import __version__
from backbone.flavour import Flavour
from datasets.errors import InputError
from datasets.names import refuse_unsafe_name
from datasets.types import ClassMap

FORMAT = 2


@dataclass(frozen=True)
class Card:
    """The description of a network inside a weights file or an export.

    Attributes:
        task: Name of the application, such as ``detection``.
        model: Architecture, as written by the task's spec.
        flavour: Padding, batch-norm epsilon, activation, input.
        classes: Names and original ids.
        metrics: Metrics on the validation split, by name.
        source: Origin of the weights, in a sentence.
        folded: Whether batch norm carries only an offset, because the source had folded it: its
            statistics were never measured.
        trunk: For the file of a head, digest of the trunk that it was trained on (see
            :mod:`tasks.weights.head_files`); otherwise empty.
        trained_on: Identification of the training data, if the application needs it to evaluate on
            what was held out: ``name``, ``held_out``, ``digest``; and ``validated_on``, the part
            that was used for validation in place of one of that name. Otherwise empty.
        version: Version of the suite that made the weights; empty if it did not record one.
    """

    task: str
    model: dict[str, Any]
    flavour: Flavour
    classes: ClassMap
    metrics: dict[str, float] = field(default_factory=dict)
    source: str = ""
    folded: bool = False
    trunk: str = ""
    trained_on: dict[str, Any] = field(default_factory=dict)
    version: str = __version__

    def to_json(self) -> dict[str, Any]:
        """Plain dict."""
        return {
            "format": FORMAT,
            "task": self.task,
            "model": self.model,
            "flavour": self.flavour.to_json(),
            "classes": self.classes.to_json(),
            "metrics": self.metrics,
            "source": self.source,
            "folded": self.folded,
            **({"trunk": self.trunk} if self.trunk else {}),
            **({"trained_on": self.trained_on} if self.trained_on else {}),
            **({"version": self.version} if self.version else {}),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Card:
        """Read the result of :meth:`to_json`. Raises InputError if newer or incomplete."""
        form = data.get("format") if isinstance(data, dict) else None
        if form != FORMAT:
            raise InputError(
                f"card of format {form}; this version reads {FORMAT}: import or train it again"
            )
        for name in ("model", "metrics"):
            if not isinstance(data.get(name), dict):
                raise InputError(f"the card's {name} is missing or no table")
        heads = data["model"].get("heads")
        for name in heads if isinstance(heads, dict) else ():
            refuse_unsafe_name(name, "the card's head")  # Files and folders are called so.
        try:
            return cls(
                task=data["task"],
                model=data["model"],
                flavour=Flavour.from_json(data["flavour"]),
                classes=ClassMap.from_json(data["classes"]),
                metrics=data["metrics"],
                source=data["source"],
                folded=data["folded"],
                trunk=data.get("trunk", ""),
                trained_on=dict(data.get("trained_on", {})),
                version=str(data.get("version", "")),
            )
        except KeyError as error:
            raise InputError(f"the card lacks {error}") from error
        except (AttributeError, TypeError, OverflowError) as error:
            raise InputError(f"the card is not one of this suite ({error})") from error
