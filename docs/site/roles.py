"""What the reference needs besides the sources: the site's form of docstrings, and all names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import griffe

# ``:func:`name``` and ``:class:`~package.name```.
_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`(~?)([\w.]+)`")
# A line that ends in ``::``, and the indented block after it.
_LITERAL = re.compile(r"(?m)^( *)(.*?)::\n\n((?:\1 +\S.*\n|\n)+)")


class Roles(griffe.Extension):
    """Rewrites the docstring of each object as it is read, and adds constants named in a row."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)

        if isinstance(obj, griffe.Attribute) and (_is_listed(obj) or "TypeVar(" in str(obj.value)):
            obj.public = False

    def on_module_members(self, *, node: Any, mod: griffe.Module, **_: Any) -> None:
        """Add the constants of ``A, B = 1, 2``, which are not read otherwise."""
        for line in getattr(node, "body", ()):
            if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Tuple):
                for name, value in _pairs(line.targets[0], line.value):
                    mod.set_member(name, griffe.Attribute(name, value=value, lineno=line.lineno))

    def on_alias_instance(self, *, alias: griffe.Alias, **_: Any) -> None:
        """Leave what is imported to the module that defines it."""
        alias.public = False


def _pairs(names: ast.Tuple, value: ast.expr) -> Iterator[tuple[str, str | None]]:
    values = value.elts if isinstance(value, ast.Tuple) else [None] * len(names.elts)
    for name, one in zip(names.elts, values, strict=True):
        if isinstance(name, ast.Name) and not name.id.startswith("_"):
            yield name.id, None if one is None else ast.unparse(one)


def _is_listed(obj: griffe.Object) -> bool:
    """Whether the docstring of an attribute's class describes it."""
    text = obj.parent.docstring if obj.parent is not None and obj.parent.is_class else None
    return text is not None and bool(re.search(rf"(?m)^ +{obj.name}(?: \(.*\))?: ", text.value))


def as_markdown(text: str) -> str:
    """A docstring with its references as code, and its literal blocks as blocks of Python."""
    text = _ROLE.sub(lambda found: f"`{_shown(found[1], found[2])}`", text)
    return _LITERAL.sub(_block, f"{text}\n").rstrip("\n")


def _block(found: re.Match[str]) -> str:
    colon = ":" if found[2] else ""
    return f"{found[1]}{found[2]}{colon}\n\n{found[3]}"


def _shown(mark: str, name: str) -> str:
    return name.rpartition(".")[2] if mark else name
