"""The doctor on damage that nobody planned: cut anywhere, changed anywhere, values of any kind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_samples import folders, runtimes
from model_samples.weights import running_zip, safetensors, torch_zip

from harness.models.doctor import diagnose
from harness.models.doctor.files import broken
from harness.models.doctor.layouts import LAYOUTS

FILES = {
    "net.safetensors": lambda path: path.write_bytes(safetensors({"a": (2, 3), "b": (4,)})),
    "pytorch_model.bin": lambda path: path.write_bytes(torch_zip({"a": (2, 3), "b": (4,)})),
    "net.mnn": runtimes.mnn,
    "net.nb": runtimes.paddlelite,
    "net.tflite": runtimes.tflite,
    "net.gguf": runtimes.gguf,
}
"""Files that are one model each, and how such a file is made."""

WHOLE = {"net.safetensors", "pytorch_model.bin", "net.gguf", "net.nb"}
"""Of these the doctor knows the last byte."""

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def errors_in(path):
    return [f.kind for diagnosis in diagnose(path) for f in diagnosis.findings if f.severity == "error"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_off_anywhere_is_told_as_such_and_never_an_exception(tmp_path, name):
    path = tmp_path / name
    FILES[name](path)
    whole = path.read_bytes()
    assert errors_in(path) == []
    # One byte less may still hold everything: these formats pad.
    for length in range(len(whole) - (1 if name in WHOLE else 8)):
        path.write_bytes(whole[:length])
        assert errors_in(path), f"{length} of {len(whole)} bytes"


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_wrong_bytes_is_never_an_exception(tmp_path, name):
    path, chance = tmp_path / name, np.random.default_rng(5)
    FILES[name](path)
    whole = path.read_bytes()
    for _ in range(300):
        changed = bytearray(whole)
        for _ in range(chance.integers(1, 5)):
            changed[chance.integers(len(changed))] = int(chance.integers(256))
        path.write_bytes(changed)
        diagnose(path)


@pytest.mark.parametrize("part", ["net.param", "net.bin", "model.pdmodel", "model.pdiparams"])
def test_a_pair_of_files_of_which_one_is_damaged_is_never_an_exception(tmp_path, part):
    runtimes.ncnn(tmp_path)
    runtimes.paddle(tmp_path)
    path, chance = tmp_path / part, np.random.default_rng(5)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        diagnose(path)
        changed = bytearray(whole)
        changed[chance.integers(len(changed))] = int(chance.integers(256))
        path.write_bytes(changed)
        diagnose(path)


@settings(deadline=None, max_examples=150)
@given(
    key=st.sampled_from(
        [
            *("model_type", "architectures", "auto_map", "hidden_size", "num_hidden_layers", "vocab_size"),
            *(
                "num_key_value_heads",
                "quantization_config",
                "quantization_bit",
                "tie_word_embeddings",
                "head_dim",
                "num_attention_heads",
            ),
        ]
    ),
    value=JSON,
)
def test_a_configuration_with_any_value_is_never_an_exception(tmp_path_factory, key, value):
    folder = tmp_path_factory.mktemp("any")
    folders.llama(folder, **{key: value})
    diagnose(folder)
    shutil.rmtree(folder)


@settings(deadline=None, max_examples=150)
@given(
    name=st.sampled_from(
        ["tokenizer.json", "tokenizer_config.json", "generation_config.json", "model.safetensors.index.json"]
    ),
    key=st.sampled_from(["model", "added_tokens", "auto_map", "eos_token_id", "weight_map", "metadata"]),
    value=JSON,
)
def test_any_other_json_with_any_value_is_never_an_exception(tmp_path_factory, name, key, value):
    folder = tmp_path_factory.mktemp("any")
    folders.llama(folder)
    folders.sharded(folder)
    folders.change_json(folder / name, **{key: value})
    diagnose(folder)
    shutil.rmtree(folder)


@pytest.mark.parametrize("model_type", LAYOUTS)
def test_a_configuration_without_sizes_is_told_by_the_key_that_lacks(tmp_path, model_type):
    folders.llama(tmp_path)
    folders.write_json(tmp_path / "config.json", {"model_type": model_type})
    findings = [finding for diagnosis in diagnose(tmp_path) for finding in diagnosis.findings]
    assert any(f.kind == "config-key" and "lacks" in f.what for f in findings)


def test_a_thousand_million_layers_are_counted_without_listing_them(tmp_path):
    folders.llama(tmp_path, num_hidden_layers=10**9)
    assert "layer-count" in errors_in(tmp_path)


def test_code_that_is_no_python_is_told_with_its_line(tmp_path):
    folders.chatglm2(tmp_path)
    (tmp_path / "quantization.py").write_text("import os\ndef broken(:\n")
    findings = [finding for diagnosis in diagnose(tmp_path) for finding in diagnosis.findings]
    (found,) = [finding for finding in findings if finding.kind == "code-unparsable"]
    assert "line 2" in found.what


@pytest.mark.parametrize("text", ["-" * 100_000 + "1", "x" + ".a" * 50_000], ids=["parser", "tree"])
def test_code_that_is_nested_too_deep_for_python_is_told_as_such(tmp_path, text):
    folders.chatglm2(tmp_path)
    (tmp_path / "quantization.py").write_text(text)
    assert "code-unparsable" in errors_in(tmp_path)


@pytest.mark.parametrize("model_type", [[], {}, 1, True])
def test_a_type_that_is_no_text_beside_code_is_never_an_exception(tmp_path, model_type):
    folders.chatglm2(tmp_path)
    folders.change_json(tmp_path / "config.json", model_type=model_type)
    assert "no-model-type" in errors_in(tmp_path)


def test_a_number_of_more_digits_than_python_reads_is_told(tmp_path):
    folders.llama(tmp_path)
    (tmp_path / "config.json").write_text('{"hidden_size": ' + "9" * 5000 + "}")
    assert "invalid-json" in errors_in(tmp_path)


def test_code_that_reaches_outside_of_the_folder_is_not_followed(tmp_path):
    folders.chatglm2(tmp_path)
    (tmp_path / "configuration_chatglm.py").write_text(
        "from ..elsewhere import x\n\n\nclass ChatGLMConfig: ...\n"
    )
    assert "code-outside" in errors_in(tmp_path)


def test_an_index_that_names_files_elsewhere_is_not_followed(tmp_path):
    folders.llama(tmp_path)
    folders.sharded(tmp_path)
    folders.change_json(
        tmp_path / "model.safetensors.index.json", weight_map={"x": "../../secret.safetensors"}
    )
    assert "shard-outside" in errors_in(tmp_path)


def test_a_file_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    path.write_text("{}")
    # Tests may run as root, who may read everything.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert broken(path, "config.json").kind == "unreadable"


def test_what_a_pickle_would_run_does_not_run(tmp_path):
    marker = tmp_path / "ran"
    (tmp_path / "pytorch_model.bin").write_bytes(running_zip(f"touch {marker}"))
    assert errors_in(tmp_path / "pytorch_model.bin") == ["runs-code"]
    assert not marker.exists()
    # The same bytes do run when they are unpickled.
    program = (
        "import pickle, sys, zipfile; pickle.loads(zipfile.ZipFile(sys.argv[1]).read('archive/data.pkl'))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "pytorch_model.bin")]
    subprocess.run(command, check=True, timeout=60)
    assert marker.exists()


def test_a_file_of_no_known_kind_is_no_model(tmp_path):
    Path(tmp_path, "notes.md").write_text("x")
    assert errors_in(tmp_path / "notes.md") == ["no-model"]
    assert errors_in(tmp_path) == ["no-model"]


def test_no_heads_at_all_make_no_sense_and_no_exception(tmp_path):
    folders.llama(tmp_path, num_attention_heads=0)
    findings = [finding for diagnosis in diagnose(tmp_path) for finding in diagnosis.findings]
    assert "config-key" in {finding.kind for finding in findings}
