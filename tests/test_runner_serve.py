"""The runner that stays alive and answers line by line."""

import json
import os
import subprocess
from contextlib import suppress

import msgspec
from peers.negating import job

from harness.spec import MemoryUse, RunnerResult, TensorSpec

pytest_plugins = ["peers.runner_fixtures"]

# Put before the bundle: the real onnxruntime, made to print on stdout whenever it is imported or run.
LOUD = """
import os, sys
os.write(1, b'{"samples_ns": "from C"}\\n')
print('a banner')
sys.path.remove(os.path.dirname(os.path.abspath(__file__)))
del sys.modules['onnxruntime']
import onnxruntime

class Session(onnxruntime.InferenceSession):
    def run(self, *arguments):
        os.write(1, b'no newline at the end')
        print('a kernel was chosen')
        return super().run(*arguments)

onnxruntime.InferenceSession = Session
"""


class Served:
    """The runner in serve mode; `ask` is one line to it and one line back."""

    def __init__(self, staged, given, folder, *, before=""):
        (folder / "job.json").write_bytes(msgspec.json.encode(given))
        path = f"{before}:{staged.environment['PYTHONPATH']}" if before else staged.environment["PYTHONPATH"]
        self.process = subprocess.Popen(
            [*staged.command, "job.json", "--serve"],
            cwd=folder,
            env={**os.environ, **staged.environment, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.result = folder / "result.json"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):
                stream.close()

    def line(self):
        return json.loads(self.process.stdout.readline())

    def ask(self, iterations):
        self.process.stdin.write(json.dumps({"iterations": iterations}) + "\n")
        self.process.stdin.flush()
        return self.line()

    def end(self):
        rest, _ = self.process.communicate("\n", timeout=60)
        return self.process.returncode, rest


def test_the_written_result_names_every_field(staged, tmp_path):
    with Served(staged, job(staged), tmp_path) as runner:
        assert runner.line() == {"ready": True}
        runner.ask(1)
        runner.end()
        written = json.loads(runner.result.read_text())
    assert written.keys() == {field.name for field in msgspec.structs.fields(RunnerResult)}
    assert written["memory"].keys() == {field.name for field in msgspec.structs.fields(MemoryUse)}


def test_served_blocks_are_answered_line_by_line(staged, tmp_path):
    with Served(staged, job(staged), tmp_path) as runner:
        assert runner.line() == {"ready": True}
        blocks = [runner.ask(count) for count in (1, 7, 3)]
        assert not runner.result.exists()
        assert runner.end() == (0, "")
        result = msgspec.json.decode(runner.result.read_bytes(), type=RunnerResult)
    assert [len(block["samples_ns"]) for block in blocks] == [1, 7, 3]
    assert list(result.samples_ns) == [sample for block in blocks for sample in block["samples_ns"]]
    assert list(result.started_ns) == [start for block in blocks for start in block["started_ns"]]
    assert list(result.started_ns) == sorted(result.started_ns)
    assert result.outputs == (TensorSpec(name="y", shape=(1, 4)),)


def test_serving_ends_well_when_its_parent_closes_the_line(staged, tmp_path):
    with Served(staged, job(staged), tmp_path) as runner:
        runner.line()
        runner.ask(2)
        runner.process.stdin.close()
        assert runner.process.wait(60) == 0
        assert len(json.loads(runner.result.read_text())["samples_ns"]) == 2


def test_what_a_runtime_prints_does_not_get_among_the_answers(staged, tmp_path):
    (tmp_path / "loud").mkdir()
    (tmp_path / "loud" / "onnxruntime.py").write_text(LOUD)
    with Served(staged, job(staged), tmp_path, before=tmp_path / "loud") as runner:
        assert runner.line() == {"ready": True}
        assert [len(runner.ask(2)["samples_ns"]) for _ in range(3)] == [2, 2, 2]
        assert runner.end() == (0, "")
