"""ncnn's own quantizer, ncnn2table and ncnn2int8, where the user has them: they are in no package.

POCKETBENCH_NCNN_TOOLS names the directory that holds both; they then do what the calibration method `kl` asks
for. What they take, and that they end with 0 whatever happened:
https://github.com/Tencent/ncnn/tree/master/tools/quantize
"""

import os
import platform
import shutil
import subprocess
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from harness.cache import file_sha256
from harness.convert.param_text import Layer, inputs_of, read_layers
from harness.errors import ConversionError, PocketbenchError, UnknownNameError, UnsupportedError
from harness.spec import Frozen, TensorSpec
from harness.toolchains import require_files, run_tool

SETTING: Final = "POCKETBENCH_NCNN_TOOLS"
METHOD: Final = "kl"
QUANTIZABLE: Final = ("Convolution", "ConvolutionDepthWise", "InnerProduct")
SCALE_TERM: Final = "8"
"""Parameter of these layers that says whether they compute in int8."""

TABLE: Final = "int8.table"
SAMPLES: Final = "samples"
MOST_AXES: Final = 4
USAGE_TIMEOUT_S: Final = 10.0
TIMEOUT_S: Final = 1800.0


class NcnnTools(Frozen, frozen=True, kw_only=True):
    """The two programs; they print no version, so their content says which they are."""

    ncnn2table: Path
    ncnn2int8: Path

    @classmethod
    def supplied(cls) -> Self | None:
        """Those in the directory that POCKETBENCH_NCNN_TOOLS names; None when it names none.

        Raises PocketbenchError when one is not there, does not run on this machine, or reads images alone.
        """
        named = os.environ.get(SETTING)
        if not named:
            return None
        folder = Path(named).absolute()
        table, int8 = (_program(folder / name) for name in ("ncnn2table", "ncnn2int8"))
        if "type=0/1" not in _usage(table):
            raise PocketbenchError(
                f"{table} ({SETTING}) reads images alone: the model's own inputs go by .npy files, which "
                "ncnn2table reads since 2024. Take a newer one"
            )
        _usage(int8)
        return cls(ncnn2table=table, ncnn2int8=int8)

    @property
    def version(self) -> dict[str, str]:
        """What an artifact's key and record say of them, and of how they are used here."""
        files = {"ncnn2table": self.ncnn2table, "ncnn2int8": self.ncnn2int8, "used by": Path(__file__)}
        return {name: file_sha256(path)[:12] for name, path in files.items()}


class FloatNetwork(Frozen, frozen=True, kw_only=True):
    """What is quantized: .param and .bin in one folder, `inputs` in the order of in0, in1 ...

    `axes` are the batch axes that the network does not have, None where it has all.
    """

    param: Path
    weights: Path
    inputs: Sequence[TensorSpec]
    axes: Sequence[int | None]


def quantize(
    tools: NcnnTools,
    network: FloatNetwork,
    samples: Sequence[Path],
    leave_out: Collection[str],
    out: tuple[Path, Path],
) -> dict[str, Any]:
    """Write the int8 network to `out`, .param and .bin; returns how many layers of it compute in int8.

    Nothing is written where that would be none.

    `leave_out` are names of layers that stay floats. Raises ConversionError when a tool fails,
    UnsupportedError for inputs that ncnn2table cannot read.
    """
    folder = network.param.parent
    layers = read_layers(network.param.read_text("utf-8"))
    names = [layer.name for layer in layers if layer.kind in QUANTIZABLE]
    for name in leave_out:
        if name not in names:
            raise UnknownNameError("layer to quantize", name, names)
    if set(names) <= set(leave_out):
        return {"int8": {}}
    shown = _write_samples(folder / SAMPLES, network, layers, samples)
    table = folder / TABLE
    # Names without a folder: it cuts paths at blanks and at 255 characters.
    floats = (network.param.name, network.weights.name)
    command = [str(tools.ncnn2table), *floats, ",".join(shown.lists), TABLE]
    command += [f"shape={','.join(shown.shapes)}", f"method={METHOD}", "type=1"]
    command += [f"thread={len(os.sched_getaffinity(0))}"]
    printed = run_tool("ncnn2table", command, cwd=folder, env={}, timeout_s=TIMEOUT_S)
    require_files("ncnn2table", printed, table)
    table.write_text(_without(table.read_text("utf-8"), leave_out), "utf-8")
    command = [str(tools.ncnn2int8), *floats, *(path.name for path in out), TABLE]
    printed = run_tool("ncnn2int8", command, cwd=folder, env={}, timeout_s=TIMEOUT_S)
    require_files("ncnn2int8", printed, *out)
    shutil.rmtree(folder / SAMPLES)
    return _found(out[0], printed)


class _Shown(Frozen, frozen=True, kw_only=True):
    """For each Input layer in its order: the list of its .npy files, and its sizes as ncnn2table has them."""

    lists: tuple[str, ...]
    shapes: tuple[str, ...]


def _write_samples(
    folder: Path, network: FloatNetwork, layers: Sequence[Layer], samples: Sequence[Path]
) -> _Shown:
    """Write each sample's arrays as .npy files, without the batch that the network does not have."""
    folder.mkdir()
    given = {f"in{index}": pair for index, pair in enumerate(zip(network.inputs, network.axes, strict=True))}
    lists, shapes = [], []
    for blob in inputs_of(layers):
        tensor, axis = given[blob]
        sizes = [size for position, size in enumerate(tensor.shape) if position != axis]
        if tensor.dtype != "float32" or not 1 <= len(sizes) <= MOST_AXES:
            raise UnsupportedError(
                f"ncnn2table reads samples of float32 with 1 to {MOST_AXES} axes, and {tensor.name} is "
                f"{tensor.dtype} with {len(sizes)}: unset {SETTING}, or ask for another calibration method"
            )
        files = [f"{SAMPLES}/{number:04}-{blob}.npy" for number in range(len(samples))]
        for file, sample in zip(files, samples, strict=True):
            with np.load(sample) as stored:
                np.save(folder.parent / file, np.ascontiguousarray(stored[tensor.name].reshape(sizes)))
        (folder / f"{blob}.txt").write_text("\n".join([*files, ""]))
        lists.append(f"{SAMPLES}/{blob}.txt")
        shapes.append(f"[{','.join(str(size) for size in reversed(sizes))}]")
    return _Shown(lists=tuple(lists), shapes=tuple(shapes))


def _without(table: str, leave_out: Collection[str]) -> str:
    """The table without the lines of some layers, which ncnn2int8 then leaves alone.

    A line is a layer's name and the scale of its input, or its name with `_param_0` and those of its weights.
    """
    kept = (
        line
        for line in table.splitlines(keepends=True)
        if line.partition(" ")[0].removesuffix("_param_0") not in leave_out
    )
    return "".join(kept)


def _found(param: Path, printed: str) -> dict[str, Any]:
    layers = [layer for layer in read_layers(param.read_text("utf-8")) if layer.kind in QUANTIZABLE]
    int8 = Counter(layer.kind for layer in layers if _scale_term(layer))
    rest = Counter(layer.kind for layer in layers if not _scale_term(layer))
    if not int8:
        raise ConversionError("ncnn2int8 ended without an error and quantized nothing", printed)
    return {"int8": dict(int8), "left_in_fp16": dict(rest)}


def _scale_term(layer: Layer) -> int:
    said = dict(item.split("=", 1) for item in layer.settings if "=" in item)
    return int(said.get(SCALE_TERM, "0"))


def _program(path: Path) -> Path:
    if not path.is_file():
        raise PocketbenchError(
            f"{SETTING} names {path.parent}, which has no {path.name}. It is the directory with ncnn2table "
            "and ncnn2int8: bin/ of ncnn's release archives, or of its source built with NCNN_BUILD_TOOLS=ON"
        )
    return path


def _usage(program: Path) -> str:
    """What it prints without arguments; raises PocketbenchError when it is not what its name says."""
    where = f"{program} ({SETTING})"
    try:
        done = subprocess.run(
            [program],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=USAGE_TIMEOUT_S,
        )
    except PermissionError as error:
        raise PocketbenchError(f"{where} may not be run: chmod +x {program}") from error
    except OSError as error:
        raise PocketbenchError(
            f"{where} cannot be started ({error.strerror}): is it made for this machine, "
            f"{platform.system()} on {platform.machine()}?"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise PocketbenchError(f"{where} is not {program.name}: it waits where it should end") from error
    printed = done.stdout + done.stderr
    if "usage" not in printed.lower():
        said = printed.strip().splitlines() or [f"it ends with {done.returncode} and prints nothing"]
        raise PocketbenchError(f"{where} does not run: {said[-1]}")
    return printed
