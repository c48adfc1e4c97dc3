"""The hub, with the real client, against a small HTTP server on this machine."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

import headstart.sources as sources
from headstart.errors import ModelError, ModelNotFound, UnsafeWeights
from headstart.sources.transformers import HUB, cached, fetch
from sources_for_tests import examples, write_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Server(ThreadingHTTPServer):
    """Serves folders under `root`, `org/name` each; remembers requests, fails when told to."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root = root
        self.requests: list[tuple[str, str]] = []
        self.cut_after: int | None = None  # bytes of model.safetensors, then the line is cut
        self.stays_dead = True  # whether what comes after a cut fails too
        self.ranges: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fetched(self) -> list[str]:
        return [path.rpartition("/")[2] for verb, path in self.requests if verb == "GET:file"]


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing: a test server is silent."""

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self.server.requests.append(("GET:api", self.path))
            return self.api("/".join(parts[2:4]), parts[4] if len(parts) > 4 else "")
        self.server.requests.append(("GET:file" if body else "HEAD:file", self.path))
        path = self.server.root / "/".join(parts[:2]) / "/".join(parts[4:])
        if not path.is_file():
            return self.missing("EntryNotFound")
        return self.file(path, body=body)

    def api(self, repository: str, what: str) -> None:
        folder = self.server.root / repository
        if not folder.is_dir():
            return self.missing("RepoNotFound")
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [path.relative_to(folder).as_posix() for path in files]
        if what == "tree":
            tree = [
                {"type": "file", "path": name, "size": path.stat().st_size, "oid": tag(path)}
                for name, path in zip(names, files, strict=True)
            ]
            return self.json(tree)
        siblings = [{"rfilename": name} for name in names]
        return self.json({"id": repository, "sha": COMMIT, "siblings": siblings, "tags": []})

    def json(self, value: Any, status: int = 200, **headers: str) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def missing(self, code: str) -> None:
        self.json({"error": code}, 404, X_Error_Code=code)

    def file(self, path: Path, *, body: bool) -> None:
        content, start = path.read_bytes(), 0
        cut = self.server.cut_after if path.suffix == ".safetensors" else None
        asked = self.headers.get("Range", "")
        if body and asked:
            self.server.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").partition("-")[0])
        if body and cut is not None and start >= cut:
            if self.server.stays_dead:
                return self.json({"error": "down for repair"}, 503)
            cut = None
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{tag(path)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if body:
            self.wfile.write(content[start : cut if cut is not None else len(content)])
            self.close_connection = cut is not None
        return None


def tag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_model(root / "tiny" / "bert", "bert")
    write_model(root / "tiny" / "resnet", "resnet")
    (root / "tiny" / "bert" / "README.md").write_text("---\nlicense: mit\n---\n")
    (root / "tiny" / "bert" / "onnx").mkdir()
    (root / "tiny" / "bert" / "onnx" / "model.onnx").write_bytes(b"not wanted")
    (root / "tiny" / "bert" / "tf_model.h5").write_bytes(b"not wanted")
    pickled = shutil.copytree(root / "tiny" / "bert", root / "tiny" / "pickled")
    from safetensors.torch import load_file

    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    (root / "tiny" / "empty").mkdir()
    shutil.copy(root / "tiny" / "bert" / "config.json", root / "tiny" / "empty")
    return root


@pytest.fixture
def server(models: Path) -> Iterator[Server]:
    server = Server(models)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def hub(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Point the client at `server`, with a cache of its own, and let it go online."""
    from huggingface_hub import constants

    # Read once when huggingface_hub is imported; tests/conftest.py had it say offline.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return server


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_download_gives_the_model_and_nothing_else(hub: Server, models: Path) -> None:
    backbone = sources.load("tiny/bert")
    local = sources.load(str(models / "tiny" / "bert"))
    texts = examples("text")
    with torch.no_grad():
        found, wanted = (b.embed(b.preprocess(texts)) for b in (backbone, local))
    assert torch.equal(found, wanted)
    assert backbone.fingerprint == local.fingerprint
    assert (backbone.card.id, backbone.card.source) == ("tiny/bert", "hf")
    fetched = set(hub.fetched())
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= fetched
    assert not fetched & {"tf_model.h5", "model.onnx", "pytorch_model.bin"}


def test_a_cached_model_is_not_fetched_again(hub: Server) -> None:
    first = sources.load("hf:tiny/bert")
    hub.requests.clear()
    second = sources.load("tiny/bert")
    assert hub.fetched() == []
    assert [path for verb, path in hub.requests if verb == "HEAD:file"] == []
    assert first.fingerprint == second.fingerprint


def test_offline_uses_the_cache_and_asks_nobody(
    hub: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sources.load("tiny/bert")
    go_offline(monkeypatch)
    hub.requests.clear()
    assert sources.load("tiny/bert").fingerprint == first.fingerprint
    assert hub.requests == []


def test_offline_without_it_names_what_is_cached(
    hub: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch("tiny/bert")
    go_offline(monkeypatch)
    with pytest.raises(ModelNotFound) as caught:
        sources.load("tiny/resnet")
    message = str(caught.value)
    assert "offline mode is on" in message and "cached here: hf:tiny/bert." in message
    assert "\n" not in message


def test_an_unreachable_hub_uses_the_cache_or_says_so(
    hub: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch("tiny/bert")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    assert fetch("tiny/bert") == folder
    with pytest.raises(ModelNotFound, match=r"cannot be reached; cached here: hf:tiny/bert\."):
        sources.load("tiny/resnet")


def test_nothing_cached_is_said_too(monkeypatch: pytest.MonkeyPatch) -> None:
    go_offline(monkeypatch)
    with pytest.raises(ModelNotFound, match="no model is cached here"):
        sources.load("tiny/bert")


def test_a_missing_model_is_not_found(hub: Server) -> None:
    with pytest.raises(ModelNotFound) as caught:
        sources.load("tiny/nothing")
    assert f"There is no model 'tiny/nothing' on {hub.address}" in str(caught.value)
    assert "no folder of that name" in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client, which writes pieces of 10 MB, stop half-way in a tiny file."""
    import huggingface_hub.file_download as client

    monkeypatch.setattr(client.constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr(client.time, "sleep", lambda _: None)  # its pause before it tries again


@pytest.mark.usefixtures("small_pieces")
def test_a_cut_line_is_taken_up_again(hub: Server, models: Path) -> None:
    hub.cut_after, hub.stays_dead = 10_000, False
    folder = fetch("tiny/bert")
    assert hub.ranges == ["bytes=10000-"]
    weights = models / "tiny" / "bert" / "model.safetensors"
    assert weights.stat().st_size > 2 * hub.cut_after
    assert (folder / "model.safetensors").read_bytes() == weights.read_bytes()


@pytest.mark.usefixtures("small_pieces")
def test_an_interrupted_download_leaves_no_half_model(
    hub: Server, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.cut_after = 10_000
    with pytest.raises(ModelError, match=r"was interrupted: .*run again to fetch") as caught:
        sources.load("tiny/bert")
    assert "\n" not in str(caught.value)
    assert list(cached()) == []
    with monkeypatch.context() as offline:
        go_offline(offline)
        with pytest.raises(ModelNotFound, match="no model is cached here"):
            sources.load("tiny/bert")

    came = {path.name for path in tmp_path.glob("cache/*/snapshots/*/*")}
    assert "model.safetensors" not in came
    hub.cut_after = None
    hub.requests.clear()
    folder = fetch("tiny/bert")
    assert "model.safetensors" in hub.fetched()
    assert not came & set(hub.fetched()), "what had come whole was fetched again"
    origin = models / "tiny" / "bert"
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        assert (folder / name).read_bytes() == (origin / name).read_bytes()
    assert [name for name, _ in cached()] == ["tiny/bert"]
    assert not list(tmp_path.rglob("*.incomplete"))


def test_pickled_weights_are_refused_and_not_fetched(hub: Server) -> None:
    with pytest.raises(UnsafeWeights, match=r"pytorch_model\.bin.*--allow-pickle"):
        sources.load("tiny/pickled")
    assert "pytorch_model.bin" not in hub.fetched()


def test_pickled_weights_are_fetched_when_asked_for(hub: Server, models: Path) -> None:
    backbone = sources.load("tiny/pickled", allow_pickle=True)
    local = sources.load(str(models / "tiny" / "bert"))
    texts = examples("text")
    with torch.no_grad():
        assert torch.equal(*(b.embed(b.preprocess(texts)) for b in (backbone, local)))


def test_a_repository_without_weights_says_so() -> None:
    with pytest.raises(ModelError, match=r"tiny/empty on .* has no model\.safetensors"):
        sources.load("tiny/empty")


def test_the_list_is_what_is_cached(hub: Server) -> None:
    assert HUB.list() == []
    fetch("tiny/bert")
    (card,) = HUB.list()
    assert (card.id, card.modality, card.width) == ("hf:tiny/bert", "text", 16)
    assert card.licence == "mit" and card.available
    assert card in sources.cards()


def test_a_folder_of_that_name_goes_first(hub: Server, models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "tiny" / "resnet", tmp_path / "tiny" / "bert")
    assert sources.load("tiny/bert").card.modality == "image"
    assert hub.requests == []
    assert sources.load("hf:tiny/bert").card.modality == "text"


def test_bad_ids_are_told(hub: Server) -> None:
    for id in ("hf:", "hf:a/b/c", "hf:a b/c"):
        with pytest.raises(ModelNotFound):
            sources.load(id)
    assert hub.requests == []
