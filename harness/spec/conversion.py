"""What can be asked of a conversion beyond its precision: the options that users of each converter know.

`[models.NAME.conversion.RUNTIME.PRECISION]` of a zoo is one of these, `[models.NAME.calibration]` is
CalibrationSettings. What is left out is what every model gets.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from harness.spec.base import Frozen

METHODS: Final = ("minmax", "percentile", "kl", "ema", "admm", "dynamic")
"""How a tensor's range is chosen; which of them a runtime has, and its default, its converter says.

minmax takes the largest values seen, percentile leaves the rarest out, kl takes the range that keeps the most
of the distribution (Kullback-Leibler divergence; "entropy" in onnxruntime), ema a moving average of largest
values, admm iterates weights and ranges together; dynamic reads ranges off each input while it runs, and no
samples.
"""

MOST_SAMPLES: Final = 1000

Percentile = Annotated[float, msgspec.Meta(gt=50, le=100)]
"""How much of what was seen a range holds, in percent; the rest is cut off."""

USUAL_PERCENTILE: Final = 99.999


class ConversionOptions(Frozen, frozen=True, kw_only=True):
    """Base of the options of one runtime and precision; without arguments they are the defaults."""

    @property
    def asked(self) -> dict[str, Any]:
        """Those that are not the default, as plain data."""
        default = msgspec.to_builtins(type(self)())
        given: dict[str, Any] = msgspec.to_builtins(self)
        return {name: value for name, value in given.items() if value != default[name]}


class MnnWeights(ConversionOptions, frozen=True, kw_only=True):
    """Weights in 8 bits: a step and an offset for every `block` of them, by half-quadratic quantization.

    With one step for a channel, or with steps by the largest weight, a recogniser reads another text
    (docs/runtimes.md). `block` 0 is a whole output channel. A `symmetric` step has no offset, and hqq none
    without one.
    """

    block: int = 32
    symmetric: bool = False
    hqq: bool = True

    def __post_init__(self) -> None:
        if self.block < 0 or self.block % 16:
            # mnnconvert would take a whole channel for any other number, and not say so.
            raise ValueError(f"block is a multiple of 16, or 0 for a whole channel, not {self.block}")
        if self.symmetric and self.hqq:
            raise ValueError("hqq chooses a step and an offset: beside symmetric = true write hqq = false")


class MnnFourBits(MnnWeights, frozen=True, kw_only=True):
    """The same in 4 bits."""

    block: int = 16


class MnnInt8(ConversionOptions, frozen=True, kw_only=True):
    """mnnquant: how it rounds weights, how many of the 127 steps activations use, operators left in fp32."""

    weight_method: Literal["max_abs", "admm"] = "max_abs"
    feature_clamp: Annotated[int, msgspec.Meta(ge=1, le=127)] = 127
    leave_out: tuple[str, ...] = ()


class OnnxruntimeFp16(ConversionOptions, frozen=True, kw_only=True):
    """Kinds of operators, and single nodes, that stay in float."""

    float_operators: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()


class OnnxruntimeWeights(ConversionOptions, frozen=True, kw_only=True):
    """MatMulNBits: weights that share a step (and an offset unless `symmetric`), nodes left in fp32.

    At `accuracy_level` 0 activations stay floats, at 4 they would be 8 bits.
    """

    block: Literal[16, 32, 64, 128, 256] = 32
    symmetric: bool = False
    accuracy_level: Literal[0, 1, 2, 3, 4] = 0
    leave_out: tuple[str, ...] = ()


class OnnxruntimeInt8(ConversionOptions, frozen=True, kw_only=True):
    """quantize_static: what is quantized, and how.

    Unsigned activations with signed weights are twice as fast on x86 as both signed or both unsigned. With
    `reduce_range` weights have 7 bits, for x86 without VNNI; `symmetric` puts an activation's zero in the
    middle. Depthwise convolutions gain little in speed and lose most in 8 bits. Where that leaves an output
    less than `target_db` of signal to noise, the worst operators stay in fp32; at 0 only `leave_out` does.
    """

    operators: tuple[str, ...] = ("Conv", "ConvTranspose", "Gemm", "MatMul")
    depthwise: bool = False
    leave_out: tuple[str, ...] = ()
    per_channel: bool = True
    activations: Literal["uint8", "int8"] = "uint8"
    weights: Literal["uint8", "int8"] = "int8"
    symmetric: bool = False
    reduce_range: bool = False
    percentile: Percentile = USUAL_PERCENTILE
    target_db: Annotated[float, msgspec.Meta(ge=0, le=60)] = 18.0

    def __post_init__(self) -> None:
        if (self.activations, self.weights) == ("int8", "uint8"):
            raise ValueError("onnxruntime has no signed activations with unsigned weights")


class NcnnInt8(ConversionOptions, frozen=True, kw_only=True):
    """Layers that stay in fp32, by their names in the .param file."""

    leave_out: tuple[str, ...] = ()
    percentile: Percentile = USUAL_PERCENTILE


class PaddleliteInt8(ConversionOptions, frozen=True, kw_only=True):
    """Paddle's names of the operators that are quantized; one step for each output channel or for all.

    The runtime's x86 kernels crash on quantized depthwise convolutions; fully connected layers become NaN.
    """

    operators: tuple[str, ...] = ("conv2d",)
    per_channel: bool = True


OPTIONS: Final[Mapping[str, Mapping[str, type[ConversionOptions]]]] = {
    "onnxruntime": {
        "fp16": OnnxruntimeFp16,
        "w8": OnnxruntimeWeights,
        "w4": OnnxruntimeWeights,
        "int8": OnnxruntimeInt8,
    },
    "mnn": {"w8": MnnWeights, "w4": MnnFourBits, "int8": MnnInt8},
    "ncnn": {"int8": NcnnInt8},
    "paddlelite": {"int8": PaddleliteInt8},
}
"""Runtime -> precision -> its options; there are none for what is not here."""


class CalibrationSettings(Frozen, frozen=True, kw_only=True):
    """What the zoo says of a model's calibration; `method` is one for all runtimes, or by runtime.

    `folder` is relative to the zoo file.
    """

    count: Annotated[int, msgspec.Meta(ge=1, le=MOST_SAMPLES)] | None = None
    method: str | dict[str, str] | None = None
    folder: str | None = None

    def method_for(self, runtime: str) -> str | None:
        """The method for `runtime`; None where it is the runtime's own default."""
        return self.method.get(runtime) if isinstance(self.method, dict) else self.method
