"""Configuration from real files, and the real transport against a small server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.config import incluster_config

from solera.cli.cluster import connect as module
from solera.cli.cluster.client import Client
from solera.cli.cluster.connect import Target, connect
from solera.cli.errors import CliError, Conflict, Expired, NotFound, Refused, Unreachable
from unit.cli.objects import at_rest, llmd


class Server(ThreadingHTTPServer):
    """`answers` maps "METHOD path" to (status, body); bytes are sent as they are, chunk by chunk when it is a list."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, tuple[int, Any]] = {}
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.cut = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((f"{self.command} {self.path}", dict(self.headers), body))
        status, found = self.server.answers.get(
            f"{self.command} {self.path.partition('?')[0]}", (404, b"404 page not found")
        )
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if isinstance(found, list):
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for chunk in found:
                self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                self.wfile.flush()
            if self.server.cut:
                self.close_connection = True
                return
            self.wfile.write(b"0\r\n\r\n")
            return
        raw = found if isinstance(found, bytes) else json.dumps(found).encode()
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_PATCH = answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


def kubeconfig(path: Path, url: str = "http://127.0.0.1:1", *, current: str = "one", **contexts: str | None) -> str:
    """A kubeconfig with the contexts named, each with its namespace."""
    contexts = contexts or {"one": "ml"}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": current,
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": {"token": "sesame"}}],
                "contexts": [
                    {"name": n, "context": {"cluster": "c", "user": "u"} | ({"namespace": ns} if ns else {})}
                    for n, ns in contexts.items()
                ],
            }
        )
    )
    return str(path)


def test_the_namespace_is_the_flags_then_the_contexts_then_default(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "k", one="ml", two=None)
    assert connect(Target(file)).namespace == "ml"
    assert connect(Target(file, "two")).namespace == "default"
    assert connect(Target(file, "two", "web")).namespace == "web"


def test_the_file_is_the_flags_then_the_environments_then_the_home_directorys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig(tmp_path / "home/.kube/config", one="from-home")
    assert connect(Target()).namespace == "from-home"
    first, second = kubeconfig(tmp_path / "a", one="from-a"), kubeconfig(tmp_path / "b", current="two", two="from-b")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'absent'}:{first}:{second}")
    assert connect(Target(context="one")).namespace == "from-a"
    assert connect(Target(context="two")).namespace == "from-b"
    assert connect(Target(kubeconfig(tmp_path / "c", one="from-c"))).namespace == "from-c"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no file"),
        ("", "is empty"),
        ("a: [", "cannot read the kubeconfig"),
        ("just text", "cannot read the kubeconfig"),
        ("current-context: x\ncontexts: []\nclusters: []\n", "cannot use the kubeconfig"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_an_error_with_its_name(
    tmp_path: Path, content: str | None, words: str
) -> None:
    file = tmp_path / "broken"
    if content is not None:
        file.write_text(content)
    with pytest.raises(CliError) as caught:
        connect(Target(str(file)))
    assert words in caught.value.message
    assert caught.value.exit_code == 1


def test_a_context_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"there is no context three in .*; it has one, two"):
        connect(Target(kubeconfig(tmp_path / "k", one="a", two="b"), "three"))


def test_no_configuration_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CliError, match="no cluster is configured"):
        connect(Target())
    monkeypatch.setenv("KUBECONFIG", "/nowhere/a:/nowhere/b")
    with pytest.raises(CliError, match="KUBECONFIG names no file that exists"):
        connect(Target())


def test_in_a_pod_its_service_account_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in (("token", "pod-token"), ("ca.crt", "certificate"), ("namespace", "solera-system\n")):
        (tmp_path / name).write_text(content)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    loader = incluster_config.InClusterConfigLoader
    monkeypatch.setattr(
        incluster_config,
        "InClusterConfigLoader",
        lambda **_k: loader(str(tmp_path / "token"), str(tmp_path / "ca.crt")),
    )
    monkeypatch.setattr(module, "SERVICE_ACCOUNT_NAMESPACE", tmp_path / "namespace")
    made = connect(Target())
    assert made.namespace == "solera-system"
    assert made.transport.api.configuration.host == "https://10.0.0.1:443"  # type: ignore[attr-defined]


def client(server: Server, tmp_path: Path) -> Client:
    return Client(connect(Target(kubeconfig(tmp_path / "k", server.url))).transport)


ONE = "/apis/solera.dev/v1alpha1/namespaces/ml/llmdeployments/support-assistant"
ALL = "/apis/solera.dev/v1alpha1/namespaces/ml/llmdeployments"


def test_a_request_carries_the_token_and_names_itself(server: Server, tmp_path: Path) -> None:
    server.answers[f"GET {ONE}"] = 200, llmd(at_rest())
    assert client(server, tmp_path).get("ml", "support-assistant")["status"]["state"] == "Idle"
    _, headers, _ = server.seen[0]
    assert headers["authorization"] == "Bearer sesame"
    assert headers["Accept"] == "application/json"
    assert headers["User-Agent"].startswith("kubectl-solera/")


def test_a_patch_is_a_merge_patch_of_one_annotation(server: Server, tmp_path: Path) -> None:
    obj = llmd(at_rest())
    server.answers[f"PATCH {ONE}"] = 200, obj
    client(server, tmp_path).annotate(obj, {"solera.dev/request": "abort@x/0#1"})
    path, headers, body = server.seen[0]
    assert path == f"PATCH {ONE}?fieldManager=kubectl-solera&fieldValidation=Strict"
    assert headers["Content-Type"] == "application/merge-patch+json"
    assert json.loads(body) == {
        "metadata": {
            "uid": obj["metadata"]["uid"],
            "resourceVersion": "100",
            "annotations": {"solera.dev/request": "abort@x/0#1"},
        }
    }


def event(kind: str, version: str) -> bytes:
    return json.dumps({"type": kind, "object": llmd(at_rest(), resourceVersion=version)}).encode() + b"\n"


def test_a_watch_is_read_event_by_event_across_chunks(server: Server, tmp_path: Path) -> None:
    first, second = event("ADDED", "101"), event("MODIFIED", "102")
    server.answers[f"GET {ALL}"] = 200, [first + second[:40], second[40:]]
    got = list(client(server, tmp_path).watch("ml", None, "100"))
    assert [(kind, obj["metadata"]["resourceVersion"]) for kind, obj in got] == [("ADDED", "101"), ("MODIFIED", "102")]
    path, _, _ = server.seen[0]
    assert path == f"GET {ALL}?watch=true&allowWatchBookmarks=true&resourceVersion=100&timeoutSeconds=300"


def test_a_watch_that_breaks_off_is_no_end(server: Server, tmp_path: Path) -> None:
    server.cut = True
    server.answers[f"GET {ALL}"] = 200, [event("ADDED", "101")]
    got = []
    with pytest.raises(Unreachable, match="the watch broke off"):
        got.extend(client(server, tmp_path).watch("ml", None, "100"))


def test_a_watch_that_is_too_old_is_expired(server: Server, tmp_path: Path) -> None:
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
    server.answers[f"GET {ALL}"] = 200, [json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"]
    with pytest.raises(Expired):
        list(client(server, tmp_path).watch("ml", None, "1"))
    server.answers[f"GET {ALL}"] = 410, status
    with pytest.raises(Expired):
        list(client(server, tmp_path).watch("ml", None, "1"))


@pytest.mark.parametrize(
    ("code", "body", "kind", "words"),
    [
        (
            404,
            {"message": "x", "details": {"name": "support-assistant"}},
            NotFound,
            "there is no LLMDeployment support-assistant",
        ),
        (404, b"404 page not found\n", CliError, "install Solera's CRDs first (404 page not found)"),
        (401, {"message": "Unauthorized"}, CliError, "log in again (Unauthorized)"),
        (403, {"message": "no"}, Refused, "no"),
        (409, {"message": "modified"}, Conflict, "modified"),
        (422, {"message": "spec.x: bad"}, CliError, "the apiserver refused (422): spec.x: bad"),
        (429, {"message": "slow down"}, Unreachable, "the apiserver cannot answer now (429): slow down"),
        (502, b"<html>bad gateway</html>", Unreachable, "<html>bad gateway</html>"),
        (500, b"", Unreachable, "HTTP status 500"),
        (200, b"<html>log in here</html>", CliError, "is the server in the kubeconfig an apiserver?"),
        (200, b"[]", CliError, "is no JSON object"),
        (302, b"", CliError, "refused (302)"),
    ],
)
def test_what_the_apiserver_answers_becomes_an_error_that_says_what_to_do(
    server: Server, tmp_path: Path, code: int, body: Any, kind: type[CliError], words: str
) -> None:
    server.answers[f"GET {ONE}"] = code, body
    with pytest.raises(CliError) as caught:
        client(server, tmp_path).get("ml", "support-assistant")
    assert type(caught.value) is kind
    assert words in caught.value.message


def test_nobody_listening_is_told_with_the_address(tmp_path: Path) -> None:
    with Server() as closed:
        url = closed.url
    made = Client(connect(Target(kubeconfig(tmp_path / "k", url))).transport)
    with pytest.raises(Unreachable, match=f"cannot reach the apiserver at {url}"):
        made.get("ml", "support-assistant")


def test_a_certificate_that_does_not_fit_is_told_with_the_address(server: Server, tmp_path: Path) -> None:
    """The server speaks plain HTTP: the TLS handshake fails as it does with a wrong certificate."""
    made = Client(connect(Target(kubeconfig(tmp_path / "k", server.url.replace("http://", "https://")))).transport)
    with pytest.raises(Unreachable, match="cannot reach the apiserver at https://"):
        made.get("ml", "support-assistant")
