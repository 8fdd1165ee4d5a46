"""Tensors that are missing or of another shape: nothing complains when such a model is loaded."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final

from harness.models.doctor.config import Config, check_quantization
from harness.models.doctor.findings import Findings, error, good, listed, note, several, warning
from harness.models.doctor.layouts import Layout, layout_of
from harness.models.doctor.layouts.base import Shape
from harness.models.doctor.tensors import Tensors

MOST_SHAPES: Final = 8
"""Beyond this the rest is counted."""

ADVICE: Final = (
    "transformers fills what is missing with random numbers and says so in a warning only: "
    "fetch the weights again"
)


def check_tensors(config: Config, tensors: Tensors) -> Findings:
    """Compare the weights' names and shapes with those that the configuration implies."""
    packed = list(check_quantization(config))
    yield from packed
    if isinstance(config.get("quantization_config"), dict):
        return
    try:
        layout = layout_of(config)
    except (KeyError, TypeError, ZeroDivisionError) as failed:
        lack = f"lacks {failed}" if isinstance(failed, KeyError) else f"makes no sense ({failed})"
        told = f"{lack}: the tensors cannot be compared with it"
        yield warning("tensors", "config-key", "config.json", told, "is it the config.json of these weights?")
        return
    if layout is None:
        family = f"a {config['model_type']!r}" if config.get("model_type") else "a model of no type"
        told = f"which tensors {family} needs is not known here: not checked"
        yield note("tensors", "tensors-not-checked", "config.json", told)
        return
    yield from _compare(layout, _renamed(tensors), head=_has_head(config), shapes=not packed)


def _compare(layout: Layout, found: Mapping[str, Shape], *, head: bool, shapes: bool) -> Findings:
    with_base = any(name.startswith(layout.base) for name in found)
    prefix = layout.base if with_base else ""
    layers = _layers(prefix + layout.layer, found)
    unlike = [*_layer_count(layout, layers)]
    yield from unlike
    # With another number of layers, those that are there are compared.
    numbers = sorted(n for n in layers if n < layout.layers) if unlike else range(layout.layers)
    wanted = _wanted(layout, prefix, numbers, head=head and with_base)
    missing = [name for name in wanted if name not in found]
    if missing:
        told = f"{len(missing)} of {len(wanted)} tensors are missing: {listed(missing)}"
        yield error("tensors", "tensor-missing", "weights", told, ADVICE)
    wrong = [name for name, shape in wanted.items() if shapes and name in found and found[name] != shape]
    yield from _misshapen({name: (found[name], wanted[name]) for name in wrong})
    extra = [name for name in found if name not in wanted and not _may_be(name, layout, unlike=bool(unlike))]
    if extra:
        told = f"{len(extra)} tensors are none of what config.json implies: {listed(extra)}"
        advice = "is it the config.json of these weights?"
        yield warning("tensors", "tensor-unexpected", "weights", told, advice)
    if not (missing or wrong or unlike):
        told = f"{several(layout.layers, 'layer')}, all {len(wanted)} tensors that config.json implies"
        yield good("tensors", "weights", told)


def _wanted(layout: Layout, prefix: str, numbers: Iterable[int], *, head: bool) -> dict[str, Shape]:
    """Every tensor that a model with the layers `numbers` has."""
    fixed = {f"{prefix}{name}": shape for name, shape in layout.fixed.items()}
    layers = {
        f"{prefix}{layout.layer}{number}.{name}": shape
        for number in numbers
        for name, shape in layout.per_layer.items()
    }
    return {**fixed, **layers, **(layout.head if head else {})}


def _misshapen(shapes: Mapping[str, tuple[Shape, Shape]]) -> Findings:
    """Tensors with the shape they have and the one they should."""
    for name, (found, wanted) in list(shapes.items())[:MOST_SHAPES]:
        told = f"is {_form(found)}, the configuration makes it {_form(wanted)}"
        advice = "config.json belongs to another size or revision of the model"
        yield error("tensors", "shape-mismatch", name, told, advice)
    if len(shapes) > MOST_SHAPES:
        told = f"{len(shapes) - MOST_SHAPES} more have other shapes than config.json implies"
        yield error("tensors", "shape-mismatch", "weights", told, "see the first ones")


def _has_head(config: Config) -> bool:
    """Whether the class is one that says words: others of the family have a head of their own or none."""
    names = config.get("architectures")
    return not isinstance(names, list) or not names or any("CausalLM" in str(name) for name in names)


def _layers(prefix: str, found: Mapping[str, Shape]) -> set[int]:
    numbers = (name.removeprefix(prefix).partition(".")[0] for name in found if name.startswith(prefix))
    return {int(number) for number in numbers if number.isdecimal()}


def _layer_count(layout: Layout, layers: set[int]) -> Findings:
    within = sum(index < layout.layers for index in layers)
    if within == len(layers) == layout.layers:
        return
    held = f"{len(layers)} ({min(layers)} to {max(layers)})" if layers else "none"
    told = f"says {several(layout.layers, 'layer')}, the weights hold {held}"
    absent = layout.layers - within
    if absent > 0 and layers:
        first = next(index for index in range(layout.layers) if index not in layers)
        told += f"; {absent} missing, the first is {first}"
    advice = (
        ADVICE if absent > 0 else "config.json belongs to another size of the model, or its layers were cut"
    )
    yield error("tensors", "layer-count", "config.json", told, advice)


def _may_be(name: str, layout: Layout, *, unlike: bool) -> bool:
    if any(fnmatchcase(name, pattern) for pattern in layout.optional):
        return True
    return unlike and layout.layer in name


def _renamed(tensors: Tensors) -> dict[str, Shape]:
    """Shapes by name; BERTs from before 2020 call the weights of a norm gamma and beta."""
    return {_renamed_norm(name): tensor.shape for name, tensor in tensors.items()}


def _renamed_norm(name: str) -> str:
    for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _form(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "one number"
