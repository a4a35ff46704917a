"""The program ``mobilenets``: each tool as a command, ``mobilenets train-det --framework ssd300``.

``python -m mobilenet_suite`` is the same. What a tool does not need is not imported here.
"""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from pathlib import Path

from datasets.errors import InputError
from mobilenet_suite import __version__
from tools import cli


def main() -> None:
    """Run the command that the first argument names."""
    cli.run(_run)


def _run() -> None:
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help") and not rest:
        print(_help())
    elif name == "--version" and not rest:
        print(f"{cli.PROGRAM} {__version__}")
    elif name.startswith("-"):
        raise InputError(
            f"{cli.PROGRAM} {name}: the command comes first, then its flags; "
            f"{cli.PROGRAM} --help lists the commands"
        )
    else:
        module = import_module(f"{cli.__package__}.{_tool(name)}")
        # Usage, reports and messages begin with it; loader processes inherit it.
        sys.argv = [f"{cli.PROGRAM} {name}", *rest]
        module.main()


def _tool(name: str) -> str:
    """The tool of a command. Raises InputError naming a similar command if there is none."""
    known = {cli.command_name(tool): tool for tool in _summaries()}
    if name in known:
        return known[name]
    from difflib import get_close_matches

    near = get_close_matches(cli.command_name(Path(name).stem), known, 1)
    similar = f"the nearest is {near[0]}, and " if near else ""
    raise InputError(
        f"{cli.PROGRAM} {name}: no such command; {similar}{cli.PROGRAM} --help lists all"
    )


def _summaries() -> dict[str, str]:
    """What each tool is for, by its name: its docstring up to the colon, read and not imported."""
    found = {}
    for file in sorted(Path(cli.__file__).parent.glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            found[file.stem] = (ast.get_docstring(tree) or "").partition(":")[0]
    return found


def _help() -> str:
    rows = [(cli.command_name(tool), text) for tool, text in _summaries().items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(
        [
            f"usage: {cli.PROGRAM} COMMAND ...",
            "",
            "Small networks on one MobileNet v1 body: train, evaluate, compress, export.",
            "",
            *(f"  {name:<{width}}  {text}" for name, text in rows),
            "",
            f"{cli.PROGRAM} COMMAND --help explains the flags of a command;",
            f"{cli.PROGRAM} train-det alone trains a detector on built-in images;",
            f"{cli.PROGRAM} --version prints the version.",
        ]
    )


if __name__ == "__main__":
    main()
