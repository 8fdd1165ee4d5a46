"""Python files in a model's folder that would run: named from its JSON and their imports, never executed."""

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from harness.errors import PocketbenchError

CONFIGS: Final = ("config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json")


def remote_files(folder: Path) -> tuple[str, ...]:
    """Files that auto_map names, and those that they import relatively, sorted; empty when there are none.

    Raises PocketbenchError when one of them is missing, is no Python, or lies in another repository.
    """
    found: dict[str, str] = {}
    waiting = [(name, place) for name, place in _named(folder)]
    while waiting:
        name, place = waiting.pop()
        if name in found:
            continue
        found[name] = place
        waiting += [(one, name) for one in _imported(folder, name, place)]
    return tuple(sorted(found))


def _named(folder: Path) -> Iterator[tuple[str, str]]:
    """Files that the auto_maps of a folder's JSON files name, and which of these names them."""
    for place in CONFIGS:
        for reference in _references(folder / place):
            if "--" in reference:
                repository = reference.partition("--")[0]
                raise PocketbenchError(
                    f"{folder / place}: auto_map names {reference}, code of the repository {repository}, "
                    "which is not in the folder: put its Python files there and drop the prefix"
                )
            yield f"{reference.rpartition('.')[0].replace('.', '/')}.py", place


def _references(path: Path) -> Iterator[str]:
    """`module.Class` entries of one file's auto_map; a tokenizer may have two, or none in one's place."""
    try:
        told = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return  # its absence is no matter, and what cannot be read is told by who needs it
    mapped = told.get("auto_map") if isinstance(told, Mapping) else None
    values: list[Any] = list(mapped.values()) if isinstance(mapped, Mapping) else [mapped]
    for value in values:
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str) and "." in one:
                yield one


def _imported(folder: Path, name: str, place: str) -> Iterator[str]:
    """Files beside `name` that it imports relatively."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()) and not path.is_file():
        raise PocketbenchError(f"{folder}: {place} names {name}, which lies outside of the folder")
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise PocketbenchError(
            f"{folder} has no {name}, which {place} needs: fetch it from the model's repository "
            "(auto_map names the Python files that belong to the weights)"
        ) from error
    except (OSError, ValueError, SyntaxError) as error:
        raise PocketbenchError(f"{path} is not a readable Python file: {error}") from error
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        modules = [node.module] if node.module else [alias.name for alias in node.names]
        yield from (f"{module.replace('.', '/')}.py" for module in modules)
