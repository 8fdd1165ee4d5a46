"""The folders in tests/data: every planted defect is named, and what is whole is called whole."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from model_samples import folders
from model_samples.weights import safetensors

from harness.errors import PocketbenchError
from harness.models.doctor import diagnose

DATA = Path(__file__).parent / "data"
sys.path.insert(0, str(DATA))

from make_broken_models import BROKEN, HEALTHY, main  # noqa: E402

ONLY_WARNED_OF = {
    "generation_config_of_another",
    "code_of_another_repository",
    "shard_unlisted",
    "total_size_wrong",
    "torch_file_of_old",
    "config_lacks_sizes",
    "tensors_of_another_model",
    "onnx_dynamic",
    "onnx_opset_too_new",
    "onnx_domain_unknown",
}
"""Defects that a model can be meant to have."""


def found_in(path, **options):
    return [finding for diagnosis in diagnose(path, **options) for finding in diagnosis.findings]


def told(path, kind, **options):
    """What the doctor says of `path`, place and advice included, in its one finding of a kind."""
    (finding,) = [finding for finding in found_in(path, **options) if finding.kind == kind]
    return f"{finding.where}: {finding.what}. {finding.advice}"


def pocketbench(*arguments):
    command = [sys.executable, "-c", "from harness.cli import main; main()", *map(str, arguments)]
    return subprocess.run(
        command, cwd=DATA.parent.parent, capture_output=True, text=True, check=False, timeout=120
    )


def tree(root):
    """Content of every file under a folder, and where its links lead."""
    return {
        path.relative_to(root): path.readlink() if path.is_symlink() else path.read_bytes()
        for path in root.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.parametrize(
    ("name", "kinds"),
    [pytest.param(make.__name__, kinds, id=make.__name__) for make, kinds in BROKEN.items()],
)
def test_a_planted_defect_is_named_with_what_to_do(name, kinds):
    findings = found_in(DATA / "broken_models" / name)
    wrong = {finding.kind: finding for finding in findings if finding.severity in {"error", "warning"}}
    assert set(kinds) <= set(wrong)
    assert all(wrong[kind].advice for kind in kinds)
    assert any(finding.severity == "error" for finding in findings) == (name not in ONLY_WARNED_OF)


@pytest.mark.parametrize("name", [make.__name__ for make in HEALTHY])
def test_a_whole_model_has_no_error_and_is_told_what_it_is_and_what_for(name):
    for diagnosis in diagnose(DATA / "healthy_models" / name):
        assert diagnosis.healthy, diagnosis.findings
        assert "not readable" not in diagnosis.summary
        assert diagnosis.findings[-1].step == "use"


def test_the_folders_are_what_the_script_writes(tmp_path):
    main(tmp_path)
    for name in ("broken_models", "healthy_models"):
        assert tree(tmp_path / name) == tree(DATA / name)


def test_the_folders_are_small_and_git_keeps_every_file_of_them():
    for name in ("broken_models", "healthy_models"):
        files = [path for path in (DATA / name).rglob("*") if path.is_symlink() or path.is_file()]
        assert sum(path.lstat().st_size for path in files) < 300_000
        asked = "\0".join(map(str, files))
        git = ["git", "-C", str(DATA)]
        options = {"input": asked, "capture_output": True, "text": True}
        ignored = subprocess.run(
            [*git, "check-ignore", "-z", "--no-index", "--stdin"], **options, check=False
        )
        assert ignored.stdout == ""
        attributes = subprocess.run([*git, "check-attr", "-z", "--stdin", "filter"], **options, check=True)
        assert "lfs" not in attributes.stdout.split("\0")


def test_nothing_of_a_folder_runs_and_no_framework_is_imported():
    names = ("healthy_models/chatglm2", "healthy_models/onnx", "broken_models/torch_file_runs_code")
    program = (
        "import sys; from pathlib import Path; from harness.models.doctor import diagnose\n"
        "for name in sys.argv[1:]: diagnose(Path(name))\n"
        "print({'torch', 'transformers', 'onnx', 'modeling_chatglm'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *(str(DATA / name) for name in names)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"
    assert not list(DATA.rglob("RAN"))


def test_another_version_of_transformers_is_judged_when_it_is_asked_for():
    qwen2 = DATA / "healthy_models" / "qwen2"
    assert "it came with 4.37" in told(qwen2, "type-unknown", transformers="4.36.2")
    chatglm2 = DATA / "healthy_models" / "chatglm2"
    assert "GlmForCausalLM" in told(chatglm2, "remote-code-old")
    assert "remote-code-old" not in {finding.kind for finding in found_in(chatglm2, transformers="4.40.2")}
    (later,) = [f for f in found_in(chatglm2, transformers="5.23.0") if f.kind == "remote-code-old"]
    assert later.severity == "error"


def test_what_is_no_version_is_refused():
    with pytest.raises(PocketbenchError, match="'latest' is not a version"):
        diagnose(DATA / "healthy_models" / "bert", transformers="latest")


def test_a_path_that_is_not_there_is_told_with_what_lies_near():
    with pytest.raises(PocketbenchError, match="make_broken_models"):
        diagnose(DATA / "broken_model")


def test_a_pointer_is_told_with_the_size_and_hash_of_the_file_it_stands_for():
    words = told(DATA / "broken_models" / "weights_are_a_pointer", "lfs-pointer")
    assert "538090408 bytes" in words
    assert "4665ecd6a8ca" in words
    assert "git lfs pull" in words


def test_missing_tensors_are_told_by_name():
    words = told(DATA / "broken_models" / "tensors_missing", "tensor-missing")
    assert "2 of 21" in words
    assert "model.layers.1.self_attn.o_proj.weight" in words


def test_dynamic_shapes_are_told_with_the_line_for_the_zoo():
    words = told(DATA / "broken_models" / "onnx_dynamic", "dynamic-shapes")
    assert 'inputs = [{ name = "x", shape = [1, 3, HEIGHT, WIDTH] }]' in words


def test_weights_beside_an_onnx_file_make_its_folder_the_source():
    folder = DATA / "healthy_models" / "onnx_with_external_data"
    assert f'source = "file:{folder}"' in told(folder, "use")
    assert "its folder is the source" in told(folder, "external-data")


def test_code_that_a_pickle_would_run_is_named():
    words = told(DATA / "broken_models" / "torch_file_runs_code", "runs-code")
    assert "posix.system" in words


def test_the_command_prints_every_finding_and_fails_when_one_is_an_error():
    done = pocketbench(
        "models", "doctor", DATA / "healthy_models" / "llama", DATA / "broken_models" / "shard_missing"
    )
    assert done.returncode == 1, done.stderr
    assert "✓ tensors    weights: 2 layers, all 21 tensors that config.json implies" in done.stdout
    assert "✗ weights    model-00002-of-00002.safetensors: is missing" in done.stdout
    assert "llama (LlamaForCausalLM), 324 parameters, float16, 648 bytes: 0 errors, 0 warnings" in done.stdout


def test_the_command_succeeds_where_there_are_only_warnings():
    assert pocketbench("models", "doctor", DATA / "healthy_models" / "chatglm2").returncode == 0


def test_the_command_prints_json_for_programs():
    done = pocketbench("models", "doctor", "--json", DATA / "broken_models" / "weights_cut_off")
    (diagnosis,) = json.loads(done.stdout)
    assert done.returncode == 1
    assert diagnosis["healthy"] is False
    assert {"severity", "step", "kind", "where", "what", "advice"} == set(diagnosis["findings"][0])
    assert "truncated" in {finding["kind"] for finding in diagnosis["findings"]}


def test_a_wrong_path_is_one_line_and_exit_code_2():
    done = pocketbench("models", "doctor", "no/such/folder")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no no/such/folder" in done.stderr


def test_a_classifier_made_of_a_decoder_needs_no_head_for_words(tmp_path):
    folders.llama(tmp_path, architectures=["LlamaForSequenceClassification"])
    shapes = {name: shape for name, shape in folders.llama_shapes().items() if name != "lm_head.weight"}
    (tmp_path / "model.safetensors").write_bytes(safetensors({**shapes, "score.weight": (2, folders.SIZE)}))
    assert [finding for finding in found_in(tmp_path) if finding.severity in {"error", "warning"}] == []
