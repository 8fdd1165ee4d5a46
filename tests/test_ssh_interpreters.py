"""Which Pythons a device has, found over a real SSH server."""

import subprocess
from pathlib import Path

import pytest
from peers.sshd import Sshd

from devices.remote import snapshot_scripts
from devices.remote.snapshot import read_facts

pytest_plugins = ["peers.noisy_fixtures"]
pytestmark = pytest.mark.skipif(bool(Sshd.missing()), reason=Sshd.missing() or "there is one")


def interpreter(version, tag, path, *, make="cpython"):
    return f'printf "\\n\\n%s %s %s %s" {make} {tag} {version} "{path}"'


def test_python3_over_ssh_is_the_first_on_path_and_every_interpreter_is_told_once(noisy_shell, program):
    first = program(
        "python3", interpreter("3.8.20", "cpython-38-x86_64-linux-gnu", "/opt/python 3/bin/python3.8")
    )
    (first.parent / "python3.9").symlink_to(first)
    program("python3.12", interpreter("7.3.17", "pypy312-pp73", "/opt/pypy/bin/pypy3", make="pypy"))
    program("python3.13", "echo no such version; exit 127")
    try:
        facts = read_facts(noisy_shell, driver="ssh")
    finally:
        (first.parent / "python3.9").unlink()
    assert facts.python == "3.8.20"
    assert facts.interpreters[0].path == "/opt/python 3/bin/python3.8"
    paths = [python.path for python in facts.interpreters]
    assert len(set(paths)) == len(paths)
    assert "/opt/pypy/bin/pypy3" not in paths
    real = str(Path("/usr/bin/python3").resolve())
    assert real in paths


def test_an_interpreter_s_soabi_over_ssh_is_sysconfig_s(noisy_shell):
    real = str(Path("/usr/bin/python3").resolve())
    found = next(
        python for python in read_facts(noisy_shell, driver="ssh").interpreters if python.path == real
    )
    code = "import sysconfig; print(sysconfig.get_config_var('SOABI'), sysconfig.get_python_version())"
    asked = subprocess.run([real, "-c", code], capture_output=True, text=True, check=True)
    assert f"{found.soabi} {found.version}" == asked.stdout.strip()


def test_a_virtual_environment_over_ssh_is_told_as_what_it_was_made_from(noisy_shell, programs, tmp_path):
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    link = programs / "python3"
    link.symlink_to(tmp_path / "venv/bin/python3")
    try:
        facts = read_facts(noisy_shell, driver="ssh")
    finally:
        link.unlink()
    assert facts.interpreters[0].path == str(Path("/usr/bin/python3").resolve())


def test_an_interpreter_that_hangs_over_ssh_is_left_out(noisy_shell, program, monkeypatch):
    monkeypatch.setattr(snapshot_scripts, "PYTHON_TIMEOUT_S", 1)
    program("python3.14", "exec sleep 600")
    assert read_facts(noisy_shell, driver="ssh").interpreters


@pytest.mark.parametrize("minor", [8, 14, 15, 20])
def test_an_interpreter_that_is_newer_than_this_is_found_over_ssh(noisy_shell, program, minor):
    path = f"/opt/python 3.{minor}/bin/python3"
    program(f"python3.{minor}", interpreter(f"3.{minor}.1", f"cpython-3{minor}-x86_64-linux-gnu", path))
    assert path in [python.path for python in read_facts(noisy_shell, driver="ssh").interpreters]
