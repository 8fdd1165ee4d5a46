"""Trees as tar streams: what is written is what tarfile writes, what comes in stays in its place."""

import io
import tarfile
from pathlib import Path

import pytest

from devices.remote import archive


@pytest.mark.parametrize(
    ("name", "kind", "leads_to"),
    [
        ("/tmp/escaped", tarfile.REGTYPE, ""),
        ("../escaped", tarfile.REGTYPE, ""),
        ("in/../../escaped", tarfile.REGTYPE, ""),
        ("link", tarfile.SYMTYPE, "/etc/passwd"),
        ("link", tarfile.SYMTYPE, "../.."),
        ("in/link", tarfile.SYMTYPE, "../back/../../x"),
        ("hard", tarfile.LNKTYPE, "../secret"),
        ("null", tarfile.CHRTYPE, ""),
        ("pipe", tarfile.FIFOTYPE, ""),
    ],
)
def test_a_member_that_would_escape_is_refused(tmp_path, name, kind, leads_to):
    (tmp_path / "secret").write_text("secret")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as writing:
        for folder in ("in", "in/deep"):
            made = tarfile.TarInfo(folder)
            made.type = tarfile.DIRTYPE
            writing.addfile(made)
        back = tarfile.TarInfo("in/back")
        back.type, back.linkname = tarfile.SYMTYPE, "deep/../.."
        writing.addfile(back)
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, leads_to
        writing.addfile(member)
    stream.seek(0)
    with pytest.raises(archive.UnsafeArchiveError):
        archive.extract(stream, tmp_path / "into")
    assert not (tmp_path.parent / "escaped").exists()
    assert not Path("/tmp/escaped").exists()


def test_the_headers_are_those_that_tarfile_writes():
    for name, size, mode in [
        ("a", 0, 0o444),
        ("ü/b", 8**10, 0o755),
        ("n" * 100, 1, 0o644),
        ("n" * 101, 1, 0o644),
    ]:
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = size, mode, archive.MTIME
        assert archive.file_header(name, size, mode) == info.tobuf(tarfile.GNU_FORMAT, "utf-8")
