"""Which files of a hub's repository are taken, without any hub."""

import pytest

from harness.models.forms import parse_source
from harness.models.sources.hub_choice import needed_files


@pytest.mark.parametrize(
    ("names", "left_out"),
    [
        (
            ["config.json", "model.safetensors"],
            ["pytorch_model.bin", "tf_model.h5", "README.md", "onnx/m.onnx"],
        ),
        (["model-1.safetensors", "model.safetensors.index.json"], ["pytorch_model.bin.index.json", "a.png"]),
        (["model.safetensors", "params.json"], ["consolidated.safetensors", "original/consolidated.00.pth"]),
        (["pytorch_model-1.bin", "pytorch_model.bin.index.json", "modeling_net.py"], ["rust_model.ot"]),
        (["consolidated.safetensors", "tokenizer.model.v3"], []),
        (["config.json", "onnx/model.onnx", "onnx/model.onnx_data"], ["demo.mp4"]),
        (
            ["model.safetensors", "1_Pooling/config.json", "modules.json"],
            ["openvino/model.bin", ".gitignore"],
        ),
        (["net.gguf", "config.json"], ["results.csv"]),
        (["config.json", "pytorch_model.bin"], ["flax_model.msgpack"]),
        (["model.safetensors"], ["training_args.bin", "optimizer.pt"]),
    ],
)
def test_of_the_same_weights_in_several_forms_one_is_taken(names, left_out):
    (place,) = parse_source("hf:org/net@main")
    assert needed_files([*names, *left_out], place) == sorted(names)


def test_filters_say_more_than_the_usual_choice():
    names = ["config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx", "onnx/config.json"]

    def taken(source):
        (place,) = parse_source(source)
        return needed_files(names, place)

    assert taken("hf:org/net@main only=*.bin,config.json") == ["config.json", "pytorch_model.bin"]
    assert taken("hf:org/net@main without=*.safetensors") == ["config.json"]
    assert taken("hf:org/net@main only=onnx/ without=*.json") == ["onnx/model.onnx"]
    assert taken("hf:org/net@main:onnx/ only=*.json") == ["onnx/config.json"]
    assert taken("hf:org/net@main:pytorch_model.bin") == ["pytorch_model.bin"]
