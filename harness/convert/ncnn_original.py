"""To ncnn from TorchScript: pnnx takes it as it takes ONNX, but counts inputs as the file orders them."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.convert import param_text
from harness.errors import ConversionError
from harness.models.originals import PreparedOriginal
from harness.spec import TensorSpec


def place_original(original: PreparedOriginal, folder: Path) -> Path:
    """A copy in `folder`, beside which pnnx may write its dozen files."""
    return Path(shutil.copyfile(original.files["torchscript"], folder / "model.pt"))


def in_file_order(original: PreparedOriginal) -> tuple[TensorSpec, ...]:
    """The inputs as the file orders them."""
    by_name = {tensor.name: tensor for tensor in original.inputs}
    return tuple(by_name[name] for name in original.order)


def explained(error: ConversionError) -> ConversionError:
    """The death of pnnx on TorchScript, with what helps; it has no words of its own."""
    return ConversionError(
        f"{error}. pnnx dies of many a network that was scripted: give it one that was traced "
        "(torch.jit.trace), or scripted and frozen (torch.jit.freeze)",
        error.log,
    )


def arrange(param: Path, original: PreparedOriginal, axes: Sequence[int | None]) -> list[int | None]:
    """Count inputs and outputs in `param` as the model orders them; returns `axes` in that order.

    Raises ConversionError when the zoo names an output that the network does not have.
    """
    text = param.read_text("utf-8")
    present = param_text.outputs_of(param_text.read_layers(text))
    for name in original.outputs:
        if name not in present:
            raise ConversionError(f"the network has no output {name!r}; it has {', '.join(sorted(present))}")
    places = {name: original.order.index(name) for name in original.order}
    names = {f"in{places[tensor.name]}": f"in{index}" for index, tensor in enumerate(original.inputs)}
    names |= {name: f"out{index}" for index, name in enumerate(original.outputs)}
    if any(old != new for old, new in names.items()):
        param.write_text(param_text.renamed(text, names), "utf-8")
    return [axes[places[tensor.name]] for tensor in original.inputs]
