"""The Python files of a folder that exporting it would run, or why they cannot."""

from pathlib import Path

from harness.errors import PocketbenchError
from harness.models.remote_code import Script, Unusable, find_remote_code


def remote_files(folder: Path) -> tuple[str, ...]:
    """Files that auto_map names, and those that they import relatively, sorted; empty when there are none.

    Raises PocketbenchError when one of them is missing, is no Python, or lies outside of the folder or in
    another repository.
    """
    code = find_remote_code(folder)
    for one in code.references:
        if one.repository:
            raise PocketbenchError(
                f"{folder / one.source}: auto_map names {one.name}, code of the repository {one.repository}, "
                "which is not in the folder: put its Python files there and drop the prefix"
            )
    for name, found in code.read.items():
        if not isinstance(found, Script):
            raise PocketbenchError(_refusal(folder, name, code.needed_by[name], found))
    return tuple(sorted(code.read))


def _refusal(folder: Path, name: str, source: str, found: Unusable) -> str:
    if found.kind == "outside":
        return f"{folder}: {source} names {name}, which lies outside of the folder"
    if found.kind == "missing":
        return (
            f"{folder} has no {name}, which {source} needs: fetch it from the model's repository (auto_map "
            "names the Python files that belong to the weights)"
        )
    return f"{folder / name} is not a readable Python file: {found.why}"
