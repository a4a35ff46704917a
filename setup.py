"""Builds the wheel: everything below one package, so that it shares no name with another project.

In a checkout ``backbone``, ``configs``, ``datasets``, ``tasks`` and ``tools`` are packages of
their own, and so they are in an editable install. In a wheel they would overwrite other projects'
packages of these names, such as Hugging Face's ``datasets``, or be overwritten. There they stand
below ``mobilenet_suite``, with their imports of each other rewritten to these names.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from setuptools import find_packages, setup
from setuptools.command.build import build
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

WHOLE, PROGRAM = "mobilenet_suite", "mobilenets"
PARTS = ("backbone", "configs", "datasets", "tasks", "tools")
_ROOT = Path(__file__).resolve().parent
PACKAGES = find_packages(str(_ROOT), include=[WHOLE, *PARTS, *(f"{part}.*" for part in PARTS)])

_PART = rf"(?:{'|'.join(PARTS)})\b"
# An import, also one that a docstring shows; and what a docstring refers to by its full name.
_NAME = re.compile(rf"(?m)^([ \t]*from )(?={_PART}[\w.]* import\b)|(?<=:`)(~?)(?={_PART}\.)")
_COMMANDS = "|".join(
    file.stem for file in _ROOT.glob("tools/*.py") if "\ndef main(" in file.read_text("utf-8")
)
# A tool in a message or a docstring: the wheel has no folder of that name, but the program.
_TOOL = re.compile(rf"(?<![\w/.])(?:tools/)?({_COMMANDS})\.py\b")


def below(name: str) -> str:
    """The name of a package in the wheel."""
    return name if name == WHOLE else f"{WHOLE}.{name}"


def rewritten(source: str, name: str) -> str:
    """A module of the checkout as the wheel has it; its lines keep their numbers.

    Args:
        source: Text of the module.
        name: Its path, for messages.

    Raises:
        ValueError: If it imports a part in a form that is not rewritten.
    """
    source = _NAME.sub(lambda found: f"{found[1] or found[2]}{WHOLE}.", source)
    source = _TOOL.sub(lambda found: f"{PROGRAM} {found[1].replace('_', '-')}", source)
    for node in ast.walk(ast.parse(source, name)):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        of = "." * node.level + (node.module or "") if isinstance(node, ast.ImportFrom) else ""
        if any((of or one.name).partition(".")[0] in PARTS for one in node.names):
            raise ValueError(f"{name}:{node.lineno}: write the import as a line `from ... import`")
    return source


class Build(build):
    """A build in a folder of its own: what an older one left would go into the wheel, too."""

    def initialize_options(self) -> None:
        """Choose the folder, which is removed when the program ends."""
        super().initialize_options()
        self._folder = TemporaryDirectory()
        self.build_base = self._folder.name


class BuildBelow(build_py):
    """Copies modules, rewritten."""

    def build_module(self, module: str, module_file: str, package: str) -> tuple[str, bool]:
        """Copy a module, and return where it is, and that it is there."""
        copy, done = super().build_module(module, module_file, package)
        text = rewritten(Path(module_file).read_text("utf-8"), module_file)
        Path(copy).write_text(text, "utf-8", newline="\n")
        return copy, done


class EditableAsItIs(editable_wheel):
    """An install of the checkout itself, by the names that it uses."""

    def finalize_options(self) -> None:
        """Name the packages as they are."""
        self.distribution.packages, self.distribution.package_dir = PACKAGES, {}
        super().finalize_options()


if __name__ == "__main__":
    setup(
        packages=[below(name) for name in PACKAGES],
        package_dir={below(part): part for part in PARTS},
        package_data={
            WHOLE: ["py.typed"],  # Its types are for programs that import it, too.
            below("tools.page"): ["*.html", "*.css", "*.js", "*.svg"],
        },
        cmdclass={"build": Build, "build_py": BuildBelow, "editable_wheel": EditableAsItIs},
    )
