"""The Python files a folder brings: which ones would run, and is any of them missing. Parsed, never run."""

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from harness.models.doctor.config import Config
from harness.models.doctor.files import read_json
from harness.models.doctor.findings import Examined, Finding, Findings, error, listed, note, warning
from harness.models.doctor.transformers import SINCE

EXPECTED_PACKAGES: Final = frozenset(("torch", "transformers", "numpy", "huggingface_hub", "tokenizers"))
QUANTIZATION: Final = "quantization.py"


class Reference(NamedTuple):
    """`name` (`tokenization_x.Tokenizer`) that `auto_map` of the file `source` gives for `role`."""

    source: str
    role: str
    name: str


class Script(NamedTuple):
    """What one .py file defines and imports."""

    classes: frozenset[str]
    siblings: tuple[str, ...]
    packages: frozenset[str]
    lines: int


def check_code(root: Path, bad: frozenset[str], config: Config | None) -> Findings:
    """Follow every `auto_map` to its file and that file's relative imports to theirs."""
    references = list(_references(root, bad))
    scripts: dict[str, Script] = {}
    asked: dict[str, str] = {}
    for reference in references:
        repository, _, name = reference.name.rpartition("--")
        module, _, wanted = name.partition(".")
        if repository:
            yield _elsewhere(reference, repository)
            continue
        yield from _read(root, bad, f"{module}.py", reference.source, scripts, asked)
        script = scripts.get(f"{module}.py")
        if script is not None and wanted and wanted not in script.classes:
            told = f"has no class {wanted}, which {reference.source} names for {reference.role}"
            yield error("code", "class-missing", f"{module}.py", told, "the two are of different revisions")
    yield from _packed_without_code(root, config, asked)
    if scripts:
        yield _would_run(scripts, config)
        yield from _packages(scripts)


def _references(root: Path, bad: frozenset[str]) -> Iterator[Reference]:
    for source in (
        "config.json",
        "tokenizer_config.json",
        "preprocessor_config.json",
        "generation_config.json",
    ):
        read = None if source in bad else read_json(root / source)
        given = (read or {}).get("auto_map")
        for role, names in given.items() if isinstance(given, Mapping) else ():
            for name in names if isinstance(names, list) else [names]:
                if isinstance(name, str):
                    yield Reference(source, role, name)


def _read(
    root: Path,
    bad: frozenset[str],
    name: str,
    source: str,
    scripts: dict[str, Script],
    asked: dict[str, str],
) -> Findings:
    """Parse `name`, which `source` needs, and what it imports, unless that was done."""
    if name in asked:
        return
    asked[name] = source
    if name in bad:
        return
    path = root / name
    if name.startswith(".."):
        told = f"imports {name}, outside of the folder: transformers takes the folder's own files only"
        yield error(
            "code", "code-outside", source, told, "put that file into the folder and import it with one dot"
        )
        return
    if not path.is_file():
        kind = "quantization-missing" if name == QUANTIZATION else "code-missing"
        verb = "names it in auto_map" if source.endswith(".json") else "imports it"
        advice = f"`hf download REPO {name}` of the same revision; a download of weights only leaves it out"
        yield error("code", kind, name, f"is missing, and {source} {verb}", advice)
        return
    script = yield from _parse(path)
    if script is None:
        return
    scripts[name] = script
    for sibling in script.siblings:
        yield from _read(root, bad, sibling, name, scripts, asked)


def _parse(path: Path) -> Examined[Script | None]:
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as failed:
        line = f" at line {failed.lineno}" if isinstance(failed, SyntaxError) else ""
        told = f"is not Python{line}: {getattr(failed, 'msg', failed)}"
        yield error("code", "code-unparsable", path.name, told, "download it again")
        return None
    siblings, packages = [], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            # `from . import x` names modules, `from .x import y` names one.
            named = [node.module] if node.module else [alias.name for alias in node.names]
            siblings += [_file_of(name, node.level) for name in named]
        elif isinstance(node, ast.ImportFrom) and node.module:
            packages.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
    classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    return Script(
        frozenset(classes), tuple(dict.fromkeys(siblings)), frozenset(packages), text.count("\n") + 1
    )


def _file_of(module: str, level: int) -> str:
    return "../" * (level - 1) + module.replace(".", "/") + ".py"


def _elsewhere(reference: Reference, repository: str) -> Finding:
    told = f"{reference.role} is code of another repository, {repository}, fetched when the model is loaded"
    advice = f"without network, put its .py files here and leave `{repository}--` out of auto_map"
    return warning("code", "code-elsewhere", reference.source, told, advice)


def _would_run(scripts: Mapping[str, Script], config: Config | None) -> Finding:
    names = [f"{name} ({script.lines} lines)" for name, script in sorted(scripts.items())]
    model_type = (config or {}).get("model_type")
    if model_type in SINCE:
        told = f"not needed, transformers has {model_type} itself; with trust_remote_code these run: "
        return note("code", "code-not-needed", "auto_map", told + listed(names, 8))
    told = f"loading it needs trust_remote_code, which runs {listed(names, 8)}"
    advice = "read them before you allow that; here nothing of them was run"
    return warning("code", "remote-code", "auto_map", told, advice)


def _packages(scripts: Mapping[str, Script]) -> Findings:
    needed = set().union(*(script.packages for script in scripts.values()))
    other = sorted(needed - EXPECTED_PACKAGES - set(sys.stdlib_module_names))
    if other:
        told = (
            f"the code imports {listed(other, 8)} besides torch and transformers, some perhaps only if there"
        )
        yield note("code", "code-packages", "auto_map", told)


def _packed_without_code(root: Path, config: Config | None, asked: Mapping[str, str]) -> Findings:
    """ChatGLM's packed weights need a file that its code may import by a computed name."""
    packed = (config or {}).get("model_type") == "chatglm" and (config or {}).get("quantization_bit")
    if packed and QUANTIZATION not in asked and not (root / QUANTIZATION).is_file():
        told = f"is missing, and config.json says quantization_bit {packed}"
        yield error("code", "quantization-missing", QUANTIZATION, told, f"`hf download REPO {QUANTIZATION}`")
