"""How a zoo says that a runtime converts what another framework wrote."""

import pytest
from peers.originals import CAFFE, HASH, TFLITE, TORCHSCRIPT

from harness.errors import PocketbenchError
from harness.matrix import Filters, build_cases
from harness.runtimes import RUNTIMES
from harness.spec import PinnedFile

pytest_plugins = ["peers.original_fixtures"]


def test_an_original_is_one_source_or_a_table_of_files(originals_zoo):
    model = originals_zoo(
        f'mnn = {{ prototxt = "file:n.prototxt", caffemodel = "url:https://host/n", '
        f'caffemodel_sha256 = "{HASH}", inputs = {{ image = "data" }}, outputs = ["prob"] }}\n{TORCHSCRIPT}\n'
        f'paddlelite = {{ paddle = "file:folder", sha256 = "{HASH}" }}'
    )

    mnn, ncnn, paddle = model.originals
    assert (mnn.runtime, mnn.framework) == ("mnn", "caffe")
    assert mnn.files["caffemodel"] == PinnedFile(source="url:https://host/n", sha256=HASH)
    assert (mnn.inputs, mnn.outputs) == ({"image": "data"}, ("prob",))
    assert ncnn.files == {"torchscript": PinnedFile(source="file:network.pt")}
    assert paddle.files == {"paddle": PinnedFile(source="file:folder", sha256=HASH)}


@pytest.mark.parametrize(
    ("originals", "said"),
    [
        ('mn = "file:a.tflite"', ["unknown runtime 'mn'", "Did you mean mnn"]),
        ("mnn = 3", ["originals.mnn", "a file's source or a table, not 3"]),
        ('mnn = "a.tflite"', ["originals.mnn", "unknown scheme"]),
        ('onnxruntime = "file:a.tflite"', ["onnxruntime takes ONNX alone", "a model's source"]),
        ('mnn = "file:a.onnx"', ["a.onnx is ONNX, which is a model's source"]),
        ('mnn = { onnx = "file:a.onnx" }', ["ONNX is a model's source"]),
        ('mnn = "file:a.h5"', ["what a.h5 is does not show from its name", '{ tflite = "file:a.h5" }']),
        ('ncnn = "file:a.tflite"', ["ncnn's converter takes no tflite; it takes torchscript (and ONNX"]),
        (
            'mnn = { paddle = "file:a" }',
            ["mnn's converter takes no paddle; it takes tflite, tensorflow, caffe"],
        ),
        ('mnn = { prototxt = "file:a" }', ["originals.mnn: prototxt is given without caffemodel"]),
        ('mnn = "file:a.caffemodel"', ['one file of 2: write { prototxt = "...", caffemodel = "..." }']),
        (
            'mnn = { tflite = "file:a", tensorflow = "file:b" }',
            ["tensorflow and tflite do not belong together"],
        ),
        (
            'mnn = { sha256 = "abc" }',
            ["no file is given; mnn takes tflite, tensorflow, torchscript, prototxt and"],
        ),
        ('mnn = { tflight = "file:a" }', ["unknown key 'tflight'", "Did you mean tflite"]),
        ('mnn = { tflite = "file:a", precision = "fp16" }', ["unknown key 'precision'"]),
        ('mnn = { tflite = "file:a", sha256 = "abc" }', ["64 hexadecimal digits", "'abc'"]),
        ('mnn = "url:https://host/a.tflite"', ["sha256 is missing; only a file: source"]),
        (f'{CAFFE[:-2]}, sha256 = "{HASH}" }}', ["unknown key 'sha256'", "caffemodel_sha256"]),
        ('mnn = { tflite = "file:a", inputs = { y = "x" } }', ["maps 'y'", "it has image"]),
    ],
)
def test_a_mistake_in_the_originals_names_file_line_table_and_what_was_meant(originals_zoo, originals, said):
    with pytest.raises(PocketbenchError) as error:
        originals_zoo(originals)

    for part in ("zoo.toml:1 [models.net]", *said):
        assert part in str(error.value)


def test_the_zoo_may_be_judged_against_an_original(originals_zoo):
    assert originals_zoo(TFLITE, more='reference = "mnn"\n').reference == "mnn"
    with pytest.raises(PocketbenchError, match="or originals, not 'ncnn'; there is mnn"):
        originals_zoo(TFLITE, more='reference = "ncnn"\n')


def test_without_a_source_a_runtime_with_an_original_has_all_its_cells_and_no_other_has_any(originals_zoo):
    cells = {(c.runtime, c.precision) for c in build_cases({"net": originals_zoo(TFLITE)}, Filters())}

    assert cells == {("mnn", precision) for precision in RUNTIMES["mnn"].default_precisions}
