"""Folders whose weights have one thing wrong each: files, headers, shards, tensors."""

import struct

from model_samples.folders import (
    LAYERS,
    POINTER,
    SIZE,
    WORDS,
    bert,
    change_json,
    llama,
    llama_shapes,
    read_json,
    sharded,
)
from model_samples.weights import old_torch, running_zip, safetensors, torch_zip, zipped

FIRST, SECOND = (f"model-0000{number}-of-00002.safetensors" for number in (1, 2))
INDEX = "model.safetensors.index.json"


def weights_missing(folder):
    llama(folder)
    (folder / "model.safetensors").unlink()


def weights_of_tensorflow_only(folder):
    bert(folder)
    (folder / "model.safetensors").rename(folder / "tf_model.h5")


def weights_are_a_pointer(folder):
    """Cloned without git-lfs."""
    llama(folder)
    (folder / "model.safetensors").write_text(POINTER.format(size=538090408))


def weights_are_a_web_page(folder):
    llama(folder)
    (folder / "model.safetensors").write_text("<!DOCTYPE html>\n<title>model.safetensors</title>\n")


def weights_empty(folder):
    llama(folder)
    (folder / "model.safetensors").write_bytes(b"")


def weights_cut_off(folder):
    llama(folder)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-200])


def header_cut_off(folder):
    llama(folder)
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:400])


def header_too_large(folder):
    """Something else under the name of safetensors."""
    llama(folder)
    (folder / "model.safetensors").write_bytes(b"GGUF is not what this is called" * 4)


def header_garbage(folder):
    llama(folder)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 16) + b"{not json at all" + bytes(64))


def offsets_overlap(folder):
    """Two tensors on the same bytes."""
    llama(folder)
    shapes = llama_shapes()
    entry = {"dtype": "F16", "shape": [SIZE], "data_offsets": [0, 2 * SIZE]}
    (folder / "model.safetensors").write_bytes(safetensors(shapes, **{"model.norm.weight": entry})[:-8])


def shape_against_bytes(folder):
    llama(folder)
    entry = {"dtype": "F16", "shape": [WORDS, SIZE + 1], "data_offsets": [0, 2 * WORDS * SIZE]}
    (folder / "model.safetensors").write_bytes(safetensors(llama_shapes(), **{"lm_head.weight": entry}))


def bytes_behind_the_end(folder):
    """Two downloads in one file."""
    llama(folder)
    with (folder / "model.safetensors").open("ab") as stream:
        stream.write(bytes(24))


def shard_missing(folder):
    llama(folder)
    sharded(folder)
    (folder / SECOND).unlink()


def shard_unlisted(folder):
    llama(folder)
    sharded(folder)
    (folder / "model-00003-of-00003.safetensors").write_bytes(safetensors({"extra.weight": (2,)}))


def shard_of_another_revision(folder):
    """A tensor that the index promises is not in its shard."""
    llama(folder)
    sharded(folder)
    held = [name for name, file in read_json(folder / INDEX)["weight_map"].items() if file == FIRST]
    shapes = llama_shapes()
    (folder / FIRST).write_bytes(safetensors({name: shapes[name] for name in held[1:]}))


def total_size_wrong(folder):
    llama(folder)
    sharded(folder)
    change_json(folder / INDEX, metadata={"total_size": 4096})


def index_missing(folder):
    llama(folder)
    sharded(folder)
    (folder / INDEX).unlink()


def index_without_map(folder):
    llama(folder)
    sharded(folder)
    change_json(folder / INDEX, weight_map=None)


def torch_file_cut_off(folder):
    _torch(folder, torch_zip(llama_shapes())[:-300])


def torch_file_of_old(folder):
    _torch(folder, old_torch())


def torch_file_is_something_else(folder):
    _torch(folder, b"\x00\x01\x02\x03 nothing of torch's")


def torch_file_without_pickle(folder):
    _torch(folder, zipped({"weights.txt": b"none"}))


def torch_file_lacks_values(folder):
    _torch(folder, torch_zip(llama_shapes(), without=(3,)))


def torch_file_runs_code(folder):
    _torch(folder, running_zip("touch RAN"))


def tensors_missing(folder):
    """Loads without an error, and answers at random."""
    llama(folder)
    shapes = llama_shapes()
    del shapes["model.layers.1.self_attn.o_proj.weight"], shapes["lm_head.weight"]
    (folder / "model.safetensors").write_bytes(safetensors(shapes))


def layers_missing(folder):
    llama(folder)
    (folder / "model.safetensors").write_bytes(safetensors(llama_shapes(LAYERS - 1)))


def layers_too_many(folder):
    """The configuration of a smaller model."""
    llama(folder)
    change_json(folder / "config.json", num_hidden_layers=LAYERS - 1)


def config_of_another_size(folder):
    llama(folder)
    change_json(folder / "config.json", num_key_value_heads=2)


def config_lacks_sizes(folder):
    llama(folder)
    change_json(folder / "config.json", intermediate_size=None)


def tensors_of_another_model(folder):
    llama(folder)
    shapes = {**llama_shapes(), "model.layers.0.self_attn.q_proj.bias": (SIZE,)}
    (folder / "model.safetensors").write_bytes(safetensors(shapes))


def _torch(folder, data):
    llama(folder)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(data)


BROKEN = {
    weights_missing: ["no-weights"],
    weights_of_tensorflow_only: ["no-weights"],
    weights_are_a_pointer: ["lfs-pointer"],
    weights_are_a_web_page: ["web-page"],
    weights_empty: ["empty"],
    weights_cut_off: ["truncated"],
    header_cut_off: ["truncated"],
    header_too_large: ["header-too-large"],
    header_garbage: ["header-garbage"],
    offsets_overlap: ["offsets-overlap"],
    shape_against_bytes: ["bytes-mismatch"],
    bytes_behind_the_end: ["trailing-bytes"],
    shard_missing: ["shard-missing"],
    shard_unlisted: ["shard-unlisted"],
    shard_of_another_revision: ["tensor-not-in-shard"],
    total_size_wrong: ["total-size"],
    index_missing: ["no-index"],
    index_without_map: ["no-weight-map"],
    torch_file_cut_off: ["truncated"],
    torch_file_of_old: ["old-pickle"],
    torch_file_is_something_else: ["not-torch"],
    torch_file_without_pickle: ["not-torch"],
    torch_file_lacks_values: ["storage-missing"],
    torch_file_runs_code: ["runs-code"],
    tensors_missing: ["tensor-missing"],
    layers_missing: ["layer-count"],
    layers_too_many: ["layer-count"],
    config_of_another_size: ["shape-mismatch"],
    config_lacks_sizes: ["config-key"],
    tensors_of_another_model: ["tensor-unexpected"],
}
"""What is wrong -> the kinds of finding that must tell it."""
