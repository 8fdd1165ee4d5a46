"""What is no folder of weights, told without the environment that folders are exported in."""

import json

import pytest

from harness.errors import PocketbenchError
from harness.models.doctor.code import check_code
from harness.models.export.architecture import read_config
from harness.models.export.folder import relevant_files
from harness.models.export.remote_code import remote_files


def test_a_folder_that_is_not_there_is_told_as_such(tmp_path):
    with pytest.raises(PocketbenchError, match=r"there is no folder .*gone to export"):
        read_config(tmp_path / "gone")


def test_an_onnx_file_in_place_of_a_folder_needs_no_export(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"")
    with pytest.raises(PocketbenchError, match=r"net\.onnx is a file: .* an ONNX file needs no export"):
        read_config(tmp_path / "net.onnx")


def test_a_folder_of_onnx_files_is_told_to_be_one_source_each(tmp_path):
    for name in ("encoder.onnx", "decoder.onnx"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(PocketbenchError, match=r"make one of them the source \(decoder.onnx, encoder.onnx\)"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "", "[]", "null", "{}", '{"model_type": 1}'], ids=lambda text: text[:9]
)
def test_a_configuration_that_says_nothing_is_refused_by_its_path(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(PocketbenchError, match=r"config\.json"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "text", ["-" * 100_000 + "1", "x" + ".a" * 50_000, "def f(:"], ids=["parser", "tree", "syntax"]
)
def test_code_that_cannot_be_parsed_is_refused_by_its_path(tmp_path, text):
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "modeling_own.OwnModel"}}))
    (tmp_path / "modeling_own.py").write_text(text)
    with pytest.raises(PocketbenchError, match=r"modeling_own\.py is not a readable Python file: \S"):
        remote_files(tmp_path)


def test_a_folder_whose_only_weights_are_onnx_is_told_to_be_named_by_that_file(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"")
    with pytest.raises(PocketbenchError, match=r"holds no weights: .* make onnx/model\.onnx the source"):
        relevant_files(tmp_path)


def written(folder, **files):
    """A folder whose config.json names `own.Model`, with Python files by their names in it."""
    (folder / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "own.Model"}}))
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("name", ["processor_config.json", "generation_config.json", "tokenizer_config.json"])
def test_whichever_json_file_names_code_both_the_doctor_and_exporting_find_it(tmp_path, name):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_text(json.dumps({"auto_map": [None, "own.Class"]}))
    with pytest.raises(PocketbenchError, match=rf"has no own\.py, which {name} needs"):
        remote_files(tmp_path)
    found = list(check_code(tmp_path, frozenset(), None))
    assert [(one.kind, one.where) for one in found] == [("code-missing", "own.py")]


def test_a_file_outside_of_the_folder_is_refused_though_it_exists(tmp_path):
    folder = tmp_path / "net"
    folder.mkdir()
    written(folder, own="from ..elsewhere import x\nclass Model: ...")
    (tmp_path / "elsewhere.py").write_text("x = 1")
    with pytest.raises(PocketbenchError, match=r"own\.py names \.\./elsewhere\.py, which lies outside"):
        remote_files(folder)
    assert "code-outside" in {one.kind for one in check_code(folder, frozenset(), None)}


def test_relative_imports_are_followed_from_the_folder_of_the_file_that_has_them(tmp_path):
    written(tmp_path, own="from .parts.a import A\nclass Model: ...", parts__a="from ..b import B", b="")
    assert remote_files(tmp_path) == ("b.py", "own.py", "parts/a.py")


def test_a_link_as_a_hubs_cache_has_them_is_a_file_of_the_folder(tmp_path):
    folder = tmp_path / "net"
    folder.mkdir()
    written(folder)
    (tmp_path / "blob").write_text("class Model: ...")
    (folder / "own.py").symlink_to("../blob")
    assert remote_files(folder) == ("own.py",)
