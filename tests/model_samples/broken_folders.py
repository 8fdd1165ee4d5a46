"""Hugging Face folders with one thing wrong each: configuration, code, tokenizer, files."""

from model_samples.folders import (
    POINTER,
    WORDS,
    baichuan,
    bert,
    change_json,
    chatglm2,
    llama,
    sentencepiece,
    tokenizer,
    write_code,
    write_json,
)


def config_missing(folder):
    llama(folder)
    (folder / "config.json").unlink()


def config_invalid(folder):
    """Cut off by an editor."""
    llama(folder)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text[: len(text) // 2])


def config_is_a_list(folder):
    llama(folder)
    (folder / "config.json").write_text("[]\n")


def config_of_wrong_case(folder):
    llama(folder)
    (folder / "config.json").rename(folder / "Config.json")


def model_type_missing(folder):
    llama(folder)
    change_json(folder / "config.json", model_type=None)


def model_type_too_new(folder):
    """A family that came with transformers 5."""
    llama(folder, model_type="ministral3", architectures=["Ministral3ForCausalLM"])


def adapter_only(folder):
    write_json(
        folder / "adapter_config.json", {"base_model_name_or_path": "by-hand/llama", "peft_type": "LORA"}
    )
    llama(folder)
    (folder / "config.json").unlink()
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")


def generation_config_invalid(folder):
    llama(folder)
    (folder / "generation_config.json").write_text("{'eos_token_id': 2}\n")


def generation_config_of_another(folder):
    llama(folder)
    change_json(folder / "generation_config.json", eos_token_id=[2, 151329])


def code_missing(folder):
    chatglm2(folder)
    (folder / "modeling_chatglm.py").unlink()


def code_imports_what_is_missing(folder):
    """auto_map's file is there, and what it imports is there, but not what that imports."""
    chatglm2(folder)
    write_code(folder / "configuration_chatglm.py", "ChatGLMConfig", siblings=["defaults_chatglm"])


def code_of_another_revision(folder):
    """The class has another name."""
    chatglm2(folder)
    write_code(folder / "tokenization_chatglm.py", "ChatGLM4Tokenizer")


def code_of_another_repository(folder):
    chatglm2(folder)
    change_json(folder / "config.json", auto_map={"AutoModel": "by-hand/code--modeling_chatglm.ChatGLMModel"})


def quantization_missing(folder):
    """ChatGLM2's packed weights without the file that unpacks them."""
    chatglm2(folder, quantization_bit=4)
    (folder / "quantization.py").unlink()


def baichuan_13b(folder):
    """Baichuan-7B can be written as Llama; this one has other positions, and its code is too old."""
    baichuan(folder)
    change_json(folder / "config.json", max_position_embeddings=None, model_max_length=16)


def tokenizer_missing(folder):
    llama(folder)
    (folder / "tokenizer.json").unlink()


def tokenizer_invalid(folder):
    llama(folder)
    (folder / "tokenizer.json").write_text('{"version": "1.0", "model": \n')


def tokenizer_without_vocabulary(folder):
    llama(folder)
    write_json(folder / "tokenizer.json", {"version": "1.0"})


def tokenizer_config_invalid(folder):
    llama(folder)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": PreTrainedTokenizerFast}\n')


def tokenizer_model_missing(folder):
    """ChatGLM2 takes no other file."""
    chatglm2(folder)
    (folder / "tokenizer.model").unlink()
    write_json(folder / "tokenizer.json", tokenizer(WORDS))


def tokenizer_model_empty(folder):
    chatglm2(folder)
    (folder / "tokenizer.model").write_bytes(b"")


def tokenizer_model_is_a_pointer(folder):
    chatglm2(folder)
    (folder / "tokenizer.model").write_text(POINTER.format(size=1018370))


def tokenizer_model_cut_off(folder):
    chatglm2(folder)
    (folder / "tokenizer.model").write_bytes(sentencepiece(WORDS)[:-3])


def tokenizer_class_missing(folder):
    chatglm2(folder)
    (folder / "tokenizer_config.json").unlink()


def merges_missing(folder):
    """Half of GPT-2's way to write a tokenizer."""
    llama(folder)
    (folder / "tokenizer.json").unlink()
    write_json(folder / "vocab.json", {f"t{number}": number for number in range(WORDS)})


def vocabulary_too_large(folder):
    """Tokens were added, and the embedding was not made larger."""
    llama(folder)
    write_json(folder / "tokenizer.json", tokenizer(WORDS + 3))


def half_downloaded(folder):
    """A browser's, and aria2's."""
    bert(folder)
    (folder / "vocab.txt").rename(folder / "vocab.txt.part")
    (folder / "model.safetensors.aria2").write_bytes(bytes(40))


def hub_download_broken_off(folder):
    """A link of the hub's cache to a blob that did not come."""
    repository = folder / "models--by-hand--bert"
    snapshot, blobs = repository / "snapshots" / "0a1b2c", repository / "blobs"
    for made in (snapshot, blobs, repository / "refs"):
        made.mkdir(parents=True)
    (repository / "refs" / "main").write_text("0a1b2c")
    bert(snapshot)
    (snapshot / "model.safetensors").rename(blobs / "blob0.incomplete")
    (snapshot / "model.safetensors").symlink_to("../../blobs/blob0")


def several_models(folder):
    """The folder above two models."""
    for name in ("bert", "llama"):
        (folder / name).mkdir()
    bert(folder / "bert")
    llama(folder / "llama")


def no_model(folder):
    (folder / "README.md").write_text("The weights are somewhere else.\n")


BROKEN = {
    config_missing: ["no-config"],
    config_invalid: ["invalid-json"],
    config_is_a_list: ["not-an-object"],
    config_of_wrong_case: ["wrong-case"],
    model_type_missing: ["no-model-type"],
    model_type_too_new: ["type-unknown"],
    adapter_only: ["adapter-only"],
    generation_config_invalid: ["invalid-json"],
    generation_config_of_another: ["token-beyond-vocabulary"],
    code_missing: ["code-missing"],
    code_imports_what_is_missing: ["code-missing"],
    code_of_another_revision: ["class-missing"],
    code_of_another_repository: ["code-elsewhere"],
    quantization_missing: ["quantization-missing"],
    baichuan_13b: ["remote-code-old"],
    tokenizer_missing: ["no-tokenizer"],
    tokenizer_invalid: ["invalid-json"],
    tokenizer_without_vocabulary: ["tokenizer-broken"],
    tokenizer_config_invalid: ["invalid-json"],
    tokenizer_model_missing: ["no-tokenizer"],
    tokenizer_model_empty: ["empty"],
    tokenizer_model_is_a_pointer: ["lfs-pointer"],
    tokenizer_model_cut_off: ["tokenizer-broken"],
    tokenizer_class_missing: ["tokenizer-part-missing"],
    merges_missing: ["tokenizer-part-missing"],
    vocabulary_too_large: ["vocabulary-too-large"],
    half_downloaded: ["half-downloaded"],
    hub_download_broken_off: ["dangling-link", "half-downloaded"],
    several_models: ["several-models"],
    no_model: ["no-model"],
}
"""What is wrong -> the kinds of finding that must tell it."""
