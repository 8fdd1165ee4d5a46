"""The environment that folders are exported in: torch for the processor, transformers and optimum."""

import ast
import os
from pathlib import Path
from typing import Final

import uv

from harness.cache import Cache
from harness.environments import NO_WHEEL, Environment, Packages, last_lines, refusal, run_installer
from harness.errors import PocketbenchError
from harness.interpreters import find_python
from harness.models.doctor import TRANSFORMERS
from harness.package_index import installer_environment, pip_settings

EXPORT: Final = Packages(
    name="the export tools",
    python="3.11",
    # torch as most indexes have it brings gigabytes for graphics cards.
    dependencies=False,
    requirements=(
        "torch==2.13.0+cpu",
        f"transformers=={TRANSFORMERS}",
        "optimum==2.1.0",
        "optimum-onnx==0.1.0",
        "onnx==1.23.2",
        "onnxruntime==1.32.0",
        "numpy==2.4.6",
        "certifi==2026.10.18",
        "charset-normalizer==3.5.2",
        "filelock==4.2.11",
        "flatbuffers==25.12.19",
        "fsspec==2026.9.0",
        "huggingface-hub==0.36.2",
        "idna==3.20",
        "jinja2==3.1.6",
        "markupsafe==3.0.4",
        "ml_dtypes==0.6.0",
        "mpmath==1.3.0",
        "networkx==3.6.1",
        "packaging==26.3",
        "protobuf==7.36.2",
        "pyyaml==6.0.3",
        "regex==2026.11.15",
        "requests==2.34.2",
        "safetensors==0.8.0",
        "sentencepiece==0.2.3",
        "sympy==1.14.0",
        "tokenizers==0.22.2",
        "tqdm==4.70.1",
        "typing_extensions==4.16.0",
        "urllib3==2.8.0",
    ),
)
"""One environment for every architecture: what it has no class for is written as one it has (remap_hf.py)."""

MIRRORS: Final = "UV_FIND_LINKS or PIP_FIND_LINKS names a folder or page that has torch's +cpu wheels"


def export_environment(cache: Cache) -> Environment:
    """The environment, installed when it is not there yet.

    Raises PocketbenchError saying where torch's wheel for processors is looked for when it cannot be had.
    """
    python = find_python(EXPORT.python)
    entry = cache.entry("environments", {"packages": EXPORT}, lambda path: _install(path / "site"))
    return Environment(site=entry / "site", python=python)


def known_model_types(tools: Environment) -> frozenset[str]:
    """Model types that transformers has classes for, read from its source without running it."""
    source = tools.site / "transformers" / "models" / "auto" / "configuration_auto.py"
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Assign | ast.AnnAssign) and "CONFIG_MAPPING_NAMES" in _targets(node):
            pairs = [pair.elts[0] for pair in ast.walk(node) if isinstance(pair, ast.Tuple) and pair.elts]
            return frozenset(str(name.value) for name in pairs if isinstance(name, ast.Constant))
    raise PocketbenchError(f"{source} lists no model types: is {EXPORT.name} installed whole?")


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _install(site: Path) -> None:
    """First where the user says wheels lie, then, where uv knows to find torch's builds for processors."""
    command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--target", str(site), "--no-deps"]
    command += ["--only-binary", ":all:", "--link-mode", "copy", "--compile-bytecode"]
    command += ["--python", str(find_python(EXPORT.python))]
    env = installer_environment()
    links = [flag for place in _links() for flag in ("--find-links", place)]
    printed = run_installer("uv", [*command, *links], EXPORT, site, mirrors=MIRRORS, env=env)
    if printed is None:
        return
    if "torch==" not in printed:
        raise refusal(EXPORT, printed, NO_WHEEL)
    backend = ["--torch-backend", os.environ.get("UV_TORCH_BACKEND", "cpu")]
    printed = run_installer("uv", [*command, *backend], EXPORT, site, mirrors=MIRRORS, env=env)
    if printed is not None:
        raise PocketbenchError(f"no torch for processors: {last_lines(printed)}. {MIRRORS}")


def _links() -> list[str]:
    """Folders and pages of wheels that pip is told of; uv knows its own.

    A version that ends with +cpu is the same build wherever it is found.
    """
    return pip_settings().get("find-links", "").split()
