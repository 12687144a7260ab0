"""The Hugging Face Hub's HTTP interface on this machine, as far as huggingface_hub asks for it.

Repositories are dicts of files by commit. Nothing but models, no xet.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

Files = dict[str, bytes]


@dataclass
class Repository:
    """`refs` are branches and tags."""

    private: bool = False
    gated: bool = False
    commits: dict[str, Files] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Files, branch: str = "main") -> str:
        before = self.commits.get(self.refs.get(branch, ""), {})
        content = {**before, **files}
        text = repr([*sorted(content.items()), len(self.commits)])
        sha = hashlib.sha1(text.encode()).hexdigest()
        self.commits[sha], self.refs[branch] = content, sha
        return sha

    def find(self, revision: str) -> str | None:
        sha = self.refs.get(revision, revision)
        return sha if sha in self.commits else None


class Hub(ThreadingHTTPServer):
    """`asked` are (method, path) of all requests.

    `faults`: what happens at a file's name. An int is a status; cut: half of it, once, then the end
    of the connection; dead: the same every time; altered: another last byte; silent: no answer.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.users: dict[str, dict[str, Any]] = {}  # by token
        self.stored: Files = {}  # by sha256, uploaded but not committed yet
        self.asked: list[tuple[str, str]] = []
        self.faults: dict[str, int | str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add_user(self, token: str, name: str, role: str = "write", **orgs: str) -> None:
        access = {"displayName": f"{name}'s token", "role": role}
        self.users[token] = {
            "type": "user",
            "name": name,
            "orgs": [{"name": org, "roleInOrg": right} for org, right in orgs.items()],
            "auth": {"type": "access_token", "accessToken": access},
        }

    def add(self, name: str, files: Files, **settings: bool) -> str:
        repository = self.repositories.setdefault(name, Repository(**settings))
        return repository.commit(files)

    @property
    def written(self) -> list[tuple[str, str]]:
        return [one for one in self.asked if one[0] not in ("GET", "HEAD")]


class Refused(Exception):
    def __init__(self, status: int, code: str = "", message: str = "", body: Any = None) -> None:
        self.status, self.code, self.message, self.body = status, code, message, body


class Handler(BaseHTTPRequestHandler):
    server: Hub  # pyright: ignore[reportIncompatibleVariableOverride]

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        self.server.asked.append((self.command, unquote(path)))
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        try:
            for name, fault in self.server.faults.items():
                if path.endswith(name) and isinstance(fault, int):
                    raise Refused(fault)
            if path.startswith("/api/"):
                self._send_json(self._api(path.removeprefix("/api/"), body))
            elif path.endswith(".git/info/lfs/objects/batch"):
                self._send_json(self._batch(json.loads(body)))
            elif path.startswith("/lfs/"):
                self._store(path.removeprefix("/lfs/"), body)
            else:
                self._resolve(path)
        except Refused as refused:
            headers = {"X-Error-Code": refused.code, "X-Error-Message": refused.message}
            text = json.dumps(refused.body or {}).encode()
            self._send(text, refused.status, {k: x for k, x in headers.items() if x})

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    @property
    def _user(self) -> dict[str, Any] | None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        return self.server.users.get(token)

    def _may_write(self, owner: str) -> bool:
        user = self._user
        if user is None or user["auth"]["accessToken"]["role"] == "read":
            return False
        rights = {one["name"]: one["roleInOrg"] for one in user["orgs"]}
        return owner == user["name"] or rights.get(owner, "read") != "read"

    def _repository(self, name: str) -> Repository:
        found = self.server.repositories.get(name)
        if found is None or (found.private and not self._may_write(name.partition("/")[0])):
            raise Refused(401 if self._user is None else 404, "RepoNotFound")
        return found

    def _commit_of(self, repository: Repository, revision: str) -> str:
        if (sha := repository.find(revision)) is None:
            raise Refused(404, "RevisionNotFound")
        return sha

    def _api(self, path: str, body: bytes) -> Any:
        if path == "whoami-v2":
            if self._user is None:
                raise Refused(401, "", "Invalid user token.")
            return self._user
        if path == "validate-yaml":
            if b"license: nonsense" in body:
                raise Refused(400, body={"errors": [{"message": '"license" is unknown'}]})
            return {"errors": [], "warnings": []}
        if path == "repos/create":
            return self._create(json.loads(body))
        if not path.startswith("models/"):
            raise Refused(404)
        _, owner, name, *rest = map(unquote, path.split("/"))
        repository = self._repository(f"{owner}/{name}")
        kind, revision = (rest[0], "/".join(rest[1:])) if rest else ("revision", "main")
        if self.command == "POST" and not self._may_write(owner):
            raise Refused(403, "", "Forbidden: pass a token with write access")
        if kind == "branch":
            repository.refs.setdefault(revision, repository.refs["main"])
            return {}
        if kind == "preupload":
            files = json.loads(body)["files"]
            modes = {True: "lfs", False: "regular"}
            large = (".safetensors", ".png")
            return {
                "files": [
                    {
                        "path": one["path"],
                        "uploadMode": modes[one["path"].endswith(large)],
                        "shouldIgnore": False,
                    }
                    for one in files
                ]
            }
        if kind == "commit":
            return self._commit(repository, f"{owner}/{name}", revision, body)
        sha = self._commit_of(repository, revision)
        files = repository.commits[sha]
        if kind == "tree":
            return [
                {"type": "file", "path": name, "size": len(x), "oid": hashlib.sha1(x).hexdigest()}
                for name, x in files.items()
            ]
        about = {"id": f"{owner}/{name}", "sha": sha, "private": repository.private, "tags": []}
        return about | {"siblings": [{"rfilename": name} for name in files]}

    def _create(self, wanted: dict[str, Any]) -> dict[str, str]:
        owner = wanted["organization"] or (self._user or {}).get("name", "")
        name = f"{owner}/{wanted['name']}"
        if not self._may_write(owner):
            raise Refused(403, "", "You don't have the rights to create a model here")
        if name in self.server.repositories:
            raise Refused(409, body={"url": f"{self.server.url}/{name}"})
        private = wanted.get("private") or wanted.get("visibility") == "private"
        self.server.add(name, {".gitattributes": b""}, private=bool(private))
        return {"url": f"{self.server.url}/{name}"}

    def _batch(self, wanted: dict[str, Any]) -> dict[str, Any]:
        upload = [
            one | {"actions": {"upload": {"href": f"{self.server.url}/lfs/{one['oid']}"}}}
            for one in wanted["objects"]
        ]
        return {"transfer": "basic", "objects": upload}

    def _store(self, name: str, body: bytes) -> None:
        assert hashlib.sha256(body).hexdigest() == name
        self.server.stored[name] = body
        self._send(b"", 200, {})

    def _commit(self, repository: Repository, name: str, branch: str, body: bytes) -> dict:
        files: Files = {}
        for line in map(json.loads, body.splitlines()):
            about = line["value"]
            if line["key"] == "file":
                files[about["path"]] = base64.b64decode(about["content"])
            elif line["key"] == "lfsFile":
                files[about["path"]] = self.server.stored[about["oid"]]
        sha = repository.commit(files, branch)
        url = f"{self.server.url}/{name}/commit/{sha}"
        return {"commitUrl": url, "commitOid": sha, "success": True}

    def _resolve(self, path: str) -> None:
        place, _, rest = path.strip("/").partition("/resolve/")
        repository = self._repository(place)
        if repository.gated:
            raise Refused(403, "GatedRepo", "Access is restricted")
        revision, name = map(unquote, rest.split("/", 1))
        sha = self._commit_of(repository, revision)
        if (content := repository.commits[sha].get(name)) is None:
            raise Refused(404, "EntryNotFound")
        headers = {"X-Repo-Commit": sha, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        fault = self.server.faults.get(name)
        if fault == "silent":
            self.close_connection = True
        elif fault == "altered":
            self._send(content[:-1] + bytes([content[-1] ^ 1]), 200, headers)
        elif fault in ("cut", "dead") and self.command == "GET":
            if fault == "cut":
                del self.server.faults[name]
            self._send(content, 200, headers, shown=len(content) // 2 if fault == "cut" else 0)
        else:
            start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
            part = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            self._send(content[start:], 206 if start else 200, headers | (part if start else {}))

    def _send_json(self, content: Any) -> None:
        self._send(json.dumps(content).encode(), 200, {"Content-Type": "application/json"})

    def _send(
        self, body: bytes, status: int, headers: dict[str, str], shown: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:shown])

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Hub]:
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


def connect(hub: Hub, monkeypatch: pytest.MonkeyPatch, home: Path, token: str = "") -> None:
    """Let huggingface_hub of this process ask `hub`, with an empty cache in `home`."""
    from huggingface_hub import constants

    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between two tries
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def environment(hub: Hub, home: Path, token: str = "") -> dict[str, str]:
    """The same for processes."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "HF_TOKEN": token,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
