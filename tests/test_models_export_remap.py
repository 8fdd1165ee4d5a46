"""ChatGLM2 and Baichuan-7B: written as classes that transformers has, which compute the same, or refused.

Their own code cannot be had here. What stands in for it: the same packing, done backwards from a class that
transformers has, whose logits are the judge.
"""

import shutil

import pytest
from peers.tiny_models import changed, run_in

from harness.errors import ConversionError
from harness.models.export import export_onnx, read_export
from harness.spec import Export
from harness.toolchains import TOOLS

pytest_plugins = ["peers.tiny_model_fixtures"]

# Weights as ChatGLM2 and Baichuan-7B name and pack them, of models that transformers has.
PACK = """
import json, sys
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
root, target = Path(sys.argv[1]), Path(sys.argv[2])

def write(name, config, weights):
    (target / name).mkdir()
    (target / name / "config.json").write_text(json.dumps(config))
    save_file({n: t.contiguous() for n, t in weights.items()}, target / name / "model.safetensors")

glm, packed = load_file(root / "glm/model.safetensors"), {}
for name, tensor in glm.items():
    if ".q_proj." in name:
        parts = [glm[name.replace("q_proj", f"{x}_proj")] for x in "qkv"]
        packed[name.replace("self_attn.q_proj", "self_attention.query_key_value")] = torch.cat(parts)
    elif "k_proj" not in name and "v_proj" not in name:
        packed[name.replace("self_attn.o_proj", "self_attention.dense")] = tensor
names = {
    "model.embed_tokens": "transformer.embedding.word_embeddings", "lm_head": "transformer.output_layer",
    "model.norm": "transformer.encoder.final_layernorm", "model.layers": "transformer.encoder.layers",
    "gate_up_proj": "dense_h_to_4h", "down_proj": "dense_4h_to_h",
}
for old, new in names.items():
    packed = {name.replace(old, new): tensor for name, tensor in packed.items()}
write("chatglm", {
    "model_type": "chatglm", "architectures": ["ChatGLMModel"],
    "auto_map": {"AutoModel": "modeling_chatglm.ChatGLM"},
    "num_layers": 2, "padded_vocab_size": 128, "hidden_size": 32, "ffn_hidden_size": 64, "kv_channels": 8,
    "num_attention_heads": 4, "seq_length": 64, "layernorm_epsilon": 1.5625e-07, "rmsnorm": True,
    "multi_query_attention": True, "multi_query_group_num": 2, "add_bias_linear": False, "add_qkv_bias": True,
    "post_layer_norm": True, "apply_residual_connection_post_layernorm": False, "pad_token_id": 0,
}, packed)

llama, packed = load_file(root / "multi_head/model.safetensors"), {}
for name, tensor in llama.items():
    if ".q_proj." in name:
        parts = [llama[name.replace("q_proj", f"{x}_proj")] for x in "qkv"]
        packed[name.replace("q_proj", "W_pack")] = torch.cat(parts)
    elif "k_proj" not in name and "v_proj" not in name:
        packed[name] = tensor
told = json.loads((root / "multi_head/config.json").read_text())
write("baichuan", {**told, "model_type": "baichuan", "architectures": ["BaiChuanForCausalLM"]}, packed)
"""

# Largest difference between the logits of two folders, relative to the largest, after remapping the second.
SAME = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
from remap_hf import remap
from transformers import AutoModelForCausalLM
target = Path(sys.argv[4])
for original, other in zip(sys.argv[2].split(","), sys.argv[3].split(",")):
    remap(Path(other), target / f"{Path(other).name}-written")
    ids = torch.arange(40)[None] * 3 % 128
    with torch.inference_mode():
        one, two = (
            AutoModelForCausalLM.from_pretrained(path)(ids).logits
            for path in (original, target / f"{Path(other).name}-written")
        )
    print(float((one - two).abs().max() / one.abs().max()))
"""


@pytest.fixture(scope="module")
def packed(export_tools, tiny_folders, tmp_path_factory):
    """Directory of the folders chatglm, which is glm, and baichuan, which is multi_head."""
    root = tmp_path_factory.mktemp("packed")
    run_in(export_tools, PACK, tiny_folders, root)
    return root


def test_both_compute_bit_for_bit_what_they_are_written_as(export_tools, tiny_folders, packed, tmp_path):
    originals = f"{tiny_folders / 'glm'},{tiny_folders / 'multi_head'}"
    others = f"{packed / 'chatglm'},{packed / 'baichuan'}"
    printed = run_in(export_tools, SAME, TOOLS, originals, others, tmp_path)
    assert [float(line) for line in printed.splitlines()] == [0.0, 0.0]


def test_chatglm_is_exported_without_the_code_that_it_names(export_cache, packed):
    told = read_export(export_onnx(export_cache, packed / "chatglm", Export(task="text-generation")))
    assert (told.model_type, told.class_name) == ("glm", "GlmForCausalLM")
    assert told.compared["logits"]["max_rel"] < 1e-5


@pytest.mark.parametrize(
    ("name", "entries", "told"),
    [
        ("baichuan", {"z_loss_weight": 0}, r"this is Baichuan2 \(its output layer is normalised\)"),
        ("chatglm", {"rmsnorm": False}, "config.json says rmsnorm = False; ChatGLM2 or ChatGLM3 has True"),
    ],
)
def test_another_architecture_of_the_same_name_is_refused(
    export_cache, packed, tmp_path, name, entries, told
):
    folder = shutil.copytree(packed / name, tmp_path / name)
    changed(folder, **entries)
    with pytest.raises(ConversionError, match=told):
        export_onnx(export_cache, folder, Export(task="text-generation"))
