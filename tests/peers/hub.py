"""A model hub on loopback: answers what huggingface_hub asks, and serves folders as repositories.

`Hub(root)` shows `root/ORGANIZATION/NAME/` as the repository ORGANIZATION/NAME, whose one branch is main and
whose commit is a hash of its files. As on the real hub, large files are in git-lfs: `resolve` sends to
another server for them, which must not be given the token. huggingface_hub itself is the judge.
"""

import hashlib
import http.server
import json
import re
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

HELD_AT_MOST_S = 60.0
LFS_SUFFIXES = {".bin", ".safetensors", ".onnx", ".pt", ".gguf", ".zip", ".gz", ".tgz", ".tar"}


class Hub:
    """Two servers, of the repositories and of the large files; a context manager.

    with Hub(tmp_path) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)

    Faults may be switched at any time: `gated` names repositories that need one of `tokens`; `cuts` says, for
    each of the next downloads of a large file, after how many bytes the connection is cut; `pointers` serves
    git-lfs pointers as a mirror without the large files does; `spoiled` changes a byte of every file;
    `status` and `page` answer everything with that status or with a web page; `claimed` is given out as the
    commit of everything; with `etags` off, large files have none; `held` is how many bytes of a large file
    are sent, and a threading.Event that the rest waits for; `renamed` are names that files of every list have
    in place of their own.
    """

    def __init__(self, root):
        self.root = Path(root)
        self.gated, self.tokens = set(), set()
        self.cuts = []
        self.pointers = self.spoiled = self.page = False
        self.etags = True
        self.status = self.claimed = self.held = None
        self.renamed = {}
        self.asked = []
        """What was asked, `GET /path`, of both servers in order."""
        self.sent = []
        """Path, first byte, and number of bytes of every content that was sent."""
        self.authorized = {"hub": set(), "storage": set()}
        """The tokens that each server was shown."""

    def __enter__(self):
        self._hub, self._storage = _serve(self, _HubHandler), _serve(self, _StorageHandler)
        self.endpoint = f"http://127.0.0.1:{self._hub.server_port}"
        self.storage = f"http://127.0.0.1:{self._storage.server_port}"
        return self

    def __exit__(self, *_):
        for server in (self._hub, self._storage):
            server.shutdown()
            server.server_close()
            server.thread.join()

    def add(self, repository, files):
        """Write `files`, names and contents, into a repository; returns its commit."""
        for name, content in files.items():
            path = self.root / repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return self.commit(repository)

    def commit(self, repository):
        """What main of `repository` points at."""
        listed = [(name, _sha256(path.read_bytes())) for name, path in self.files(repository).items()]
        return hashlib.sha1(json.dumps(listed).encode(), usedforsecurity=False).hexdigest()

    def files(self, repository):
        """Names and paths of a repository's files, sorted."""
        top = self.root / repository
        return {p.relative_to(top).as_posix(): p for p in sorted(top.rglob("*")) if p.is_file()}

    def bytes_sent(self, name):
        """How many bytes of files whose path ends with `name` were sent."""
        return sum(count for path, _, count in self.sent if path.endswith(name))

    def repositories(self):
        """Names of all repositories, sorted."""
        return sorted(f"{p.parent.name}/{p.name}" for p in self.root.glob("*/*") if p.is_dir())


def _serve(hub, handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = False
    server.hub = hub
    server.thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    server.thread.start()
    return server


class _Handler(http.server.BaseHTTPRequestHandler):
    """What both servers do: note what is asked, send JSON, errors and contents."""

    protocol_version = "HTTP/1.1"
    name = ""

    def do_GET(self):
        hub = self.server.hub
        hub.asked.append(f"{self.command} {self.path}")
        if token := self.headers.get("Authorization"):
            hub.authorized[self.name].add(token.removeprefix("Bearer "))
        # One request per connection: no thread waits for another one when the server is stopped.
        self.close_connection = True
        if hub.status is not None:
            self.answer(hub.status, b"busy")
        elif hub.page:
            self.answer(200, b"<html>Please log in</html>", {"Content-Type": "text/html"})
        else:
            parts = urlsplit(self.path)
            self.route(unquote(parts.path), parse_qs(parts.query))

    do_HEAD = do_GET  # noqa: N815 - as http.server calls it

    def answer(self, status, body=b"", headers=None):
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "GET":
            self.write(body)

    def json(self, value):
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def refuse(self, status, code, message):
        headers = {"X-Error-Code": code, "X-Error-Message": message, "Content-Type": "application/json"}
        self.answer(status, json.dumps({"error": message}).encode(), headers)

    def content(self, name, content, etag, headers=None):
        """Send a content, or the part of it that was asked for (RFC 9110, section 14)."""
        hub = self.server.hub
        first, status, extra = 0, 200, {"Accept-Ranges": "bytes", **(headers or {})}
        if etag:
            extra["ETag"] = f'"{etag}"'
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and self.headers.get("If-Range", extra.get("ETag")) == extra.get("ETag"):
            first, status = int(asked[1]), 206
            if first >= len(content):
                self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            extra["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        rest = content[first:]
        cut = len(rest)
        if self.command == "GET" and self.name == "storage" and hub.cuts:
            cut = hub.cuts.pop(0)
        self.send_response(status)
        for key, value in {**extra, "Content-Length": str(len(rest)), "Connection": "close"}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            hub.sent.append((name, first, len(rest[:cut])))
            at_once, go = hub.held if hub.held and self.name == "storage" else (cut, None)
            self.write(rest[: min(at_once, cut)])
            if go is not None:
                go.wait(HELD_AT_MOST_S)
            self.write(rest[at_once:cut])

    def write(self, body):
        with suppress(ConnectionError):  # who asked has gone
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class _HubHandler(_Handler):
    """The API and `resolve` (https://huggingface.co/docs/hub/api)."""

    name = "hub"

    def route(self, path, query):
        routes = (
            (r"/api/models", self.search),
            (r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", self.model),
            (r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", self.tree),
            (r"/api/models/([^/]+/[^/]+)/refs", self.refs),
            (r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.resolve),
        )
        for pattern, method in routes:
            if match := re.fullmatch(pattern, path):
                method(query, *match.groups())
                return
        self.refuse(404, "RepoNotFound", "Repository not found")

    def search(self, query):
        wanted = query.get("search", [""])[0].lower()
        self.json([{"id": name} for name in self.server.hub.repositories() if wanted in name.lower()])

    def model(self, _, repository, revision=None):
        if self.may_see(repository, revision, listing=True):
            commit = self.server.hub.claimed or self.server.hub.commit(repository)
            names = [{"rfilename": name} for name in self.server.hub.files(repository)]
            self.json({"id": repository, "sha": commit, "private": False, "tags": [], "siblings": names})

    def tree(self, _, repository, revision):
        if self.may_see(repository, revision, listing=True):
            hub = self.server.hub
            files = hub.files(repository).items()
            self.json([_listed(hub.renamed.get(name, name), path) for name, path in files])

    def refs(self, _, repository):
        if self.may_see(repository, None, listing=True):
            commit = self.server.hub.commit(repository)
            main = {"name": "main", "ref": "refs/heads/main", "targetCommit": commit}
            self.json({"branches": [main], "converts": [], "tags": []})

    def resolve(self, _, repository, revision, name):
        if not self.may_see(repository, revision):
            return
        hub = self.server.hub
        headers = {"X-Repo-Commit": hub.commit(repository)}
        path = hub.files(repository).get(name)
        if path is None:
            self.refuse(404, "EntryNotFound", "Entry not found")
        elif not _in_lfs(path):
            self.content(name, _served(hub, path), _blob_id(path), headers)
        elif hub.pointers:
            pointer = _pointer(path)
            self.content(name, pointer, _sha256(pointer), headers)
        else:
            headers["X-Linked-Etag"] = f'"{_sha256(path.read_bytes())}"'
            headers["X-Linked-Size"] = str(path.stat().st_size)
            self.answer(302, b"", {**headers, "Location": f"{hub.storage}/{repository}/{name}"})

    def may_see(self, repository, revision, *, listing=False):
        """Whether to go on; if not, it was refused. What a gated repository holds everybody may list."""
        hub = self.server.hub
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if not (hub.root / repository).is_dir():
            if token:
                self.refuse(404, "RepoNotFound", "Repository not found")
            else:  # it does not say whether it is private
                self.refuse(401, "", "Invalid username or password.")
        elif repository in hub.gated and not listing and token not in hub.tokens:
            message = f"Access to model {repository} is restricted. You showed {token or 'no token'}."
            self.refuse(403 if token else 401, "GatedRepo", message)
        elif revision not in {None, "main", hub.commit(repository)}:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return True
        return False


class _StorageHandler(_Handler):
    """Where the large files lie."""

    name = "storage"

    def route(self, path, _):
        hub = self.server.hub
        content = _served(hub, hub.root / path.removeprefix("/"))
        self.content(path, content, _sha256(content) if hub.etags else None)


def _listed(name, path):
    """A file as the hub's list of a tree has it."""
    content = path.read_bytes()
    entry = {"type": "file", "path": name, "size": len(content), "oid": _blob_id(path)}
    if _in_lfs(path):
        pointer = _pointer(path)
        entry["oid"] = _git_id(pointer)
        entry["lfs"] = {"oid": _sha256(content), "size": len(content), "pointerSize": len(pointer)}
    return entry


def _served(hub, path):
    content = path.read_bytes()
    return bytes([content[0] ^ 1]) + content[1:] if hub.spoiled and content else content


def _in_lfs(path):
    return path.suffix in LFS_SUFFIXES


def _pointer(path):
    content = path.read_bytes()
    lines = (f"oid sha256:{_sha256(content)}", f"size {len(content)}")
    return "\n".join(("version https://git-lfs.github.com/spec/v1", *lines, "")).encode()


def _blob_id(path):
    return _git_id(path.read_bytes())


def _git_id(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _sha256(content):
    return hashlib.sha256(content).hexdigest()
