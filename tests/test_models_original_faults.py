"""Originals that cannot be used: what is said of them."""

import shutil

import pytest
from peers.originals import (
    CAFFE,
    COMBINED,
    FIRST,
    HASH,
    LAST,
    TENSORFLOW,
    TFLITE,
    TORCHSCRIPT,
    UNCOMBINED,
    case,
)

from harness.bisect import make_bench
from harness.errors import ConversionError, PocketbenchError, UnsupportedError
from harness.models.sources import content_sha256

pytest_plugins = ["peers.original_fixtures"]


def cut(name):
    def shorten(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) * 2 // 3])

    return shorten


def copied(source, target):
    return lambda folder: shutil.copyfile(folder / source, folder / target)


def pointer(folder):
    (folder / "network.tflite").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    )


@pytest.mark.parametrize(
    ("change", "originals", "shape", "kind", "said"),
    [
        (None, 'mnn = "file:gone.pb"', LAST, PocketbenchError, r"there is no file .*gone\.pb"),
        (pointer, TFLITE, LAST, PocketbenchError, r"network\.tflite is a git-lfs pointer"),
        (
            pointer,
            f'mnn = {{ tflite = "file:network.tflite", sha256 = "{HASH}" }}',
            LAST,
            PocketbenchError,
            r"network\.tflite is a git-lfs pointer",
        ),
        (
            None,
            f'mnn = {{ tflite = "file:network.tflite", sha256 = "{HASH}" }}',
            LAST,
            PocketbenchError,
            "its sha256 is [0-9a-f]{64}, expected aaaa",
        ),
        (cut("network.tflite"), TFLITE, LAST, ConversionError, r"network\.tflite is cut off"),
        (cut("network.pb"), TENSORFLOW, LAST, ConversionError, r"network\.pb is cut off"),
        (cut("network.caffemodel"), CAFFE, FIRST, ConversionError, r"network\.caffemodel is cut off"),
        (
            cut("network.pt"),
            TORCHSCRIPT,
            FIRST,
            ConversionError,
            r"network\.pt is cut off, or no TorchScript",
        ),
        (cut("network.pdmodel"), COMBINED, FIRST, ConversionError, r"network\.pdmodel is cut off"),
        (
            cut("network.pdiparams"),
            COMBINED,
            FIRST,
            ConversionError,
            r"network\.pdiparams is cut off or damaged within tensor \d of 3",
        ),
        (
            lambda folder: (folder / "uncombined/linear_0.w_0").unlink(),
            UNCOMBINED,
            FIRST,
            ConversionError,
            r"uncombined lacks 1 of its 3 weights: linear_0\.w_0",
        ),
        (
            lambda folder: (folder / "uncombined/__model__").unlink(),
            UNCOMBINED,
            FIRST,
            ConversionError,
            "uncombined has no __model__; it holds conv2d_0.b_0",
        ),
        (
            None,
            'paddlelite = { paddle = "file:network.pdmodel" }',
            FIRST,
            ConversionError,
            r"network\.pdmodel is a file; paddle is a folder",
        ),
        (
            copied("network.tflite", "wrong.pb"),
            'mnn = "file:wrong.pb"',
            LAST,
            ConversionError,
            r"wrong\.pb is no TensorFlow graph",
        ),
        (
            copied("network.pb", "wrong.tflite"),
            'mnn = "file:wrong.tflite"',
            LAST,
            ConversionError,
            r"wrong\.tflite is no TensorFlow Lite file",
        ),
        (
            lambda folder: (folder / "saved.pb").write_bytes(b"\x08\x01\x12\x02\x0a\x00"),
            'mnn = "file:saved.pb"',
            LAST,
            ConversionError,
            r"saved\.pb is a SavedModel, whose weights lie in other files: freeze it",
        ),
        (
            None,
            'ncnn = "file:weights.pth"',
            FIRST,
            ConversionError,
            r"weights\.pth holds weights and no network .*torch\.jit\.trace",
        ),
        (
            lambda folder: (folder / "network.prototxt").write_text("layer {\n  bottom\n}\n"),
            CAFFE,
            FIRST,
            ConversionError,
            r"mnnconvert wrote no model\.mnn: Error parsing text-format caffe\.NetParameter",
        ),
        (
            None,
            'mnn = { torchscript = "file:network.pt" }',
            FIRST,
            UnsupportedError,
            "the converter in MNN's wheel is built without torchscript: export the network to ONNX",
        ),
        (
            None,
            'ncnn = "file:scripted.pt"',
            FIRST,
            ConversionError,
            r"pnnx crashed: SIGSEGV.*give it one that was traced",
        ),
        (
            None,
            'mnn = "file:rare.pb"',
            LAST,
            ConversionError,
            "MNN does not support Betainc, Igamma",
        ),
        (
            None,
            'mnn = "file:rare.tflite"',
            LAST,
            ConversionError,
            r"MNN does not support Betainc, Igamma \(custom operators of",
        ),
        (None, 'ncnn = "file:rare.pt"', FIRST, ConversionError, r"ncnn has no layer for aten::i0"),
        (
            lambda folder: (folder / "network.prototxt").write_text(
                (folder / "network.prototxt").read_text().replace('"Softmax"', '"Frobnicate"')
            ),
            CAFFE,
            FIRST,
            ConversionError,
            "MNN does not support Frobnicate",
        ),
        (
            None,
            TFLITE,
            FIRST,
            PocketbenchError,
            r"the file's input is image \(float32 1x8x6x3\), the zoo says image \(float32 1x3x8x6\)",
        ),
        (
            None,
            'mnn = { tflite = "file:network.tflite", inputs = { image = "x" } }',
            LAST,
            PocketbenchError,
            r"the file has no input 'x'; it has input image",
        ),
        (
            None,
            'mnn = { tflite = "file:network.tflite", outputs = ["prob"] }',
            LAST,
            PocketbenchError,
            r"the file has no output 'prob'; it has Identity",
        ),
        (
            None,
            'ncnn = { torchscript = "file:network.pt", outputs = ["prob"] }',
            FIRST,
            ConversionError,
            r"the network has no output 'prob'; it has out0, out1",
        ),
        (
            None,
            'ncnn = "file:difference.pt"',
            FIRST,
            PocketbenchError,
            r"nothing feeds the file's|which of the file's inputs is image",
        ),
    ],
)
def test_an_original_that_cannot_be_used_is_told_with_its_model_and_file(
    original_ready, originals_folder, change, originals, shape, kind, said
):
    if change:
        change(originals_folder)

    with pytest.raises(PocketbenchError, match=rf"(?s)model net, \w+ from \w+ \(file:.*{said}") as caught:
        original_ready(case(originals.split()[0]), originals, shape)

    assert type(caught.value) is kind


def test_a_folder_that_changed_is_told_by_its_hash(original_ready, originals_folder):
    wrong = content_sha256(originals_folder / "uncombined")
    (originals_folder / "uncombined" / "conv2d_0.b_0").write_bytes(b"")

    with pytest.raises(PocketbenchError, match=f"not the folder it should be: .* expected {wrong}"):
        original_ready(case("paddlelite"), f'{UNCOMBINED[:-2]}, sha256 = "{wrong}" }}')


def test_a_cell_that_no_original_is_for_is_told_with_what_there_is(original_ready):
    with pytest.raises(UnsupportedError, match=r"no artifact for ncnn .* it has tflite for mnn"):
        original_ready(case("ncnn"), TFLITE, LAST)


def test_inner_tensors_are_looked_at_in_onnx_only(originals_zoo, originals_folder, originals_cache):
    with pytest.raises(UnsupportedError, match="converted from tflite: inner tensors"):
        make_bench(originals_cache, originals_zoo(TFLITE, LAST), originals_folder, case("mnn"))
