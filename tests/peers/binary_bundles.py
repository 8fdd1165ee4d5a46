"""Binary bundles as their authors have them: bundle.json beside the program, to be spoiled by tests."""

import hashlib
import json
import shutil


def bundle_in(folder, built, platform):
    """A bundle of the program that was built for `platform`, in the new directory `folder`."""
    folder.mkdir()
    shutil.copy(built / platform, folder / "runner")
    manifest = {
        "schema": 1,
        "kind": "binary",
        "runtime": "ncnn",
        "version": "1.0.20261020",
        "platform": platform,
        "entry": ["{bundle}/runner"],
        "env": {"GREETING": "from {bundle}", "OMP_WAIT_POLICY": "active"},
        "files": {"runner": sha256(folder / "runner")},
    }
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rewrite(folder, **changes):
    """Change keys of its manifest; `...` takes one away."""
    path = folder / "bundle.json"
    changed = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in changed.items() if value is not ...}))
