"""Exporting: a folder of weights becomes one graph that computes what torch does, or it is told why not.

The folders are tiny and real, the tools are the real ones, in their own environment.
"""

import json
import logging
import os
import subprocess
import sys

import numpy as np
import pytest
from peers.tiny_models import changed, linked_cache, run_in

from harness.cache import Cache
from harness.errors import ConversionError, PocketbenchError, UnknownNameError, UnsupportedError
from harness.models.export import export_onnx, read_export
from harness.models.export.environment import export_environment
from harness.models.prepare import prepare, prepare_feed
from harness.models.sources import content_sha256
from harness.models.zoo import load_zoo
from harness.spec import Export, Model, TensorSpec

pytest_plugins = ["peers.tiny_model_fixtures"]

TOKENS = TensorSpec(name="input_ids", shape=(1, 16), dtype="int64")
IN_TWO_FILES = """
import sys
from safetensors.numpy import load_file, save_file
weights = load_file(sys.argv[1])
half = len(weights) // 2
for number, part in enumerate((list(weights)[:half], list(weights)[half:]), 1):
    save_file({n: weights[n] for n in part}, f"{sys.argv[2]}/model-0000{number}-of-00002.safetensors")
print(*list(weights)[:half])
"""
RUN = """
import sys, numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
np.save(sys.argv[3], session.run(None, dict(np.load(sys.argv[2])))[0])
"""


def zoo_model(folder, *inputs, **fields):
    name, digest = folder.name, content_sha256(folder)
    fields = {"name": name, "source": f"file:{folder}", "sha256": digest, "feed": "tokens", **fields}
    return Model(inputs=inputs, **fields)


def test_an_encoder_becomes_a_graph_with_open_sizes_that_computes_what_torch_does(exported):
    told = read_export(exported)
    sizes = ("batch_size", "sequence_length")
    assert (told.class_name, told.task, told.opset) == ("BertModel", "feature-extraction", 14)
    assert list(told.inputs) == ["input_ids", "attention_mask", "token_type_ids"]
    assert all(t.dtype == "int64" and t.shape == sizes for t in told.inputs.values())
    assert told.outputs["last_hidden_state"].shape == (*sizes, 32)
    assert told.compared["last_hidden_state"]["max_rel"] < 1e-5
    assert told.compared["last_hidden_state"]["cosine"] > 0.999999
    assert (told.tokens, told.tokens_drawn) == ("PreTrainedTokenizerFast", False)
    left = sorted(path.name for path in exported.parent.iterdir())
    assert left == ["export.json", "key.json", "model.onnx", "request.json", "tokens.json"]


def test_a_folder_is_exported_once_wherever_it_lies(export_cache, exported, bert):
    built = len(export_cache.built)
    (bert / "README.md").write_text("changes nothing")
    assert export_onnx(export_cache, bert) == exported
    assert len(export_cache.built) == built


def test_a_tokenizer_with_code_of_the_folder_is_read_from_its_one_file_without_it(
    export_cache, exported, bert
):
    own = {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["own.OwnTokenizer", None]}}
    (bert / "tokenizer_config.json").write_text(json.dumps(own))
    (bert / "own.py").write_text("raise SystemExit('it ran')\n")
    graph = export_onnx(export_cache, bert)
    told = read_export(graph)
    assert told.tokens.startswith("tokenizer.json alone (")
    assert not told.tokens_drawn
    assert graph.with_name("tokens.json").read_text() == exported.with_name("tokens.json").read_text()


def test_without_a_tokenizer_that_can_be_read_the_tokens_are_drawn_and_that_is_told(
    export_cache, bert, caplog
):
    (bert / "tokenizer.json").write_text("{")
    with caplog.at_level(logging.WARNING, "harness"):
        told = read_export(export_onnx(export_cache, bert))
    assert told.tokens_drawn
    assert "tokenizer.json cannot be read" in told.tokens
    assert str(bert) not in told.tokens
    assert f"the feed `tokens` of {bert} is no text: it is drawn from the vocabulary" in caplog.text


def test_weights_that_transformers_would_make_up_are_refused_with_the_log_and_remembered(export_cache, bert):
    asked = Export(task="fill-mask")
    for _ in range(2):
        with pytest.raises(ConversionError, match="fill-mask what these weights were trained for") as refused:
            export_onnx(export_cache, bert, asked)
        assert "newly initialized" in refused.value.log
    (kept,) = (export_cache.root / "exports").glob("*.failure.json")
    assert "cls.predictions" in kept.read_text()


def test_a_decoder_is_exported_with_its_cache_which_the_graph_gives_back_longer(export_cache, tiny_folders):
    told = read_export(
        export_onnx(export_cache, tiny_folders / "llama", Export(task="text-generation-with-past"))
    )
    past = ("batch_size", 2, "past_sequence_length", 8)
    assert told.inputs["past_key_values.1.value"].shape == past
    assert list(told.outputs)[:2] == ["logits", "present.0.key"]
    assert set(told.compared) == set(told.outputs), "the cache is compared too"
    assert max(one["max_rel"] for one in told.compared.values()) < 1e-5


def test_a_folder_is_a_source_like_a_file_and_its_text_is_the_feed(
    export_cache, exported, tiny_folders, export_tools
):
    model = zoo_model(tiny_folders / "bert", TOKENS, constants={"attention_mask": 1, "token_type_ids": 0})
    prepared = prepare(export_cache, model, tiny_folders)
    feed = prepare_feed(export_cache, model, prepared, tiny_folders)

    ids = np.load(feed.path / feed.files[0])
    assert ids.tolist() == [json.loads((exported.parent / "tokens.json").read_text())[:16]]
    assert 2 < len(set(ids.ravel().tolist())) < 128
    assert prepared.original_inputs == ("input_ids",)
    whole = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    outputs = []
    for graph, given in ((exported, whole), (prepared.frozen, {"input_ids": ids})):
        np.savez(feed.path.parent / "given.npz", **given)
        run_in(export_tools, RUN, graph, feed.path.parent / "given.npz", feed.path.parent / "out.npy")
        outputs.append(np.load(feed.path.parent / "out.npy"))
    assert np.allclose(*outputs, atol=1e-5), "a mask of ones is as long as the tokens, though it is not fed"


def test_inputs_that_the_zoo_leaves_out_are_told_with_their_open_sizes(export_cache, exported, tiny_folders):
    model = zoo_model(tiny_folders / "bert", TOKENS)
    with pytest.raises(
        ConversionError, match=r"attention_mask' is given neither a shape nor a value"
    ) as told:
        prepare(export_cache, model, tiny_folders)
    assert "attention_mask int64 [batch_size, sequence_length]" in str(told.value)


def test_truncated_weights_are_told_before_torch_is_asked(export_cache, bert):
    weights = bert / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:50_000])
    with pytest.raises(PocketbenchError, match=r"model\.safetensors") as refused:
        export_onnx(export_cache, bert)
    assert not isinstance(refused.value, ConversionError)


def test_a_git_lfs_pointer_is_told_as_such(export_cache, bert):
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 101624\n"
    (bert / "model.safetensors").write_text(pointer)
    with pytest.raises(PocketbenchError, match=r"model\.safetensors .*lfs"):
        export_onnx(export_cache, bert)


def test_a_missing_shard_is_named(export_cache, export_tools, bert):
    first = run_in(export_tools, IN_TWO_FILES, bert / "model.safetensors", bert).split()
    (bert / "model.safetensors").unlink()
    (bert / "model-00002-of-00002.safetensors").unlink()
    files = dict.fromkeys(first, "model-00001-of-00002.safetensors")
    files["encoder.layer.1.output.dense.weight"] = "model-00002-of-00002.safetensors"
    index = {"metadata": {"total_size": 1}, "weight_map": files}
    (bert / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(PocketbenchError, match=r"model-00002-of-00002\.safetensors"):
        export_onnx(export_cache, bert)


@pytest.mark.parametrize(
    ("entries", "error", "told"),
    [
        ({"model_type": "bird"}, UnsupportedError, "does not know the model type 'bird'"),
        ({"model_type": None}, PocketbenchError, "names no model_type"),
        ({"architectures": None}, PocketbenchError, "names no class, which does not tell what it is for"),
        ({"architectures": ["T5ForConditionalGeneration"]}, UnsupportedError, "becomes several graphs"),
    ],
)
def test_a_configuration_that_cannot_be_exported_is_told_why(export_cache, bert, entries, error, told):
    changed(bert, **entries)
    with pytest.raises(error, match=told):
        export_onnx(export_cache, bert)


def test_a_task_that_is_not_known_is_told_with_the_nearest(export_cache, bert):
    with pytest.raises(UnknownNameError, match="Did you mean feature-extraction"):
        export_onnx(export_cache, bert, Export(task="feature-extractions"))


def test_folders_without_configuration_or_weights_are_told(export_cache, bert):
    (bert / "model.safetensors").unlink()
    with pytest.raises(PocketbenchError, match="holds no weights"):
        export_onnx(export_cache, bert)
    (bert / "config.json").unlink()
    with pytest.raises(PocketbenchError, match=r"has no config\.json"):
        export_onnx(export_cache, bert)


def test_a_disk_without_room_is_told_before_anything_is_written(tiny_folders, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    tried = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=False, capture_output=True
    )
    if tried.returncode != 0:
        pytest.skip(f"mounting a small disk is not permitted: {tried.stderr.decode().strip()}")
    try:
        with pytest.raises(
            PocketbenchError, match=r"exporting takes up to \d+ MiB .* 0 MiB are free: make room"
        ):
            export_onnx(linked_cache(disk), tiny_folders / "bert")
        assert not list((disk / "exports").glob(".*")), "nothing is left"
    finally:
        subprocess.run(["umount", disk], check=True)


def test_the_environment_has_torch_for_processors_only(export_tools):
    found = sorted(path.name for path in export_tools.site.glob("*.dist-info"))
    assert any(name.startswith("torch-") and "+cpu" in name for name in found)
    assert not any(name.startswith(("nvidia", "triton")) for name in found)


def test_the_command_prints_the_inputs_as_the_zoo_wants_them(export_cache, exported, tiny_folders):
    start = "from harness.cli import main; main()"
    command = [sys.executable, "-c", start, "models", "export", tiny_folders / "bert"]
    env = {**os.environ, "POCKETBENCH_CACHE": str(export_cache.root), "COLUMNS": "120"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"BertModel for feature-extraction: {exported}" in done.stdout
    assert "tokens of the feed: PreTrainedTokenizerFast\n" in done.stdout
    assert '{ name = "token_type_ids", shape = [1, 64], dtype = "int64" },' in done.stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "{ trust_remote = true }",
            r"'trust_remote' in .*:1 \[models\.m\] export\. Did you mean trust_remote_code",
        ),
        ("{ opset = '14' }", r"export\.opset: Expected `int`, got `str`"),
        ("true", r"export: Expected `object`, got `bool`"),
    ],
)
def test_how_to_export_is_read_as_strictly_as_the_rest_of_the_zoo(tmp_path, text, told):
    zoo = tmp_path / "zoo.toml"
    inputs = 'inputs = [{ name = "input_ids", shape = [1, 16], dtype = "int64" }]'
    source = f'source = "file:folder"\nsha256 = "{"0" * 64}"\nfeed = "tokens"'
    zoo.write_text(f"[models.m]\n{source}\n{inputs}\nexport = {text}\n")
    with pytest.raises(PocketbenchError, match=told):
        load_zoo(zoo)


def test_without_torchs_wheel_for_processors_it_is_told_where_it_is_looked_for(monkeypatch, tmp_path):
    for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    with pytest.raises(PocketbenchError, match=r"UV_FIND_LINKS .* that has torch's \+cpu wheels"):
        export_environment(Cache(tmp_path / "cache"))
