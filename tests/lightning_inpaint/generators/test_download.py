"""Downloads against a real server on the loopback address, well behaved and not."""

import hashlib
import http.server
import socket
import threading
from dataclasses import dataclass, field

import pytest

from lightning_inpaint.errors import UserError
from lightning_inpaint.generators import download
from lightning_inpaint.generators.download import cache_folder, cached_path, fetch

CONTENT = bytes(range(256)) * 2000


@dataclass
class Behaviour:
    """What the server does; ``requests`` records the Range header of each request."""

    content: bytes = CONTENT
    etag: str = '"one"'
    drop_after: list[int] = field(
        default_factory=list
    )  # bytes sent before the line is cut, per request
    ranges: bool = True
    wrong_range: bool = False
    status: int = 200
    length: bool = True
    redirect: str = ""
    requests: list[str | None] = field(default_factory=list)


def handler(behaviour: Behaviour) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            behaviour.requests.append(asked)
            if behaviour.redirect or behaviour.status != 200:
                self.send_response(302 if behaviour.redirect else behaviour.status)
                self.send_header("Location", behaviour.redirect)
                self.end_headers()
                return
            body, total = behaviour.content, len(behaviour.content)
            start = 0
            if asked and behaviour.ranges and self.headers.get("If-Range") == behaviour.etag:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
                if start >= total:
                    self.send_response(416)
                    self.end_headers()
                    return
                self.send_response(206)
                first = start + 1 if behaviour.wrong_range else start
                self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
            else:
                self.send_response(200)
            if behaviour.length:
                self.send_header("Content-Length", str(total - start))
            self.send_header("ETag", behaviour.etag)
            self.end_headers()
            end = total
            if behaviour.drop_after:
                end = min(total, start + behaviour.drop_after.pop(0))
            self.wfile.write(body[start:end])
            self.wfile.flush()
            self.close_connection = True

        def log_message(self, *_):
            pass

    return Handler


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """A function from behaviour to address; the cache lies in the test's folder."""
    monkeypatch.setenv("LIGHTNING_INPAINT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(behaviour: Behaviour) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(behaviour))
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/weights/net.pkl"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def get(url, **kwargs):
    return fetch(url, **{"progress": False, "pause_s": 0, "timeout_s": 5} | kwargs)


def leftovers(path):
    return sorted(p.name for p in path.parent.iterdir() if p != path and p.suffix != ".lock")


def test_fetched_once(serve):
    behaviour = Behaviour()
    url = serve(behaviour)
    path = get(url)
    assert path.read_bytes() == CONTENT
    assert get(url) == path
    assert len(behaviour.requests) == 1
    assert leftovers(path) == []


def test_a_dropped_connection_is_resumed_where_it_broke(serve):
    behaviour = Behaviour(drop_after=[300_000, 100_000])
    assert get(serve(behaviour)).read_bytes() == CONTENT
    assert behaviour.requests == [None, "bytes=300000-", "bytes=400000-"]


def test_an_interrupted_run_leaves_a_part_that_the_next_run_continues(serve):
    behaviour = Behaviour(drop_after=[300_000])
    url = serve(behaviour)
    with pytest.raises(UserError, match=r"dropped after 300000 of 512000 bytes.*run the same"):
        get(url, attempts=0)
    target = cached_path(url)
    assert not target.exists()
    assert target.with_name(target.name + ".part").stat().st_size == 300_000
    assert get(url).read_bytes() == CONTENT
    assert behaviour.requests[1] == "bytes=300000-"


def test_a_file_that_changed_meanwhile_is_fetched_anew(serve):
    behaviour = Behaviour(drop_after=[300_000])
    url = serve(behaviour)
    with pytest.raises(UserError):
        get(url, attempts=0)
    behaviour.content, behaviour.etag = CONTENT[::-1], '"two"'
    assert get(url).read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges_is_asked_again_from_the_start(serve):
    behaviour = Behaviour(drop_after=[300_000], ranges=False)
    assert get(serve(behaviour)).read_bytes() == CONTENT


def test_a_server_without_version_tags_is_never_resumed(serve):
    behaviour = Behaviour(drop_after=[300_000], etag="")
    assert get(serve(behaviour)).read_bytes() == CONTENT
    assert behaviour.requests == [None, None]


def test_a_server_that_continues_elsewhere_is_not_believed(serve):
    behaviour = Behaviour(drop_after=[300_000], wrong_range=True)
    assert get(serve(behaviour)).read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(serve):
    behaviour = Behaviour(drop_after=[300_000])
    url = serve(behaviour)
    with pytest.raises(UserError):
        get(url, attempts=0)
    behaviour.content = CONTENT[:1000]
    assert get(url).read_bytes() == CONTENT[:1000]


def test_no_length_announced(serve):
    assert get(serve(Behaviour(length=False))).read_bytes() == CONTENT


def test_check_sum(serve):
    right = hashlib.sha256(CONTENT).hexdigest()
    assert get(serve(Behaviour()), sha256=right.upper()).read_bytes() == CONTENT
    url = serve(Behaviour())
    with pytest.raises(UserError, match=rf"SHA-256 is {right}, expected 00; it was discarded"):
        get(url, sha256="00")
    assert not [n for n in leftovers(cached_path(url)) if n.startswith(cached_path(url).name)]
    assert not cached_path(url).exists()


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (503, 3)])
def test_a_refusal_is_one_sentence(serve, status, requests):
    behaviour = Behaviour(status=status)
    with pytest.raises(UserError, match=str(status)):
        get(serve(behaviour), attempts=3)
    assert len(behaviour.requests) == requests


def test_offline_is_one_sentence_that_says_where_to_put_the_file(serve):
    url = serve(Behaviour())
    closed = url.replace(url.split(":")[2].split("/")[0], "9")
    with pytest.raises(
        UserError, match=r"cannot be reached \(Connection refused\).*put the file"
    ) as error:
        get(closed, attempts=2)
    assert str(cached_path(closed)) in str(error.value)


@pytest.mark.parametrize(
    "url", ["http://example.org/a.pkl", "ftp://example.org/a.pkl", "https:///a.pkl"]
)
def test_only_encrypted_addresses(url):
    with pytest.raises(UserError, match="only https"):
        fetch(url)


def test_an_unknown_host_is_not_asked_again(serve, monkeypatch):
    asked = []

    def resolve(host, *_, **__):
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    serve(Behaviour())  # the cache of this test
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(UserError, match="no such host, or this machine is offline"):
        fetch("https://example.org/net.pkl", progress=False)
    assert asked == ["example.org"]


def test_redirections_stay_encrypted(serve):
    with pytest.raises(UserError, match="only https"):
        get(serve(Behaviour(redirect="http://example.org/net.pkl")))


def test_redirections_are_followed(serve):
    url = serve(Behaviour())
    assert get(serve(Behaviour(redirect=url))).read_bytes() == CONTENT


def test_processes_do_not_fetch_at_once(serve):
    behaviour = Behaviour()
    url = serve(behaviour)
    threads = [threading.Thread(target=get, args=(url,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cached_path(url).read_bytes() == CONTENT
    assert len(behaviour.requests) == 1


def test_a_full_disk_is_noticed_before_writing(serve, monkeypatch):
    url = serve(Behaviour())
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("U", (), {"free": 1000}))
    with pytest.raises(UserError, match="do not fit on the disk"):
        get(url)


def test_note_and_progress_bar_are_shown_once(serve, capsys):
    url = serve(Behaviour())
    get(url, note="net: non-commercial", progress=True)
    shown = capsys.readouterr().err
    assert "non-commercial" in shown
    assert "net.pkl" in shown
    get(url, note="net: non-commercial", progress=True)
    assert capsys.readouterr().err == ""


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("LIGHTNING_INPAINT_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("LIGHTNING_INPAINT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "lightning-inpaint"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "lightning-inpaint"


@pytest.mark.parametrize(
    "url", ["https://a.org/../../etc/passwd", "https://a.org/%2e%2e%2fx", "https://a.org/"]
)
def test_an_address_cannot_leave_the_cache(url):
    assert cached_path(url).parent == cache_folder()
    assert not cached_path(url).name.startswith(".")


def test_addresses_with_the_same_file_name_do_not_collide():
    assert cached_path("https://a.org/net.pkl") != cached_path("https://b.org/net.pkl")
