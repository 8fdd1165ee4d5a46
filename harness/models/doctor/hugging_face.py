"""A Hugging Face folder, step by step: files, config, code, weights, tensors, tokenizer."""

from pathlib import Path

from harness.models.doctor.code import check_code
from harness.models.doctor.compare import check_tensors
from harness.models.doctor.config import Config, check_config, check_generation
from harness.models.doctor.files import check_files
from harness.models.doctor.findings import Examined, good
from harness.models.doctor.tensors import Tensors, described
from harness.models.doctor.tokenizer import check_input
from harness.models.doctor.weights import check_weights, read_weights


def check_folder(root: Path, transformers: str) -> Examined[str]:
    """Check the folder `root` for that version of transformers; returns what the model is, in one line."""
    bad = yield from check_files(root)
    if not bad:
        yield good("files", root.name, "no pointer, no half download, nothing empty")
    config = yield from check_config(root, bad, transformers)
    yield from check_generation(root, bad, config)
    yield from check_code(root, bad, config)
    if config is None and (root / "adapter_config.json").is_file():
        return "an adapter without its model"
    tensors = yield from check_weights(root, bad)
    if config is not None and tensors is not None:
        yield from check_tensors(config, tensors)
    yield from check_input(root, bad, config, tensors)
    return summary(config, tensors)


def check_tensor_file(path: Path) -> Examined[str]:
    """Check one file of weights without its folder."""
    tensors = yield from read_weights(path, path.name)
    return summary(None, tensors or None)


def summary(config: Config | None, tensors: Tensors | None) -> str:
    """Family, class, parameters, type and size, as far as they are known."""
    family = str((config or {}).get("model_type") or "unknown family")
    names = (config or {}).get("architectures")
    architecture = f" ({names[0]})" if isinstance(names, list) and names else ""
    return f"{family}{architecture}, {described(tensors) if tensors else 'weights not readable as a whole'}"
