"""Originals that are damaged, or made to mislead: told before a converter gets them."""

import re

import pytest
from peers.originals import rewrite_code

from harness.errors import ConversionError
from harness.models.original_files import check_original

pytest_plugins = ["peers.original_fixtures"]

FLAGS, COMPRESSION = 8, 10
"""Where an entry in a zip archive's directory has them, in bytes from its beginning."""


def mark_entries(path, at, mark):
    content = bytearray(path.read_bytes())
    for found in re.finditer(rb"PK\x01\x02", bytes(content)):
        content[found.start() + at] = mark
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: rewrite_code(path, lambda _: b"\xff"), r"the code in network\.pt cannot be read"),
        (
            lambda path: rewrite_code(path, lambda _: b"-" * 100_000 + b"1"),
            r"the code in network\.pt cannot be read: it is nested too deep",
        ),
        (
            lambda path: rewrite_code(path, lambda code: code + b"\0"),
            r"the code in network\.pt cannot be read: .*null bytes",
        ),
        (
            lambda path: mark_entries(path, FLAGS, 1),
            r"network\.pt cannot be read as a zip archive \(.*is encrypted",
        ),
        (
            lambda path: mark_entries(path, COMPRESSION, 99),
            r"network\.pt cannot be read as a zip archive \(.*compression",
        ),
    ],
    ids=["no-text", "nested", "null", "encrypted", "compression"],
)
def test_torchscript_that_cannot_be_read_is_one_clear_error(originals_folder, damage, said):
    path = originals_folder / "network.pt"
    damage(path)

    with pytest.raises(ConversionError, match=said):
        check_original({"torchscript": path})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (b"\xff" * 12, r"__model__ is no Paddle program: the name at byte \d+ is no text"),
        (b"../outside_0", r"__model__ says that a weight is in '\.\./outside_0', outside of uncombined"),
        (b"in/../../out", r"__model__ says that a weight is in 'in/\.\./\.\./out', outside of uncombined"),
        (b"/outside_0_0", "__model__ says that a weight is in '/outside_0_0', outside of uncombined"),
    ],
    ids=["no-text", "above", "above-within", "absolute"],
)
def test_a_weight_is_looked_for_in_the_programs_folder_only(originals_folder, name, said):
    program = originals_folder / "uncombined" / "__model__"
    program.write_bytes(program.read_bytes().replace(b"linear_0.w_0", name))

    with pytest.raises(ConversionError, match=said):
        check_original({"paddle": program.parent})


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (60, r"linear_0\.w_0 is cut off or damaged within tensor 1 of 1"),
        (8, r"linear_0\.w_0 is cut off or damaged within tensor 1 of 1"),
        (0, r"linear_0\.w_0 is empty"),
    ],
    ids=["values", "header", "empty"],
)
def test_a_weight_in_a_file_of_its_own_has_to_be_whole(originals_folder, left, said):
    weight = originals_folder / "uncombined" / "linear_0.w_0"
    weight.write_bytes(weight.read_bytes()[:left])

    with pytest.raises(ConversionError, match=said):
        check_original({"paddle": weight.parent})
