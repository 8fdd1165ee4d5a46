"""The store on a device behind a real sshd: what is sent, kept, dropped, and mended."""

import hashlib
import os
from pathlib import Path

import pytest
from peers.shells import MIB, Connected, digest, make_tree, names_in, noise, seen, store_in
from peers.sshd import Sshd

from devices.base import DeviceError, TransientDeviceError
from devices.remote.shell import quote
from devices.remote.store import IN_USE

pytest_plugins = ["peers.shell_fixtures"]
pytestmark = pytest.mark.skipif(bool(Sshd.missing()), reason=Sshd.missing())


def test_what_is_there_is_not_sent_again(shell, workdir, odd_tree):
    first = store_in(shell, workdir)
    path = first.stage(odd_tree, digest(odd_tree))
    assert first.content_bytes_sent > 0
    calls, sent = shell.calls, first.content_bytes_sent
    assert first.stage(odd_tree, digest(odd_tree)) == path
    assert shell.calls == calls, "known already"
    first.forget()
    assert first.stage(odd_tree, digest(odd_tree)) == path
    assert (shell.calls, first.content_bytes_sent) == (calls + 1, sent)
    later = store_in(shell, workdir)
    assert later.stage(odd_tree, digest(odd_tree)) == path
    assert (shell.calls, later.content_bytes_sent) == (calls + 2, 0)


def test_a_new_tree_of_small_files_is_two_round_trips(shell, workdir):
    tree = make_tree(workdir / "tree", {f"{number}": noise(50, number) for number in range(300)})
    told = []
    store_in(shell, workdir).stage(tree, digest(tree), progress=lambda *numbers: told.append(numbers))
    assert shell.calls == 2
    assert told[-1] == (15_000, 15_000)


def test_what_bundles_share_is_sent_and_kept_once(shell, workdir):
    store = store_in(shell, workdir)
    one = make_tree(workdir / "one", {"numpy": noise(4000), "again/numpy": noise(4000), "own": b"1"})
    two = make_tree(workdir / "two", {"lib/numpy": noise(4000), "own": b"22"})
    first = store.stage(one, digest(one))
    assert store.content_bytes_sent == 4001
    second = store.stage(two, digest(two))
    assert store.content_bytes_sent == 4003
    assert Path(first, "again/numpy").samefile(Path(second, "lib/numpy"))


def test_a_staged_file_keeps_its_name(shell, workdir):
    make_tree(workdir, {"model.param": b"7767517", "other.param": b"7767517"})
    store = store_in(shell, workdir)
    paths = [store.stage(workdir / name, "abc123") for name in ("model.param", "other.param")]
    assert [Path(path).name for path in paths] == ["model.param", "other.param"]
    assert {Path(path).read_bytes() for path in paths} == {b"7767517"}
    assert store.content_bytes_sent == 7


def test_staged_content_is_read_only_and_can_be_removed_all_the_same(shell, workdir, odd_tree):
    path = store_in(shell, workdir).stage(odd_tree, digest(odd_tree))
    modes = {Path(path, name).stat().st_mode & 0o777 for name in ("program", "link", "empty")}
    assert modes == {0o444, 0o555}
    shell.checked(f"rm -r {quote(f'{workdir}/store/trees')}", attempted="remove the trees")


def test_without_hard_links_trees_are_copies_and_nothing_is_sent_twice(tmp_path, workdir, odd_tree):
    commands = make_tree(tmp_path / "commands", {"ln": b"#!/bin/sh\nexit 1\n"})
    (commands / "ln").chmod(0o755)
    environment = {"PATH": f"{commands}:/usr/bin:/bin", "HOME": str(tmp_path)}
    make_tree(odd_tree, {"big": noise(9 * MIB)})
    with Sshd(tmp_path / "sshd", environment=environment) as server, Connected(server) as shell:
        store = store_in(shell, workdir)
        path = store.stage(odd_tree, digest(odd_tree))
        assert seen(path) == seen(odd_tree)
        assert Path(path, "big").stat().st_nlink == 1
        sent = store.content_bytes_sent
        make_tree(odd_tree, {"new": b"new"})
        path = store.stage(odd_tree, digest(odd_tree))
        assert store.content_bytes_sent == sent + 3
    assert seen(path) == seen(odd_tree)


def test_many_small_files_go_on_where_the_connection_was_cut(shaky, proxy, workdir):
    contents = {f"{number % 7}/{number}": noise(20_000, number) for number in range(400)}
    tree = make_tree(workdir / "tree", contents)
    store = store_in(shaky, workdir)
    proxy.cut_after(6_000_000)
    with pytest.raises(TransientDeviceError, match="lost"):
        store.stage(tree, digest(tree))
    shaky.again()
    store.forget()
    sent = store.content_bytes_sent
    path = store.stage(tree, digest(tree))
    assert seen(path) == seen(tree)
    # What was on its way (a window of SSH is 2 MiB), and no more, may have been lost.
    assert store.content_bytes_sent - sent < 8_000_000 - 6_000_000 + (3 << 20)
    assert not names_in(workdir / "store" / "part")


def test_what_a_killed_script_left_is_used_and_cleared_away(shell, workdir):
    content = noise(3000)
    name = hashlib.sha256(content).hexdigest()
    left = f"store/part/pb00/blobs/{name}"
    make_tree(workdir, {left: content, "store/part/pb00/blobs/" + "0" * 64: b"half", "tree/a": content})
    (workdir / "store" / "trees").mkdir()
    (workdir / "store" / "blobs").mkdir()
    store = store_in(shell, workdir)
    path = store.stage(workdir / "tree", digest(workdir / "tree"))
    assert (Path(path) / "a").read_bytes() == content
    assert store.content_bytes_sent == 0
    assert not names_in(workdir / "store" / "part")
    assert names_in(workdir / "store" / "blobs") == [name]


def test_a_blob_that_lost_content_is_sent_again(shell, workdir):
    one = make_tree(workdir / "one", {"shared": noise(5000)})
    two = make_tree(workdir / "two", {"shared": noise(5000), "own": b"own"})
    store_in(shell, workdir).stage(one, digest(one))
    (blob,) = (workdir / "store" / "blobs").iterdir()
    blob.write_bytes(noise(5000)[:100])
    store = store_in(shell, workdir)
    path = store.stage(two, digest(two))
    assert seen(path) == seen(two)
    assert store.content_bytes_sent == 5003


def test_a_tree_from_before_a_power_cut_is_put_together_anew_and_only_what_was_lost_is_sent(shell, workdir):
    tree = make_tree(workdir / "tree", {"kept": noise(5000), "lost": noise(300)})
    path = Path(store_in(shell, workdir).stage(tree, digest(tree)))
    (path / "lost").write_bytes(b"")
    (path.parent / "boot").write_text("another-uptime\n")
    store = store_in(shell, workdir)
    assert store.stage(tree, digest(tree)) == str(path)
    assert seen(path) == seen(tree)
    assert store.content_bytes_sent == 300


def test_a_disk_too_small_is_told_before_anything_is_sent(shell, small_disk, workdir):
    source = make_tree(workdir, {"tree/a": noise(7 * MIB)}) / "tree"
    store = store_in(shell, small_disk)
    with pytest.raises(
        DeviceError,
        match=r"board: cannot stage .*: no space left \(7\.0 MiB needed, [56]\.\d MiB free in .*small disk\)"
        ": make room there or set `workdir`",
    ):
        store.stage(source, digest(source))
    assert store.content_bytes_sent == 0


def test_on_a_disk_too_small_what_was_staged_earlier_makes_room(shell, small_disk, workdir):
    trees = [make_tree(workdir / f"{number}", {"a": noise(2 * MIB, number)}) for number in range(4)]
    for tree in trees:
        path = store_in(shell, small_disk).stage(tree, digest(tree))
        assert seen(path) == seen(tree)
    assert len(names_in(small_disk / "store" / "trees")) == 2


@pytest.mark.parametrize("sizes", [[9 * MIB], [4 * MIB, 4 * MIB], [MIB] * 9])
def test_a_disk_that_fills_up_under_a_stage_is_told_and_what_was_half_sent_is_gone(
    tmp_path, workdir, small_disk, sizes
):
    contents = {f"{number}": noise(size, number) for number, size in enumerate(sizes)}
    tree = make_tree(workdir / "tree", contents)
    # Promises room when it is asked for the first time.
    asked = quote(str(tmp_path / "asked"))
    script = f"""#!/bin/sh
        [ -e {asked} ] && exec /bin/df "$@"
        touch {asked}; echo Filesystem; echo 'tmpfs 1000000 0 1000000 0% /'\n"""
    commands = make_tree(tmp_path / "commands", {"df": script.encode()})
    (commands / "df").chmod(0o755)
    environment = {"PATH": f"{commands}:/usr/bin:/bin", "HOME": str(tmp_path)}
    expected = pytest.raises(DeviceError, match=r"no space left \([89]\.0 MiB needed, [56]\.\d MiB free in /")
    with Sshd(tmp_path / "sshd", environment=environment) as server, Connected(server) as shell, expected:
        store_in(shell, small_disk).stage(tree, digest(tree))
    assert not [path for path in small_disk.rglob("*") if path.is_file()]


def test_over_its_quota_the_store_drops_the_trees_used_longest_ago(shell, workdir):
    names = ["a", "b", "c", "d"]
    trees = {name: make_tree(workdir / name, {"own": noise(300_000, name)}) for name in names}

    def stage(store, name):
        return store.stage(trees[name], name * 8)

    for name in "abc":
        stage(store_in(shell, workdir), name)
    for age, name in enumerate(["b", "a", "c"]):
        os.utime(workdir / "store" / "trees" / (name * 8), (age, age))
    stage(store_in(shell, workdir), "b")
    stage(store_in(shell, workdir, quota_bytes=1_000_000), "d")
    assert names_in(workdir / "store" / "trees") == ["b" * 8, "c" * 8, "d" * 8]
    assert len(names_in(workdir / "store" / "blobs")) == 3


def test_what_is_being_measured_is_never_dropped(shell, workdir):
    store = store_in(shell, workdir, quota_bytes=(IN_USE - 1) * 300_000 + 200_000)
    paths = []
    for number in range(IN_USE):
        tree = make_tree(workdir / f"{number}", {"own": noise(300_000, number)})
        if number == IN_USE - 1:
            with pytest.raises(
                DeviceError, match=r"in use by what is being measured, .*raise `\[store\] max_mb`"
            ):
                store.stage(tree, digest(tree))
        else:
            paths.append(store.stage(tree, digest(tree)))
    assert all(seen(path) for path in paths)


def test_many_cases_fit_a_store_that_holds_few_of_their_artifacts(shell, workdir):
    store = store_in(shell, workdir, quota_bytes=8 * 300_000)
    kinds = ["bundle", "runner", "artifact", "feed"]
    runner = make_tree(workdir / "runner", {"own": noise(1000)})
    earlier = make_tree(workdir / "earlier", {"own": noise(300_000, "earlier")})
    store_in(shell, workdir).stage(earlier, digest(earlier))
    for number in range(12):
        paths = {}
        for kind in kinds:
            tree = workdir / f"{kind} {number % 2 if kind == 'bundle' else number}"
            if kind == "runner":
                tree = runner
            elif not tree.exists():
                make_tree(tree, {"own": noise(300_000 if kind != "feed" else 1000, tree)})
            paths[tree] = store.stage(tree, digest(tree))
        assert all(seen(path) == seen(tree) for tree, path in paths.items()), number
    trees = names_in(workdir / "store" / "trees")
    assert digest(earlier) not in trees, "what nobody asked for goes before what this session had"
    bundles = [workdir / "bundle 0", workdir / "bundle 1"]
    assert {digest(bundle) for bundle in bundles} <= set(trees), "what is used again and again stays"


def test_what_was_dropped_is_brought_back_when_it_is_staged_again(shell, workdir):
    store = store_in(shell, workdir, quota_bytes=(IN_USE + 1) * 300_000)
    trees = [make_tree(workdir / f"{n}", {"own": noise(300_000, n)}) for n in range(IN_USE + 2)]
    first = store.stage(trees[0], digest(trees[0]))
    for tree in trees[1:]:
        store.stage(tree, digest(tree))
    assert not Path(first).exists()
    assert seen(store.stage(trees[0], digest(trees[0]))) == seen(trees[0])


def test_two_versions_that_are_alternated_stay_beside_each_other(shell, workdir):
    small, large = 1000, 300_000
    sizes = {"b1": large, "r": small, "a1": large, "f": small, "b2": large, "a2": large, "old": large}
    trees = {name: make_tree(workdir / name, {"own": noise(size, name)}) for name, size in sizes.items()}
    store = store_in(shell, workdir, quota_bytes=4 * large + 100_000)
    names = ["old", "b1", "r", "a1", "f", "b1", "r", "a1", "f", "b2", "r", "a2", "f"]
    paths = {name: store.stage(trees[name], digest(trees[name])) for name in names}
    del paths["old"]
    assert all(seen(path) == seen(trees[name]) for name, path in paths.items())


@pytest.mark.parametrize("size", [50_000, 9 * MIB])
def test_a_blob_gets_its_name_once_it_is_on_the_disk(tmp_path, workdir, size):
    """A power cut leaves zeros in place of what was not, and a store takes a blob by its size."""
    log = tmp_path / "synced"
    script = f"#!/bin/sh\nls {quote(str(workdir / 'store' / 'blobs'))} >>{log}\necho synced >>{log}\n"
    commands = make_tree(tmp_path / "commands", {"sync": script.encode()})
    (commands / "sync").chmod(0o755)
    environment = {"PATH": f"{commands}:/usr/bin:/bin", "HOME": str(tmp_path)}
    tree = make_tree(workdir / "tree", {"a": noise(size)})
    again = make_tree(workdir / "again", {"b": noise(size)})
    with Sshd(tmp_path / "sshd", environment=environment) as server, Connected(server) as shell:
        store = store_in(shell, workdir)
        if size > MIB:  # of which a part is there
            make_tree(workdir, {f"store/part/{hashlib.sha256(noise(size)).hexdigest()}": noise(size)[:MIB]})
        path = store.stage(tree, digest(tree))
        assert log.read_text() == "synced\n", "no blob was there yet"
        store.stage(again, digest(again))
        assert log.read_text() == "synced\n", "nothing was sent"
    assert seen(path) == seen(tree)


def test_what_a_killed_script_left_gets_its_name_once_it_is_on_the_disk(tmp_path, workdir):
    log = tmp_path / "synced"
    script = f"#!/bin/sh\nls {quote(str(workdir / 'store' / 'blobs'))} >{log}\necho synced >>{log}\n"
    commands = make_tree(tmp_path / "commands", {"sync": script.encode()})
    (commands / "sync").chmod(0o755)
    environment = {"PATH": f"{commands}:/usr/bin:/bin", "HOME": str(tmp_path)}
    name = hashlib.sha256(noise(3000)).hexdigest()
    make_tree(workdir, {f"store/part/pb00/blobs/{name}": noise(3000), "tree/a": noise(3000)})
    with Sshd(tmp_path / "sshd", environment=environment) as server, Connected(server) as shell:
        store = store_in(shell, workdir)
        store.stage(workdir / "tree", digest(workdir / "tree"))
        assert store.content_bytes_sent == 0
    assert log.read_text() == "synced\n", "no blob was there yet"


def test_what_exceeds_the_quota_alone_is_told_with_the_numbers(shell, workdir):
    tree = make_tree(workdir / "tree", {"a": noise(3 * MIB)})
    store = store_in(shell, workdir, quota_bytes=2 * MIB)
    with pytest.raises(
        DeviceError, match=r"it takes 3\.0 MiB, and the store may hold 2\.0 MiB: raise `\[store\] max_mb`"
    ):
        store.stage(tree, digest(tree))
    assert store.content_bytes_sent == 0
