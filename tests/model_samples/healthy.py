"""What tests/data/healthy_models holds: a function for each folder, which the doctor finds whole."""

import os

from model_samples import folders, runtimes
from model_samples.weights import safetensors, torch_zip


def llama(folder):
    folders.llama(folder)


def llama_in_shards(folder):
    folders.llama(folder)
    folders.sharded(folder)


def llama_of_torch(folder):
    folders.llama(folder)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(torch_zip(folders.llama_shapes()))


def llama_tied(folder):
    folders.llama(folder, tie_word_embeddings=True)
    shapes = {name: shape for name, shape in folders.llama_shapes().items() if name != "lm_head.weight"}
    (folder / "model.safetensors").write_bytes(safetensors(shapes))


def qwen2(folder):
    """As Llama, with biases for q, k and v."""
    folders.llama(folder, model_type="qwen2", architectures=["Qwen2ForCausalLM"])
    shapes = folders.llama_shapes()
    biases = {n.replace("weight", "bias"): s[:1] for n, s in shapes.items() if n[-13:-7] in PROJECTIONS}
    (folder / "model.safetensors").write_bytes(safetensors({**shapes, **biases}))


def glm(folder):
    """As Llama, with gate and up in one matrix and biases for q, k and v."""
    folders.llama(folder, model_type="glm", architectures=["GlmForCausalLM"], head_dim=2)
    shapes = {n: s for n, s in folders.llama_shapes().items() if "gate_proj" not in n and "up_proj" not in n}
    for index in range(folders.LAYERS):
        shapes[f"model.layers.{index}.mlp.gate_up_proj.weight"] = (2 * folders.INNER, folders.SIZE)
    biases = {n.replace("weight", "bias"): s[:1] for n, s in shapes.items() if n[-13:-7] in PROJECTIONS}
    (folder / "model.safetensors").write_bytes(safetensors({**shapes, **biases}))


def chatglm2(folder):
    folders.chatglm2(folder)


def baichuan(folder):
    folders.baichuan(folder)


def bert(folder):
    folders.bert(folder)


def hub_cache(folder):
    """As huggingface_hub lays a repository out: blobs, and a snapshot of links to them."""
    repository = folder / "models--by-hand--bert"
    snapshot, blobs = repository / "snapshots" / "0a1b2c", repository / "blobs"
    for made in (snapshot, blobs, repository / "refs"):
        made.mkdir(parents=True)
    (repository / "refs" / "main").write_text("0a1b2c")
    folders.bert(snapshot)
    for number, file in enumerate(sorted(snapshot.iterdir())):
        file.rename(blobs / f"blob{number}")
        file.symlink_to(os.path.relpath(blobs / f"blob{number}", snapshot))


def in_a_parent_folder(folder):
    """The model lies one folder further down."""
    (folder / "README.md").write_text("The model is in `net`.\n")
    (folder / "net").mkdir()
    folders.bert(folder / "net")


def onnx(folder):
    runtimes.onnx(folder / "net.onnx")


def onnx_with_external_data(folder):
    runtimes.onnx(folder / "net.onnx", external=("net.onnx.data", 24))
    (folder / "net.onnx.data").write_bytes(bytes(24))


def converted(folder):
    """The runtimes' own formats, side by side."""
    runtimes.mnn(folder / "net.mnn")
    runtimes.ncnn(folder)
    runtimes.paddlelite(folder / "net_arm.nb", target=4)
    runtimes.paddlelite(folder / "net_x86.nb", target=2)
    runtimes.paddle(folder)
    runtimes.tflite(folder / "net.tflite")
    runtimes.gguf(folder / "net.gguf")


PROJECTIONS = ("q_proj", "k_proj", "v_proj")

HEALTHY = (
    llama,
    llama_in_shards,
    llama_of_torch,
    llama_tied,
    qwen2,
    glm,
    chatglm2,
    baichuan,
    bert,
    hub_cache,
    in_a_parent_folder,
    onnx,
    onnx_with_external_data,
    converted,
)
