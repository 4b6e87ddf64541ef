"""Read the docstrings of fields from source, since Python itself does not keep them."""

from __future__ import annotations

import ast
import inspect
import sys
from typing import Any

_WRITTEN_HERE = ("pulumi_pika", "tests")


def field_docs(cls: Any) -> dict[str, str]:
    """Return the docstring of each field of a class and of its bases, in one line each.

    A field is an annotated name in the body of a class. Its docstring is the string that follows
    it, or its entry in the section `Attributes:` of the class's docstring. It is empty if there is
    neither.

    Args:
        cls: A class, or a `TypedDict`.
    """
    found: dict[str, str] = {}
    # At run time, a typed dict has only the base `dict`. Its other bases are found in the source of
    # its module.
    written = [base for base in cls.__mro__ if base.__module__.startswith(_WRITTEN_HERE)]
    for base in reversed(written):
        tree = ast.parse(inspect.getsource(sys.modules[base.__module__]))
        classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        for node in _with_bases(base.__name__, classes):
            listed = section(ast.get_docstring(node) or "", "Attributes")
            found.update(_of_body(node, listed))
    return found


def section(docstring: str, title: str) -> dict[str, str]:
    """Return the text for each name in a section of a docstring, such as `Args`."""
    found: dict[str, str] = {}
    _, _, rest = inspect.cleandoc(docstring).partition(f"{title}:\n")
    name = ""
    for line in rest.splitlines():
        if line and not line.startswith("    "):
            break
        if line.startswith("    ") and line[4:5].strip() and ": " in line:
            name, _, said = line.strip().partition(": ")
            found[name] = said
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return found


def _with_bases(name: str, classes: dict[str, ast.ClassDef]) -> list[ast.ClassDef]:
    """Return a class and its bases in the same module, the bases first."""
    node = classes.get(name)
    if node is None:
        return []
    bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
    return [*(found for base in bases for found in _with_bases(base, classes)), node]


def _of_body(node: ast.ClassDef, listed: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for statement, after in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        name, said = statement.target.id, ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            said = str(after.value.value)
        found[name] = " ".join((said or listed.get(name, "")).split())
    return found
