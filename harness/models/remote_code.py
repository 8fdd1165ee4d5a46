"""The Python files in a model's folder that would run if it were trusted: found by reading, never executed.

`auto_map` of a folder's JSON files names classes and with them files; these import others beside them. The
doctor tells what is wrong with them, and exporting refuses it, both by what is found here.
"""

import ast
import json
import posixpath
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

CONFIGS: Final = (
    "config.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "generation_config.json",
)
"""Files whose auto_map transformers follows, whichever of them a task needs."""


class Reference(NamedTuple):
    """`name` (`tokenization_x.Tokenizer`) that `auto_map` of the file `source` gives for `role`."""

    source: str
    role: str
    name: str

    @property
    def repository(self) -> str:
        """The repository that the code is fetched from; empty when it lies in the folder."""
        return self.name.rpartition("--")[0]

    @property
    def file(self) -> str:
        """The file that has the class."""
        module, dot, last = self.name.rpartition("--")[2].rpartition(".")
        return _file_of(module if dot else last)

    @property
    def class_name(self) -> str:
        """The class in that file; empty when the entry names none."""
        _, dot, last = self.name.rpartition("--")[2].rpartition(".")
        return last if dot else ""


class Script(NamedTuple):
    """What one .py file defines and imports; `siblings` are files of the folder."""

    classes: frozenset[str]
    siblings: tuple[str, ...]
    packages: frozenset[str]
    lines: int


class Unusable(NamedTuple):
    """A file that is needed and cannot be had; `why` is what keeps a file from being Python."""

    kind: Literal["outside", "missing", "unparsable", "nested"]
    why: str = ""


class RemoteCode(NamedTuple):
    """All that was found: `needed_by` says of each file who needs it first."""

    references: tuple[Reference, ...]
    needed_by: Mapping[str, str]
    read: Mapping[str, Script | Unusable]

    @property
    def scripts(self) -> dict[str, Script]:
        """The files that can be read, which are those that would run."""
        return {name: one for name, one in self.read.items() if isinstance(one, Script)}


def find_remote_code(folder: Path, *, passed_over: Collection[str] = ()) -> RemoteCode:
    """The files that the folder's auto_maps name, those that they import relatively, and so on.

    Files in `passed_over` are not read. Names are taken as they are written: in a hub's cache every file is a
    link that leads outside.
    """
    references = tuple(
        one for source in CONFIGS if source not in passed_over for one in _references(folder, source)
    )
    waiting = [(one.file, one.source) for one in references if not one.repository]
    needed_by: dict[str, str] = {}
    read: dict[str, Script | Unusable] = {}
    for name, source in waiting:  # grows while it is gone through
        if name in needed_by:
            continue
        needed_by[name] = source
        if name in passed_over:
            continue
        read[name] = found = _read(folder, name)
        if isinstance(found, Script):
            waiting += [(sibling, name) for sibling in found.siblings]
    return RemoteCode(references, needed_by, read)


def _references(folder: Path, source: str) -> Iterator[Reference]:
    """Entries of one file's auto_map; a tokenizer may have two, or none in one's place."""
    try:
        told = json.loads((folder / source).read_bytes())
    except (OSError, ValueError, RecursionError):
        return  # its absence is no matter, and what cannot be read is told by who needs it
    mapped = told.get("auto_map") if isinstance(told, Mapping) else None
    entries: Mapping[str, Any] = mapped if isinstance(mapped, Mapping) else {"auto_map": mapped}
    for role, names in entries.items():
        for name in names if isinstance(names, list) else [names]:
            if isinstance(name, str) and name:
                yield Reference(source, role, name)


def _read(folder: Path, name: str) -> Script | Unusable:
    path = folder / name
    if name.startswith("../") or posixpath.isabs(name):
        return Unusable("outside")
    if not path.is_file():
        return Unusable("missing")
    try:
        text = path.read_text("utf-8")
        tree = ast.parse(text)
    except SyntaxError as error:
        return Unusable("unparsable", f"line {error.lineno}: {error.msg}")
    except (OSError, ValueError) as error:
        return Unusable("unparsable", str(error))
    except (RecursionError, MemoryError):  # Python's words for code that is nested too deep
        return Unusable("nested", "nested too deep")
    nodes = list(ast.walk(tree))
    return Script(
        classes=frozenset(n.name for n in nodes if isinstance(n, ast.ClassDef | ast.FunctionDef)),
        siblings=tuple(dict.fromkeys(_siblings(nodes, posixpath.dirname(name)))),
        packages=frozenset(_packages(nodes)),
        lines=text.count("\n") + 1,
    )


def _siblings(nodes: Collection[ast.AST], folder: str) -> Iterator[str]:
    """Files that are imported relatively; `from . import x` names modules, `from .x import y` names one."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.level:
            upwards = posixpath.join(folder, *[".."] * (node.level - 1))
            modules = [node.module] if node.module else [alias.name for alias in node.names]
            yield from (_file_of(module, upwards) for module in modules if module != "*")


def _packages(nodes: Collection[ast.AST]) -> Iterator[str]:
    """The first words of what is imported absolutely."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)


def _file_of(module: str, folder: str = "") -> str:
    return posixpath.normpath(posixpath.join(folder, module.replace(".", "/") + ".py"))
