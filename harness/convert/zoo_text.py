"""Write what was read of a collection as tables of a zoo, for people to go on with."""

import json
from collections.abc import Iterator, Sequence

from harness.convert.importing import OPEN, ReadArtifact, ReadNetwork
from harness.models.artifact_tables import LAYOUTS
from harness.spec import TensorSpec

HEAD = """\
# Networks that are converted already, found by `pocketbench models import`; docs/models.md, "Models that are
# converted already", explains every key. Every feed is a stand_in: it runs at once and is no more than that.
# Parity means something once each network is shown what it is for (docs/models.md, "Feeds").
"""
FILL_IN = "fill in: 0 is a size that the files leave open"


def zoo_text(networks: Sequence[ReadNetwork], *, root: str, prefix: str = "", convert: bool = False) -> str:
    """A zoo of `networks`, whose files lie in `root` as seen from the zoo's folder.

    With `convert` an fp32 ONNX is the model's source as well, so that what is missing is converted from it.
    """
    tables = ("\n".join(_table(one, root, prefix, convert=convert)) for one in networks)
    return "\n".join((HEAD, *(f"{table}\n" for table in tables)))


def _table(network: ReadNetwork, root: str, prefix: str, *, convert: bool) -> Iterator[str]:
    name = f"{prefix}{network.name}"
    onnx = next((one for one in network.artifacts if _is_onnx(one)), None)
    yield f"[models.{name}]"
    if convert and onnx is not None:
        yield f"source = {_quoted(_source(root, onnx, 'onnx'))}"
        yield f'sha256 = "{onnx.sha256["onnx"]}"'
    inputs = [_input(tensor) for tensor in network.inputs]
    if len(inputs) == 1 and not network.open_inputs:
        yield f"inputs = [{inputs[0]}]"
    else:
        yield "inputs = ["
        for tensor, text in zip(network.inputs, inputs, strict=True):
            yield f"    {text},{f' # {FILL_IN}' if OPEN in tensor.shape else ''}"
        yield "]"
    yield 'feed = "stand_in" # replace it'
    if onnx is None:
        yield "# No ONNX in fp32: parity is unknown until `reference` names a runtime below that is right."
    yield ""
    yield f"[models.{name}.artifacts]"
    for runtime in LAYOUTS:
        same = [one for one in network.artifacts if one.found.runtime == runtime]
        if len(same) == 1:
            yield f"{runtime} = {_artifact(same[0], root)}{_comment(same[0])}"
        elif same:
            yield f"{runtime} = ["
            for one in same:
                yield f"    {_artifact(one, root)},{_comment(one)}"
            yield "]"


def _is_onnx(one: ReadArtifact) -> bool:
    return (one.found.runtime, one.found.precision) == ("onnxruntime", "fp32")


def _input(tensor: TensorSpec) -> str:
    dtype = "" if tensor.dtype == "float32" else f', dtype = "{tensor.dtype}"'
    return f"{{ name = {_quoted(tensor.name)}, shape = {list(tensor.shape)}{dtype} }}"


def _artifact(one: ReadArtifact, root: str) -> str:
    keys = {role: key for layout in LAYOUTS[one.found.runtime] for key, role in layout.roles.items()}
    parts = []
    for role in one.found.files:
        key = keys[role]
        parts.append(f"{key} = {_quoted(_source(root, one, role))}")
        parts.append(f'{"sha256" if key == "source" else f"{key}_sha256"} = "{one.sha256[role]}"')
    if one.found.precision != "fp32":
        parts.append(f'precision = "{one.found.precision}"')
    return f"{{ {', '.join(parts)} }}"


def _source(root: str, one: ReadArtifact, role: str) -> str:
    path = one.found.files[role]
    return f"file:{path if root in {'', '.'} else f'{root}/{path}'}"


def _comment(one: ReadArtifact) -> str:
    return f" # {one.note}" if one.note else ""


def _quoted(text: str) -> str:
    """A basic string of TOML, which JSON's are but for the delete character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
