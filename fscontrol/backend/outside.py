"""HTTP to URLs that tenants name: an audio file to fetch, a webhook to call.

Owns: one exchange with the outside, its deadline and the bound on its answer. Refuses: addresses that are not the
public internet's (loopback, private, link-local, multicast, metadata services) unless allowed, decided on the very
address that is connected to, so that a name cannot change its mind in between; redirects to another place; proxies,
cookies and credentials of the environment.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urljoin, urlsplit

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as TooSlow

from fscontrol.backend.deadline import within
from fscontrol.errors import UrlRefused, UrlUnavailable
from fscontrol.model.networks import inner_address

_MOST_REDIRECTS = 3
_PIECE = 64 * 1024


class _Forbidden(OSError):
    """The address is not one to connect to."""


@dataclass(frozen=True, slots=True)
class OutsideAnswer:
    """A whole answer; `body` never longer than what was allowed."""

    status: int
    content_type: str
    body: bytes


def is_public(address: str) -> bool:
    """Whether a literal address is one of the public internet's, also when it hides an IPv4 address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner = inner_address(ip)
    if inner is not None:
        return is_public(str(inner))
    if isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local:
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_loopback)


class Outside:
    """The outside world. `allow_private`: everything may be reached, for tests and closed networks."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private

    def get(self, url: str, deadline_seconds: float, most_bytes: int) -> OutsideAnswer:
        """Fetch; follows redirects that stay on the same scheme, host and port."""
        with within(deadline_seconds, _too_late(url, deadline_seconds)), self._session() as session:
            for _ in range(_MOST_REDIRECTS + 1):
                answer, location = _exchange(session, "GET", url, b"", {}, deadline_seconds, most_bytes)
                if location is None:
                    return answer
                url = _same_place(url, location)
        raise UrlRefused(f"{_shown(url)} redirects more than {_MOST_REDIRECTS} times")

    def post(self, url: str, body: bytes, headers: Mapping[str, str], deadline_seconds: float) -> int:
        """Send JSON and return the status; redirects are not followed, and the answer's body is not read."""
        with within(deadline_seconds, _too_late(url, deadline_seconds)), self._session() as session:
            answer, _ = _exchange(session, "POST", url, body, headers, deadline_seconds, 0)
            return answer.status

    def _session(self) -> urllib3.PoolManager:
        """Connections of one exchange. It takes nothing from the environment and keeps no cookies."""
        session = urllib3.PoolManager(ca_certs=certifi.where())
        session.pool_classes_by_scheme = _pools(self._connect)
        return session

    def _connect(self, host: str, port: int, timeout: float | None) -> socket.socket:
        """The first address that takes the connection; one that is not to be reached is as bad as none."""
        error: OSError = OSError("its name does not resolve")
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            if not self._allow_private and not is_public(str(address[0])):
                raise _Forbidden("it is on this machine or in a private network")
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(timeout)
                sock.connect(address)
            except OSError as failed:
                sock.close()
                error = failed
                continue
            return sock
        raise error


def _exchange(
    session: urllib3.PoolManager, method: str, url: str, body: bytes, headers: Mapping[str, str],
    timeout: float, most_bytes: int,
) -> tuple[OutsideAnswer, str | None]:  # fmt: skip
    """One request; the answer, and where it redirects to."""
    try:
        sent = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "fscontrol"}
        response = session.urlopen(
            method, url, body=body or None, headers={**sent, **_authorization(url), **headers},
            retries=False, redirect=False, preload_content=False, timeout=timeout,
        )  # fmt: skip
        try:
            kind = response.headers.get("Content-Type", "")
            location = response.get_redirect_location()
            if location:
                return OutsideAnswer(response.status, kind, b""), location
            return OutsideAnswer(response.status, kind, _bounded(response, url, most_bytes)), None
        finally:
            response.close()
    except (HTTPError, OSError, ValueError) as error:
        forbidden = _cause(error, _Forbidden)
        if forbidden is not None:
            raise UrlRefused(f"{_shown(url)} may not be reached: {forbidden}") from None
        raise UrlUnavailable(f"{_shown(url)} gave no whole answer: {_why(error)}") from None


def _authorization(url: str) -> Mapping[str, str]:
    """Of the user that the URL names, if it names one."""
    user = urllib3.util.parse_url(url).auth
    return urllib3.util.make_headers(basic_auth=unquote(user)) if user else {}


def _bounded(response: urllib3.BaseHTTPResponse, url: str, most_bytes: int) -> bytes:
    if not most_bytes:
        return b""
    length = response.headers.get("Content-Length", "")
    read = bytearray()
    if length.isdigit() and int(length) > most_bytes:
        raise UrlRefused(f"{_shown(url)} is longer than {most_bytes} bytes")
    while piece := response.read(_PIECE, decode_content=False):
        read += piece
        if len(read) > most_bytes:
            raise UrlRefused(f"{_shown(url)} is longer than {most_bytes} bytes")
    return bytes(read)


def _same_place(url: str, location: str) -> str:
    there = urljoin(url, location)
    if urlsplit(there)[:2] != urlsplit(url)[:2]:
        raise UrlRefused(f"{_shown(url)} redirects to another place")
    return there


def _too_late(url: str, seconds: float) -> UrlUnavailable:
    return UrlUnavailable(f"{_shown(url)} gave no whole answer within {seconds:g} s")


def _shown(url: str) -> str:
    """The URL without its query, which may hold a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:200]


def _cause(error: BaseException, kind: type[OSError]) -> OSError | None:
    """The error of that kind somewhere below."""
    seen: BaseException | None = error
    for _ in range(10):
        if isinstance(seen, kind):
            return seen
        if seen is None:
            return None
        reason = getattr(seen, "reason", None) or (seen.args[0] if seen.args else None)
        below = seen.__cause__ or seen.__context__
        seen = reason if isinstance(reason, BaseException) else below
    return None


def _why(error: Exception) -> str:
    if isinstance(error, SSLError) or _cause(error, ssl.SSLError):
        return "TLS failed; is its certificate valid?"
    if _cause(error, socket.gaierror):
        return "its name does not resolve"
    if isinstance(error, NewConnectionError) and _cause(error, ConnectionRefusedError):
        return "it cannot be connected to"
    if isinstance(error, TooSlow) and not isinstance(error, NewConnectionError):
        return "too slow"
    return f"the connection broke ({type(error).__name__})"


Connect = Callable[[str, int, float | None], socket.socket]


def _pools(connect: Connect) -> dict[str, type[HTTPConnectionPool]]:
    def new_connection(self: HTTPConnection) -> socket.socket:
        try:
            timeout = self.timeout if isinstance(self.timeout, int | float) else None
            return connect(self._dns_host, self.port, timeout)
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error

    class Plain(HTTPConnection):
        _new_conn = new_connection

    class Secure(HTTPSConnection):
        _new_conn = new_connection

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
