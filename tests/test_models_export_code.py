"""Python files that come with weights: none runs unless it is trusted, and then it is told which did."""

import json
import logging

import pytest
from peers.tiny_models import changed, run_in

from harness.errors import ConversionError, PocketbenchError, UnsupportedError
from harness.models.export import export_onnx, read_export
from harness.spec import Export
from harness.toolchains import ConversionTimeoutError

pytest_plugins = ["peers.tiny_model_fixtures"]

CONFIGURATION = """
from transformers import PretrainedConfig

class OwnConfig(PretrainedConfig):
    model_type = "own"
    hidden_size = 16
    num_attention_heads = 2
    num_hidden_layers = 1
    vocab_size = 128
"""
MODELING = """
import os
import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from .configuration_own import OwnConfig

class OwnModel(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.embed = torch.nn.Embedding(config.vocab_size, config.hidden_size)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, **_):
        print("offline:", os.environ["HF_HUB_OFFLINE"], "home:", os.environ["HF_HOME"])
        hidden = self.embed(input_ids) * attention_mask[..., None].to(torch.float32)
        {turn}
        return BaseModelOutput(last_hidden_state=torch.tanh(hidden))
"""
OWN = {
    "model_type": "own",
    "architectures": ["OwnModel"],
    "auto_map": {"AutoConfig": "configuration_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"},
}
TRUSTED = Export(trust_remote_code=True)
SAVE = """
import sys, numpy as np
from safetensors.numpy import save_file
draw = np.random.default_rng(0)
save_file({"embed.weight": draw.normal(size=(128, 16)).astype("float32")}, sys.argv[1], {"format": "pt"})
"""


@pytest.fixture
def own(export_tools, tmp_path):
    """Makes a folder whose class comes with it; `turn` is a line of its forward."""

    def make(turn="pass"):
        folder = tmp_path / "own"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(OWN))
        (folder / "configuration_own.py").write_text(CONFIGURATION)
        (folder / "modeling_own.py").write_text(MODELING.replace("{turn}", turn))
        run_in(export_tools, SAVE, folder / "model.safetensors")
        return folder

    return make


def test_code_of_the_folder_does_not_run_without_the_flag_and_is_named(export_cache, own):
    folder = own("raise SystemExit('it ran')")
    with pytest.raises(
        UnsupportedError, match=r"configuration_own\.py, modeling_own\.py\. Read them"
    ) as refused:
        export_onnx(export_cache, folder)
    assert "trust_remote_code = true" in str(refused.value)
    assert not (folder / "__pycache__").exists()


def test_code_that_is_trusted_runs_after_a_warning_that_names_it_offline_and_leaves_nothing(
    export_cache, own, caplog
):
    folder = own()
    before = sorted(folder.iterdir())
    with caplog.at_level(logging.WARNING, "harness"):
        graph = export_onnx(export_cache, folder, TRUSTED)
    assert f"exporting {folder} runs configuration_own.py, modeling_own.py of it" in caplog.text
    assert list(read_export(graph).inputs) == ["input_ids", "attention_mask"]
    assert sorted(folder.iterdir()) == before
    assert not (graph.parent / "home").exists()


def test_a_graph_that_computes_something_else_than_torch_is_refused_with_the_figures(export_cache, own):
    folder = own("hidden = -hidden if input_ids.shape[1] > 12 else hidden")
    with pytest.raises(
        ConversionError, match="computes something else than torch: last_hidden_state"
    ) as refused:
        export_onnx(export_cache, folder, TRUSTED)
    assert "max_rel 2 (limit 0.001) and cosine -1.0" in str(refused.value)
    assert "offline: 1 home: /" in refused.value.log


def test_an_export_that_hangs_is_ended_and_not_remembered(export_cache, own):
    folder = own()
    with (folder / "configuration_own.py").open("a") as code:
        code.write("import time\ntime.sleep(3600)\n")
    kept = len(list((export_cache.root / "exports").iterdir()))
    with pytest.raises(ConversionTimeoutError, match="exporting did not finish within 3 s and was ended"):
        export_onnx(export_cache, folder, TRUSTED, timeout_s=3)
    left = [path for path in (export_cache.root / "exports").iterdir() if path.suffix != ".lock"]
    assert len(left) <= kept


def test_a_missing_file_of_code_is_named_with_who_needs_it(export_cache, own):
    folder = own()
    (folder / "configuration_own.py").unlink()
    with pytest.raises(PocketbenchError, match=r"has no configuration_own\.py, which .* needs"):
        export_onnx(export_cache, folder, TRUSTED)


def test_code_of_another_repository_is_named(export_cache, own):
    folder = own()
    changed(folder, auto_map={"AutoModel": "somebody/else--modeling_own.OwnModel"})
    with pytest.raises(PocketbenchError, match="code of the repository somebody/else"):
        export_onnx(export_cache, folder, TRUSTED)
