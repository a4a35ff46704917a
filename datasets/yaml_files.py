"""Reads YAML files: scalars remain text, and no file can grow in memory."""

from __future__ import annotations

from pathlib import Path

import yaml

from datasets.errors import InputError
from datasets.fields import Fields
from datasets.text import read_text

# A thousand times the size of a list of classes.
_LARGEST = 2**22


class _Loader(yaml.BaseLoader):
    """Makes no booleans, numbers or dates, and repeats no list.

    Otherwise a class named ``no`` would be False and one named ``02`` the number 2; and nine lines
    of aliases would expand to a billion names.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node; only aliases of text are permitted."""
        alias = self.check_event(yaml.AliasEvent)
        mark = self.peek_event().start_mark if alias else None  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        if mark is not None and not isinstance(node, yaml.ScalarNode):
            raise yaml.composer.ComposerError(
                None, None, "an alias stands for a list; write the list out", mark
            )
        return node


def read_yaml(file: Path) -> Fields:
    """A YAML file that holds an object; its fields are texts, lists and objects.

    Args:
        file: File to read.

    Raises:
        InputError: If it cannot be read, is not YAML or holds something else; the message names
            line and column.
    """
    text = read_text(file)
    if len(text) > _LARGEST:
        raise InputError(f"{file}: {len(text)} characters are too many for such a YAML file")
    try:
        content = yaml.load(text, _Loader)  # It makes text, lists and objects only.
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        raise InputError(f"{file}: {place}not valid YAML ({error.problem})") from error
    except yaml.YAMLError as error:
        raise InputError(f"{file}: not valid YAML ({' '.join(str(error).split())})") from error
    except RecursionError as error:
        raise InputError(f"{file}: not usable YAML (nested too deeply)") from error
    except (ValueError, OverflowError) as error:  # \UFFFFFFFF stands for no letter.
        raise InputError(f"{file}: not valid YAML ({error})") from error
    return Fields.of(file, content)
