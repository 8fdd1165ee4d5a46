"""ONNX files and the runtimes' own formats with one thing wrong each."""

from model_samples import runtimes
from model_samples.folders import POINTER


def onnx_cut_off(folder):
    runtimes.onnx(folder / "net.onnx")
    _cut(folder / "net.onnx", 10)


def onnx_is_a_pointer(folder):
    (folder / "net.onnx").write_text(POINTER.format(size=7304518))


def onnx_is_something_else(folder):
    (folder / "net.onnx").write_bytes(b"\x00\x01 no protobuf")


def onnx_external_data_missing(folder):
    runtimes.onnx(folder / "net.onnx", external=("net.onnx.data", 24))


def onnx_external_data_cut_off(folder):
    runtimes.onnx(folder / "net.onnx", external=("net.onnx.data", 24))
    (folder / "net.onnx.data").write_bytes(bytes(20))


def onnx_external_data_outside(folder):
    runtimes.onnx(folder / "net.onnx", external=("../net.onnx.data", 24))


def onnx_weights_short(folder):
    runtimes.onnx(folder / "net.onnx", short=True)


def onnx_dynamic(folder):
    runtimes.onnx(folder / "net.onnx", shape=("batch", 3, "height", "width"))


def onnx_opset_too_new(folder):
    runtimes.onnx(folder / "net.onnx", opset=27)


def onnx_operator_unknown(folder):
    runtimes.onnx(folder / "net.onnx", operator="Convolve")


def onnx_domain_unknown(folder):
    runtimes.onnx(folder / "net.onnx", operator="FusedConv", domain="com.microsoft")


def mnn_cut_off(folder):
    runtimes.mnn(folder / "net.mnn")
    _cut(folder / "net.mnn", 120)


def mnn_is_something_else(folder):
    (folder / "net.mnn").write_bytes(bytes(64))


def ncnn_weights_missing(folder):
    runtimes.ncnn(folder)
    (folder / "net.bin").unlink()


def ncnn_weights_cut_off(folder):
    runtimes.ncnn(folder)
    _cut(folder / "net.bin", 6)


def ncnn_weights_of_another(folder):
    runtimes.ncnn(folder)
    with (folder / "net.bin").open("ab") as stream:
        stream.write(bytes(16))


def ncnn_layers_cut_off(folder):
    runtimes.ncnn(folder)
    _keep_lines(folder / "net.param", slice(None, -1))


def ncnn_without_magic(folder):
    runtimes.ncnn(folder)
    _keep_lines(folder / "net.param", slice(1, None))


def ncnn_wired_wrongly(folder):
    """A layer takes what no layer makes."""
    runtimes.ncnn(folder)
    text = (folder / "net.param").read_text()
    (folder / "net.param").write_text(text.replace("1 1 1 out0", "1 1 2 out0"))


def paddlelite_cut_off(folder):
    runtimes.paddlelite(folder / "net.nb")
    _cut(folder / "net.nb", 30)


def paddlelite_of_old(folder):
    (folder / "net.nb").write_bytes(bytes(64))


def paddle_parameters_missing(folder):
    runtimes.paddle(folder)
    (folder / "model.pdiparams").unlink()


def paddle_parameters_cut_off(folder):
    runtimes.paddle(folder)
    _cut(folder / "model.pdiparams", 4)


def paddle_parameters_of_another(folder):
    runtimes.paddle(folder)
    tensor = (folder / "model.pdiparams").read_bytes()
    (folder / "model.pdiparams").write_bytes(tensor + tensor)


def tflite_is_something_else(folder):
    (folder / "net.tflite").write_bytes(b"\x1c\x00\x00\x00TFL2" + bytes(32))


def tflite_cut_off(folder):
    runtimes.tflite(folder / "net.tflite")
    _cut(folder / "net.tflite", 16)


def gguf_cut_off(folder):
    runtimes.gguf(folder / "net.gguf")
    _cut(folder / "net.gguf", 8)


def gguf_is_something_else(folder):
    (folder / "net.gguf").write_bytes(b"ggml" + bytes(32))


def _cut(path, count):
    path.write_bytes(path.read_bytes()[:-count])


def _keep_lines(path, kept):
    path.write_text("".join(path.read_text().splitlines(keepends=True)[kept]))


BROKEN = {
    onnx_cut_off: ["truncated"],
    onnx_is_a_pointer: ["lfs-pointer"],
    onnx_is_something_else: ["not-onnx"],
    onnx_external_data_missing: ["external-missing"],
    onnx_external_data_cut_off: ["external-truncated"],
    onnx_external_data_outside: ["external-outside"],
    onnx_weights_short: ["bytes-mismatch"],
    onnx_dynamic: ["dynamic-shapes"],
    onnx_opset_too_new: ["opset-too-new"],
    onnx_operator_unknown: ["operator-unknown"],
    onnx_domain_unknown: ["foreign-domain"],
    mnn_cut_off: ["truncated"],
    mnn_is_something_else: ["not-mnn"],
    ncnn_weights_missing: ["no-bin"],
    ncnn_weights_cut_off: ["truncated"],
    ncnn_weights_of_another: ["trailing-bytes"],
    ncnn_layers_cut_off: ["layer-count"],
    ncnn_without_magic: ["not-ncnn"],
    ncnn_wired_wrongly: ["blob-unmade"],
    paddlelite_cut_off: ["truncated"],
    paddlelite_of_old: ["old-format"],
    paddle_parameters_missing: ["paddle-part-missing"],
    paddle_parameters_cut_off: ["truncated"],
    paddle_parameters_of_another: ["tensor-count"],
    tflite_is_something_else: ["not-tflite"],
    tflite_cut_off: ["truncated"],
    gguf_cut_off: ["truncated"],
    gguf_is_something_else: ["not-gguf"],
}
"""What is wrong -> the kinds of finding that must tell it."""
