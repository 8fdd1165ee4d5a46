"""Stands in for ncnn2table and ncnn2int8, which are in no package: `python ncnn_quantizer.py NAME ...`.

Keeps what their source says of arguments, lists, tables, usage and exit codes
(https://github.com/Tencent/ncnn/tree/master/tools/quantize), of the runs with .npy files that reach as far as
the largest value. ncnn itself judges what it makes. Runs where ncnn and harness/convert/tools are to be had.
"""

import sys
from pathlib import Path

import ncnn
import numpy as np
from ncnn_files import read_layers, write_param

KINDS = {"Convolution": 2, "ConvolutionDepthWise": 1, "InnerProduct": 2}
USAGE = {
    "ncnn2table": (
        "Usage: ncnn2table [ncnnparam] [ncnnbin] [list,...] [ncnntable] [(key=value)...]\n"
        "  method=kl/aciq/eq\n  type=0/1, 0:image,1:npy\n"
    ),
    "ncnn2int8": "usage: ncnn2int8 [inparam] [inbin] [outparam] [outbin] [calibration table]\n",
}


def main(name, *arguments):
    if len(arguments) < (4 if name == "ncnn2table" else 5):
        fail(USAGE[name])
    if name == "ncnn2table":
        write_table(*arguments[:4], dict(pair.split("=", 1) for pair in arguments[4:]))
    else:
        write_int8(*arguments)


def fail(said):
    sys.stderr.write(said)
    sys.exit(255)


def write_table(param, weights, lists, table, options):
    if options.get("type") != "1" or options.get("method") != "kl":
        fail("this one reads .npy files and knows kl\n")
    samples = [Path(name).read_text().split() for name in lists.split(",")]
    shapes = [part.strip("[],") for part in options["shape"].split("],")]
    if len(shapes) != len(samples):
        fail(f"expect {len(samples)} shapes, but got {len(shapes)}\n")
    lines, layers = read_layers(Path(param), Path(weights))
    done = [layer for layer in layers if layer.kind in KINDS]
    inputs = [lines[layer.line].split()[4] for layer in layers if layer.kind == "Input"]
    network = ncnn.Net()
    network.opt.lightmode = False
    network.load_param(param)
    network.load_model(weights)
    reach = dict.fromkeys((layer.bottoms[0] for layer in done), 0.0)
    for files in zip(*samples, strict=True):
        extractor, kept = network.create_extractor(), []
        for blob, file, shape in zip(inputs, files, shapes, strict=True):
            array = np.load(file)
            if array.dtype != np.float32 or array.shape != tuple(map(int, shape.split(",")))[::-1]:
                fail("shape mismatch!\n")
            kept.append(ncnn.Mat(array).clone())
            extractor.input(blob, kept[-1])
        for blob in reach:
            reach[blob] = max(reach[blob], float(np.abs(np.array(extractor.extract(blob)[1])).max()))
    with Path(table).open("w") as stream:
        for layer in done:
            scales = 127 / np.abs(layer.weights.values.reshape(layer.weights.channels, -1)).max(axis=1)
            stream.write(f"{name_of(lines, layer)}_param_0 {' '.join(f'{scale:f}' for scale in scales)} \n")
        for layer in done:
            stream.write(f"{name_of(lines, layer)} {127 / reach[layer.bottoms[0]]:f} \n")


def write_int8(param, weights, out_param, out_weights, table):
    lines, layers = read_layers(Path(param), Path(weights))
    scales = {}
    for line in Path(table).read_text().splitlines():
        name, *numbers = line.split()
        scales[name] = np.array(numbers, "<f4")
    with Path(out_weights).open("wb") as stream:
        for layer in layers:
            name = name_of(lines, layer)
            if layer.kind not in KINDS or name not in scales:
                stream.write(layer.raw)
                continue
            by_channel = scales[f"{name}_param_0"]
            rows = layer.weights.values.reshape(layer.weights.channels, -1)
            stored = np.clip(np.rint(rows * by_channel[:, None]), -127, 127).astype(np.int8).tobytes()
            stream.write((0x000D4B38).to_bytes(4, "little") + stored + b"\0" * (-len(stored) % 4))
            stream.write(
                np.concatenate([layer.weights.bias, by_channel, scales[name]]).astype("<f4").tobytes()
            )
            lines[layer.line] += f" 8={KINDS[layer.kind]}"
    write_param(Path(out_param), lines)


def name_of(lines, layer):
    return lines[layer.line].split()[1]


if __name__ == "__main__":
    main(*sys.argv[1:])
