"""Archives as sources: what is meant is unpacked, what would do harm is refused and leaves nothing."""

import io
import os
import stat
import struct
import tarfile
import zipfile

import pytest
from peers.shells import mounted

from harness.cache import Cache
from harness.errors import PocketbenchError
from harness.models.forms import parse_source
from harness.models.sources import content_sha256, fetch
from harness.models.sources.archives import UnsafeError, unpack

pytest_plugins = ["peers.hub_fixtures"]

FILES = {"net/config.json": b"{}", "net/sub/net.onnx": b"onnx", "net/.hidden": b"", "README": b"read"}


def zipped(path, files, links=(), special=()):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for (name, content), mode in ((one, stat.S_IFLNK) for one in links):
            info = zipfile.ZipInfo(name)
            info.external_attr = (mode | 0o777) << 16
            archive.writestr(info, content)
        for name in special:
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFCHR | 0o666) << 16
            archive.writestr(info, b"")
    return path


def tarred(path, files, links=(), special=()):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
        for name in special:
            info = tarfile.TarInfo(name)
            info.type = tarfile.CHRTYPE
            archive.addfile(info)
    return path


@pytest.fixture(params=[(zipped, "net.zip"), (tarred, "net.tar.gz")], ids=["zip", "tar"])
def pack(request, tmp_path):
    """Packs files, links and devices; returns the archive."""
    packer, name = request.param
    return lambda files, **others: packer(tmp_path / name, files, **others)


@pytest.fixture
def small_disk(tmp_path):
    yield from mounted(tmp_path / "disk", "size=1m")


def unpacked(archive, member, target):
    (place,) = parse_source(f"url:https://host/{archive.name}!{member}")
    unpack(place, archive, target)
    return target


def names_in(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def refused(archive, tmp_path, member="/"):
    """The message with which an archive is refused; nothing of it is written."""
    target = tmp_path / "unpacked" / "net"
    target.parent.mkdir()
    before = set(tmp_path.rglob("*"))
    with pytest.raises(UnsafeError) as error:
        unpacked(archive, member, target)
    assert set(tmp_path.rglob("*")) == before
    return str(error.value)


def test_a_file_a_folder_and_all_of_an_archive(pack, tmp_path):
    archive = pack(FILES)

    assert unpacked(archive, "net/sub/net.onnx", tmp_path / "file").read_bytes() == b"onnx"
    assert names_in(unpacked(archive, "net/", tmp_path / "folder")) == ["config.json", "sub/net.onnx"]
    assert names_in(unpacked(archive, "/", tmp_path / "all")) == [
        "README",
        "net/config.json",
        "net/sub/net.onnx",
    ]
    only = unpacked(archive, "net/ only=*.onnx", tmp_path / "only")
    assert names_in(only) == ["sub/net.onnx"]


def test_a_member_that_is_not_there_names_the_nearest(pack, tmp_path):
    archive = pack(FILES)

    with pytest.raises(PocketbenchError, match=r"holds no net/net\.onnx\. Nearest in it: net/sub/net\.onnx"):
        unpacked(archive, "net/net.onnx", tmp_path / "a")
    with pytest.raises(PocketbenchError, match=r"holds no nett/\. Nearest in it: net/"):
        unpacked(archive, "nett/", tmp_path / "b")


@pytest.mark.parametrize("name", ["../evil", "net/../../evil", "/etc/evil", "..\\evil", "C:/evil"])
def test_a_member_that_would_be_written_elsewhere_is_refused(pack, tmp_path, name):
    assert f"its member {name!r} would be written outside" in refused(pack({**FILES, name: b""}), tmp_path)


@pytest.mark.parametrize("elsewhere", ["/etc/passwd", "../../etc/passwd"])
def test_a_link_that_leads_outside_is_refused(pack, tmp_path, elsewhere):
    told = refused(pack(FILES, links=[("net/link", elsewhere)]), tmp_path)
    assert "its member 'net/link' is a link outside, to" in told


def test_a_file_that_would_be_written_through_a_link_is_refused(pack, tmp_path):
    told = refused(pack({"net/link/evil": b""}, links=[("net/link", "sub")]), tmp_path)
    assert "is a link to 'net/sub', which is no file of it" in told


def test_links_that_go_round_are_refused(pack, tmp_path):
    links = [("a", "b"), ("b", "a")]
    assert "is a link to 'b', which is no file of it" in refused(pack({}, links=links), tmp_path)


def test_a_link_to_a_file_of_the_archive_becomes_that_file(pack, tmp_path):
    archive = pack(FILES, links=[("net/model.onnx", "sub/net.onnx"), ("net/again.onnx", "model.onnx")])

    folder = unpacked(archive, "net/", tmp_path / "net")

    assert (folder / "again.onnx").read_bytes() == (folder / "model.onnx").read_bytes() == b"onnx"
    assert not (folder / "model.onnx").is_symlink()


def test_a_device_is_refused(pack, tmp_path):
    assert "'net/null' is a device, pipe or socket" in refused(pack(FILES, special=["net/null"]), tmp_path)


def test_a_name_that_is_a_file_and_a_folder_is_refused(pack, tmp_path):
    assert "what 'net/a/b' lies in is a file as well" in refused(
        pack({"net/a": b"", "net/a/b": b""}), tmp_path
    )


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "net.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/a", b"1")
        archive.writestr("net/./a", b"2")
    assert "it holds 'net/a' twice" in refused(path, tmp_path)


def test_a_bomb_is_refused_before_it_goes_off(pack, tmp_path, small_disk):
    archive = pack({"net/zeros": bytes(8 << 20)})
    assert archive.stat().st_size < 20_000

    with pytest.raises(UnsafeError, match=r"unpacked it takes 8\.0 MiB, and 1\.0 MiB are free"):
        unpacked(archive, "/", small_disk / "net")

    assert list(small_disk.iterdir()) == []


def test_a_zip_that_lies_about_its_size_gives_no_more_than_it_said(tmp_path):
    archive = zipped(tmp_path / "net.zip", {"zeros": bytes(1 << 20)})
    lie = archive.read_bytes().replace(struct.pack("<L", 1 << 20), struct.pack("<L", 10))
    archive.write_bytes(lie)

    with pytest.raises(PocketbenchError, match="the archive is damaged"):
        unpacked(archive, "zeros", tmp_path / "zeros")

    assert (tmp_path / "zeros").stat().st_size <= 10


def test_half_an_archive_is_told_as_damaged(pack, tmp_path):
    archive = pack({"net": os.urandom(100_000)})
    archive.write_bytes(archive.read_bytes()[:50_000])

    with pytest.raises(PocketbenchError, match="the archive is damaged or of no kind that is known"):
        unpacked(archive, "/", tmp_path / "net")


def test_a_locked_archive_is_told_as_that(tmp_path):
    archive = zipped(tmp_path / "net.zip", {"net": b"content"})
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # encrypted, in the file's header and in the directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)

    with pytest.raises(PocketbenchError, match=r"cannot be read: .*password"):
        unpacked(archive, "net", tmp_path / "net")


def test_a_folder_of_an_archive_is_fetched_once_and_checked(hub, tmp_path, pack):
    archive = pack(FILES)
    hub.add("org/net", {archive.name: archive.read_bytes()})
    source = f"url:{hub.endpoint}/org/net/resolve/main/{archive.name}!net/"
    cache = Cache(tmp_path / "cache")
    with pytest.raises(PocketbenchError, match="has no sha256") as error:
        fetch(cache, source, None, base=tmp_path)
    sha256 = str(error.value).rpartition("sha256 = ")[2].strip('"')

    folder = fetch(cache, source, sha256, base=tmp_path)

    assert (folder.name, names_in(folder)) == ("net", ["config.json", "sub/net.onnx"])
    assert content_sha256(folder) == sha256
    assert len(hub.sent) == 1
    with pytest.raises(PocketbenchError, match="is not the folder it should be"):
        fetch(cache, source, "0" * 64, base=tmp_path)
