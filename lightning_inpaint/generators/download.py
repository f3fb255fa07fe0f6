"""Files from the network: fetched once, resumed after interruption, never half there.

A download grows under ``NAME.part`` and takes its final name only when it is complete
(``os.replace``). An interrupted one continues with an HTTP range request that is tied to the same
version of the file (``If-Range``). Proxies are honoured as ``urllib`` does (``https_proxy``).
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from tqdm import tqdm

from ..errors import UserError

__all__ = ["cache_folder", "cached_path", "fetch"]

_CHUNK = 1 << 20
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def cache_folder() -> Path:
    """``$LIGHTNING_INPAINT_CACHE``, else ``$XDG_CACHE_HOME/lightning-inpaint``, else ``~/.cache/...``."""
    own = os.environ.get("LIGHTNING_INPAINT_CACHE")
    if own:
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "lightning-inpaint"


def cached_path(url: str) -> Path:
    """Where the file behind ``url`` lies once fetched; two addresses never share a place."""
    name = unquote(urlsplit(url).path).rsplit("/", 1)[-1]
    name = re.sub(r"[^\w.-]", "_", name).lstrip(".")[-80:] or "file"
    return cache_folder() / f"{hashlib.sha256(url.encode()).hexdigest()[:8]}-{name}"


def fetch(
    url: str,
    *,
    sha256: str | None = None,
    note: str = "",
    progress: bool = True,
    attempts: int = 5,
    pause_s: float = 1.0,
    timeout_s: float = 30.0,
) -> Path:
    """Return the local copy of ``url``, fetching it if it is not in the cache yet.

    Args:
        url: an ``https://`` address (``http://`` only for this machine itself).
        sha256: expected check sum in hexadecimal; None = not checked.
        note: a line for the user when something is fetched, such as the licence.
        progress: show a progress bar.
        attempts: connections to try while no progress is made.
        pause_s: seconds between two of them, growing with each failure.
        timeout_s: seconds without a byte after which a connection counts as dropped.

    Raises:
        UserError: the address is refused, the machine is offline, the server says no, the disk is
            full, or the check sum differs.
    """
    _check_address(url)
    target = cached_path(url)
    if target.is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(target):
            if not target.is_file():  # another process may have fetched it while this one waited
                if note:
                    print(note, file=sys.stderr)
                part = target.with_name(target.name + ".part")
                _fetch_into(part, url, progress, attempts, pause_s, timeout_s)
                _check_sum(part, sha256, url)
                os.replace(part, target)
                _version_file(part).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"{url}: cannot be stored under {target.parent} ({error.strerror}); set "
            "LIGHTNING_INPAINT_CACHE to a folder with room."
        ) from error
    return target


class _Dropped(Exception):
    """The connection ended before the file did."""


class _Offline(_Dropped):
    """The host's name has no address: another attempt a second later will not help."""


class _Answer(NamedTuple):
    response: Any
    start: int
    total: int | None


def _fetch_into(
    part: Path, url: str, progress: bool, attempts: int, pause_s: float, timeout_s: float
) -> None:
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _attempt(part, url, progress, timeout_s)
            return
        except _Dropped as problem:
            after = part.stat().st_size if part.exists() else 0
            failures = 0 if after > before else failures + 1
            if failures >= attempts or isinstance(problem, _Offline):
                raise UserError(
                    f"{url}: cannot be reached ({problem}); check the connection and run the same "
                    f"command again, or put the file yourself at {part.with_suffix('')}."
                ) from problem
            time.sleep(pause_s * (failures + 1))


def _attempt(part: Path, url: str, progress: bool, timeout_s: float) -> None:
    """One connection: append to ``part`` until the file is complete."""
    try:
        response, start, total = _open(part, url, timeout_s)
    except (OSError, http.client.HTTPException) as error:
        unknown = isinstance(getattr(error, "reason", error), socket.gaierror)
        raise (_Offline if unknown else _Dropped)(_reason(error)) from error
    with response, open(part, "ab" if start else "wb") as file:
        if total is not None and total - start > shutil.disk_usage(part.parent).free:
            raise UserError(
                f"{url}: {total / 1e6:.0f} MB do not fit on the disk of {part.parent}; set "
                "LIGHTNING_INPAINT_CACHE to a folder with room."
            )
        got = start + _copy(response, file, start, total, url, progress)
    if total is not None and got < total:
        raise _Dropped(f"the connection was dropped after {got} of {total} bytes")


def _copy(
    response: Any, file: IO[bytes], start: int, total: int | None, url: str, progress: bool
) -> int:
    """Copy what arrives; a dropped connection is noticed by the caller, who counts the bytes."""
    count = 0
    label = urlsplit(url).path.rsplit("/", 1)[-1]
    with tqdm(
        desc=label, initial=start, total=total, unit="B", unit_scale=True, disable=not progress
    ) as bar:
        while True:
            try:
                piece = response.read1(_CHUNK)
            except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
                if total is None:  # the end of the file cannot be told from the end of the line
                    raise _Dropped(_reason(error)) from error
                return count
            if not piece:
                return count
            file.write(piece)
            count += len(piece)
            bar.update(len(piece))


def _open(part: Path, url: str, timeout_s: float) -> _Answer:
    """Ask for the file, or for its rest if a part of the same version lies here."""
    version = _version_file(part)
    have = part.stat().st_size if part.exists() else 0
    tag = version.read_text() if have and version.exists() else ""
    headers = {"User-Agent": "lightning-inpaint", "Accept-Encoding": "identity"}
    if have and tag:
        headers |= {"Range": f"bytes={have}-", "If-Range": tag}
    try:
        response = _opener().open(urllib.request.Request(url, headers=headers), timeout=timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the part is not a beginning of this file: start again
            part.unlink(missing_ok=True)
            raise _Dropped("the server refused to continue the download") from error
        if error.code >= 500 or error.code == 429:
            raise _Dropped(f"the server answered {error.code}") from error
        raise UserError(
            f"{url}: the server answered {error.code} {error.reason}; check the address."
        ) from error
    length = response.headers.get("Content-Length")
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if match and int(match[1]) == have:
            return _Answer(response, have, int(match[2]))
        response.close()
        part.unlink(missing_ok=True)
        raise _Dropped("the server continued at another place than asked")
    etag = response.headers.get("ETag", "")
    strong = (
        etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
    )
    version.write_text(strong)
    return _Answer(response, 0, int(length) if length and length.isdigit() else None)


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follow redirections, but never from https to something that can be tampered with."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        _check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoDowngrade)


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in _LOOPBACK:
        return
    raise UserError(
        f"{url[:200]}: only https:// addresses are fetched; download it yourself and give the path."
    )


def _reason(error: BaseException) -> str:
    inner = getattr(error, "reason", error)
    if isinstance(inner, socket.gaierror):
        return "no such host, or this machine is offline"
    if isinstance(inner, TimeoutError):
        return "no answer in time"
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + ".version")


def _check_sum(part: Path, sha256: str | None, url: str) -> None:
    if sha256 is None:
        return
    with open(part, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256.lower():
        part.unlink()
        _version_file(part).unlink(missing_ok=True)
        raise UserError(
            f"{url}: the file's SHA-256 is {found}, expected {sha256.lower()}; it was discarded."
        )


@contextmanager
def _only_one(target: Path) -> Iterator[None]:
    """One process downloads, the others (other ranks, other jobs) wait for it."""
    try:
        import fcntl
    except ImportError:  # not POSIX: two processes at once may fetch the file twice
        yield
        return
    with open(target.with_name(target.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the process ends, however it ends
        yield
