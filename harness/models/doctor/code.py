"""The Python files a folder brings: which ones would run, and is any of them missing (remote_code.py)."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from harness.models.doctor.config import Config
from harness.models.doctor.findings import Finding, Findings, error, listed, note, warning
from harness.models.doctor.transformers import SINCE
from harness.models.remote_code import Reference, Script, Unusable, find_remote_code

EXPECTED_PACKAGES: Final = frozenset(("torch", "transformers", "numpy", "huggingface_hub", "tokenizers"))
QUANTIZATION: Final = "quantization.py"


def check_code(root: Path, bad: frozenset[str], config: Config | None) -> Findings:
    """Follow every `auto_map` to its file and that file's relative imports to theirs."""
    code = find_remote_code(root, passed_over=bad)
    for name, found in code.read.items():
        if not isinstance(found, Script):
            yield _unusable(name, code.needed_by[name], found)
    for reference in code.references:
        if reference.repository:
            yield _elsewhere(reference)
            continue
        script, wanted = code.scripts.get(reference.file), reference.class_name
        if script is not None and wanted and wanted not in script.classes:
            told = f"has no class {wanted}, which {reference.source} names for {reference.role}"
            yield error("code", "class-missing", reference.file, told, "the two are of different revisions")
    yield from _packed_without_code(root, config, code.needed_by)
    if code.scripts:
        yield _would_run(code.scripts, config)
        yield from _packages(code.scripts)


def _unusable(name: str, source: str, found: Unusable) -> Finding:
    """What is wrong with the file `name`, which `source` needs."""
    verb = "names it in auto_map" if source.endswith(".json") else "imports it"
    if found.kind == "outside":
        told = f"needs {name}, outside of the folder: transformers takes the folder's own files only"
        advice = "put that file into the folder and import it with one dot"
        return error("code", "code-outside", source, told, advice)
    if found.kind == "missing":
        kind = "quantization-missing" if name == QUANTIZATION else "code-missing"
        advice = f"`hf download REPO {name}` of the same revision; a download of weights only leaves it out"
        return error("code", kind, name, f"is missing, and {source} {verb}", advice)
    if found.kind == "nested":
        told = "is nested beyond reason: no person wrote that"
        return error("code", "code-unparsable", name, told, "look at it before you do anything with it")
    return error("code", "code-unparsable", name, f"is not Python: {found.why}", "download it again")


def _elsewhere(reference: Reference) -> Finding:
    repository = reference.repository
    told = f"{reference.role} is code of another repository, {repository}, fetched when the model is loaded"
    advice = f"without network, put its .py files here and leave `{repository}--` out of auto_map"
    return warning("code", "code-elsewhere", reference.source, told, advice)


def _would_run(scripts: Mapping[str, Script], config: Config | None) -> Finding:
    names = [f"{name} ({script.lines} lines)" for name, script in sorted(scripts.items())]
    model_type = str((config or {}).get("model_type"))
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
