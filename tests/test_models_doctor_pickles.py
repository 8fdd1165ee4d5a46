"""Pickled weights that hide what they run, or that are made to break who looks at them."""

import pytest
from model_samples.weights import torch_zip, zipped

from harness.models.doctor import diagnose

PROTOCOL, STOP = b"\x80\x04", b"."
HEAD = PROTOCOL + b"}"
"""The beginning of a pickle whose answer is a dict."""

SYSTEM = b"\x8c\x05posix\x8c\x06system\x93"
"""posix.system, said in the way that no list of plain text shows."""


def findings_of(folder, entries):
    path = folder / "pytorch_model.bin"
    path.write_bytes(zipped(entries))
    (diagnosis,) = diagnose(path)
    return {finding.kind: finding for finding in diagnosis.findings if finding.severity != "good"}


def found_in_pickle(folder, pickled):
    return findings_of(folder, {"archive/data.pkl": pickled})


def test_a_pickle_within_a_pickle_is_code_because_torch_would_unpickle_it(tmp_path):
    pickled = PROTOCOL + b"ctorch.storage\n_load_from_bytes\nC\x00\x85R" + STOP
    found = found_in_pickle(tmp_path, pickled)
    assert "torch.storage._load_from_bytes" in found["runs-code"].what


def test_a_second_list_of_names_is_refused_because_torch_may_take_that_one(tmp_path):
    found = findings_of(
        tmp_path, {"evil/version": b"3", "archive/data.pkl": HEAD + STOP, "evil/data.pkl": STOP}
    )
    assert "2 data.pkl" in found["not-torch"].what


def test_a_pickle_that_cannot_be_followed_to_its_end_is_warned_of(tmp_path):
    # DUP is an instruction that no weights hold; what is behind it is not seen.
    found = found_in_pickle(tmp_path, HEAD + b"20" + SYSTEM + STOP)
    assert found["not-listed"].severity == "warning"
    assert "loading it runs code" in found["not-listed"].advice


@pytest.mark.parametrize(
    "pickled",
    [
        pytest.param(HEAD + b")" + b"\x85" * 200_000 + b"Ns" + STOP, id="as a key"),
        pytest.param(PROTOCOL + b")" + b"\x85" * 200_000 + b"\x8c\x01x\x93" + STOP, id="as a module's name"),
        pytest.param(
            HEAD
            + b"\x8c\x01x"
            + b"ctorch._utils\n_rebuild_parameter\n" * 20_000
            + b")R"
            + b"\x85R" * 19_999
            + b"s"
            + STOP,
            id="as a parameter",
        ),
    ],
)
def test_nesting_without_end_is_never_an_exception(tmp_path, pickled):
    found_in_pickle(tmp_path, pickled)


def test_plain_weights_are_found_whole(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(torch_zip({"a": (2, 3), "b": (4,)}))
    (diagnosis,) = diagnose(path)
    assert diagnosis.healthy
    assert "2 tensors" in diagnosis.findings[0].what
