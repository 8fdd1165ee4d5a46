"""The layers of docs/architecture.md: each imports only what stands above it in the list."""

import ast
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent

LAYERS = [
    ["devices"],
    ["harness.errors", "harness.spec", "harness.pace"],
    ["harness.runner"],
    [
        "harness.cache",
        "harness.interpreters",
        "harness.package_index",
        "harness.platforms",
        "harness.environments",
        "harness.toolchains",
        "harness.runtimes",
    ],
    ["harness.models"],
    ["harness.convert", "harness.bundles"],
    ["harness.launch", "harness.schedule", "harness.matrix", "harness.plan", "harness.reference"],
    ["harness.preparation"],
    ["harness.arm", "harness.probe", "harness.pairing"],
    [
        "harness.parity",
        "harness.stats",
        "harness.conditions",
        "harness.verdict",
        "harness.paired",
        "harness.expect",
        "harness.tradeoff",
        "harness.recommend",
    ],
    ["harness.bisect"],
    ["harness.results"],
    ["harness.history", "harness.history_engine", "harness.history_rows"],
    ["harness.measure", "harness.quiet", "harness.fleet", "harness.run", "harness.run_description"],
    ["reports"],
    ["harness.plugin", "harness.cli"],
]
RUNNER_MAY_IMPORT = {*sys.stdlib_module_names, "numpy", "onnxruntime", "MNN", "ncnn", "paddlelite"}


def modules():
    for package in ("devices", "harness", "reports"):
        for path in sorted((PROJECT / package).rglob("*.py")):
            parts = path.relative_to(PROJECT).with_suffix("").parts
            if parts[:3] != ("harness", "convert", "tools"):
                yield ".".join(part for part in parts if part != "__init__"), path


def layer_of(module):
    for level, names in enumerate(LAYERS):
        if any(module == name or module.startswith(f"{name}.") for name in names):
            return level
    return None


def imports(path, module):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    ("module", "path"), [pytest.param(m, p, id=m) for m, p in modules() if m != "harness"]
)
def test_a_module_imports_nothing_from_below_its_layer(module, path):
    own = layer_of(module)
    assert own is not None, f"{module} is in no layer: give it a place in the list"
    below = {name for name in imports(path, module) if (level := layer_of(name)) is not None and level > own}
    assert not below


def test_the_runner_imports_only_what_is_on_a_device():
    for module, path in modules():
        if module.startswith("harness.runner"):
            foreign = {name.split(".")[0] for name in imports(path, module)} - RUNNER_MAY_IMPORT
            assert not foreign, module
