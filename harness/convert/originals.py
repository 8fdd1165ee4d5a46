"""Conversions that start from what another framework wrote: which of its inputs and outputs are the model's.

The file's own names count. TorchScript tells them itself; of the others the runtime tells them, once the file
is converted to fp32, and that is asked before a quantizer needs them.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harness.cache import Cache
from harness.convert import MadeArtifact, make_artifact
from harness.convert.base import Format
from harness.convert.calibration import CALIBRATED, DEFAULT_PLAN, CalibrationPlan, calibrate
from harness.convert.interface import Interface, Port, read_interface
from harness.convert.matching import Wanted, match_inputs
from harness.convert.supplied import Supply, job_options, outputs_told
from harness.errors import ConversionError, PocketbenchError, UnsupportedError
from harness.models.original_files import torchscript_inputs
from harness.models.originals import PreparedOriginal, find_original, prepare_original, told
from harness.models.prepare import Prepared, prepare
from harness.spec import Artifact, Frozen, Model, Original, TensorSpec


class OpenedOriginal(Frozen, frozen=True, kw_only=True):
    """What a converter gets of an original, and the model's inputs as the file has them."""

    file: PreparedOriginal
    inputs: tuple[TensorSpec, ...]
    interface: Interface


def inputs_wanted(model: Model, prepared: Prepared | None) -> list[Wanted]:
    """The model's inputs in the order of its feed, by their names in the zoo and in the frozen source."""
    if prepared is None:
        return [Wanted.of(tensor) for tensor in model.inputs]
    pairs = zip(prepared.inputs, prepared.original_inputs, strict=True)
    return [Wanted.of(tensor, original) for tensor, original in pairs]


def to_convert(cache: Cache, model: Model, form: Format, base: Path) -> Prepared | PreparedOriginal:
    """What `model` is converted from for `form`: the zoo's original for the runtime, else its source.

    Raises PocketbenchError as `open_original` and `prepare` do.
    """
    original = find_original(model, form.runtime)
    if original is None:
        return prepare(cache, model, base)
    prepared = prepare(cache, model, base) if model.source else None
    tokens = prepared.tokens if prepared else None
    inputs = inputs_wanted(model, prepared)
    return open_original(cache, model, original, form, base, inputs=inputs, tokens=tokens).file


def open_original(
    cache: Cache,
    model: Model,
    original: Original,
    form: Format,
    base: Path,
    *,
    inputs: Sequence[Wanted],
    tokens: Path | None = None,
) -> OpenedOriginal:
    """`original` with the names of `inputs`, which are the model's.

    `tokens` is what the source's tokenizer made of the feed's text, for calibrating. Raises PocketbenchError
    when a file is missing or another than the zoo says, or when its inputs are not the model's;
    UnsupportedError (ConversionError with the log) when it cannot be read.
    """
    file = prepare_original(cache, model, original, base)
    with _said_of(model, original):
        interface = _interface(cache, file, form)
        names = match_inputs(inputs, interface.inputs, original.inputs, hints=False)
    specs = tuple(
        TensorSpec(name=name, shape=one.shape, dtype=one.dtype)
        for name, one in zip(names, inputs, strict=True)
    )
    if form.runtime == "ncnn" or form.precision in CALIBRATED:
        file = msgspec.structs.replace(
            file,
            inputs=specs,
            order=tuple(port.name for port in interface.inputs),
            outputs=original.outputs or tuple(port.name for port in interface.outputs),
            original_inputs=tuple(one.names[0] for one in inputs),
            tokens=tokens,
        )
    return OpenedOriginal(file=file, inputs=specs, interface=interface)


def convert_original(
    cache: Cache,
    model: Model,
    original: Original,
    form: Format,
    base: Path,
    *,
    inputs: Sequence[Wanted],
    outputs: Sequence[Wanted] | None,
    tokens: Path | None = None,
    plan: CalibrationPlan = DEFAULT_PLAN,
) -> Supply:
    """`original`, converted for `form`; without `outputs`, which are the reference's, all the file has.

    Raises as `open_original` does, and UnsupportedError (ConversionError with the log) when it cannot be
    converted.
    """
    opened = open_original(cache, model, original, form, base, inputs=inputs, tokens=tokens)
    with _said_of(model, original):
        calibrated = form.precision in CALIBRATED
        calibration = calibrate(cache, model, opened.file, base, plan) if calibrated else None
        made = make_artifact(cache, opened.file, form, calibration)
        interface = _counted(cache, made, form) if form.runtime == "ncnn" else opened.interface
        given = outputs_told(interface, outputs, _named(original, form))
    options = made.job_options
    if form.runtime != "ncnn":
        options = {**options, **job_options(form.runtime, interface, opened.inputs, given)}
    artifact = msgspec.structs.replace(
        made, record=_recorded(made, original, opened.inputs, given), job_options=options
    )
    return Supply(artifact=artifact, inputs=opened.inputs, outputs=given)


def _interface(cache: Cache, file: PreparedOriginal, form: Format) -> Interface:
    """Inputs and outputs under the names that the file gives them, as far as they can be told beforehand."""
    if file.framework == "torchscript" and form.runtime == "ncnn":
        ports = tuple(Port(name=name) for name in torchscript_inputs(file.files["torchscript"]))
        return Interface(inputs=ports, outputs=())
    plain = Format(runtime=form.runtime, version=form.version, precision="fp32")
    return _read(cache, make_artifact(cache, file, plain), plain)


def _named(original: Original, form: Format) -> tuple[str, ...]:
    """What the converted file calls the outputs that the zoo names; ncnn's are counted in the zoo's order."""
    if form.runtime == "ncnn":
        return tuple(f"out{index}" for index in range(len(original.outputs)))
    return original.outputs


def _counted(cache: Cache, made: MadeArtifact, form: Format) -> Interface:
    """The interface of a network that pnnx made, its outputs in the order of their numbers.

    A blob without one is no output, though nothing takes it: the unused half of a Split, an LSTM's state.
    """
    found = _read(cache, made, form)
    numbered = {
        int(match[1]): port for port in found.outputs if (match := re.fullmatch(r"out(\d+)", port.name))
    }
    return msgspec.structs.replace(found, outputs=tuple(numbered[place] for place in sorted(numbered)))


def _read(cache: Cache, made: MadeArtifact, form: Format) -> Interface:
    files = {role: made.path / name for role, name in made.record.files.items()}
    return read_interface(cache, form.runtime, form.version, files)


def _recorded(
    made: MadeArtifact, original: Original, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> Artifact:
    """The record, with where the original came from and what it calls what goes in and comes out."""
    from_where = {
        **made.record.options["original"],
        "sources": {key: pinned.source for key, pinned in original.files.items()},
        "inputs": [tensor.name for tensor in inputs],
        "outputs": [tensor.name for tensor in outputs],
    }
    return msgspec.structs.replace(made.record, options={**made.record.options, "original": from_where})


@contextmanager
def _said_of(model: Model, original: Original) -> Iterator[None]:
    """Names the model and the file in what goes wrong within."""
    where = f"model {model.name}, {told(original)}"
    try:
        yield
    except ConversionError as error:
        raise ConversionError(f"{where}: {error}", error.log) from error
    except UnsupportedError as error:
        # Its subclasses, such as a tool that hung, are refusals of another kind.
        raise type(error)(f"{where}: {error}") from error
    except PocketbenchError as error:
        raise PocketbenchError(f"{where}: {error}") from error
