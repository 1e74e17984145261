"""The HTTP client behind the commands that ask a running control plane."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import quote

import requests

from fscontrol.cli.exit_codes import Exit, Stopped, of_status
from fscontrol.settings import Settings

DEADLINE_SECONDS = 90.0
_PAGE = 1000
_SILENCE_SECONDS = 40.0
"""Of a stream that should say something each 15 seconds."""


class ControlPlane:
    """A running control plane, by its HTTP address and key."""

    def __init__(self, settings: Settings) -> None:
        self.url = f"http://{settings.http}"
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy has no business between an operator and loopback
        self._session.headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"

    def ask(self, method: str, path: str, body: object = None, **query: object) -> tuple[int, dict[str, Any]]:
        """One request; returns the status and the JSON object. Raises `Stopped` where nothing sensible answers."""
        return self._answer(path, method, json=body, params={k: str(v) for k, v in query.items()})

    def send(
        self, path: str, body: bytes, headers: dict[str, str], **query: object
    ) -> tuple[int, dict[str, Any]]:
        """POST something that is no JSON; as `ask`."""
        params = {k: str(v) for k, v in query.items()}
        return self._answer(path, "POST", data=body, headers=headers, params=params)

    def download(self, path: str) -> bytes:
        """A GET, which must succeed, of something that is no JSON."""
        response = self._request(path, "GET")
        if response.status_code != 200:
            granted_only(self._json_of(path, response), (200,))
        return response.content

    def _answer(self, path: str, method: str, **given: Any) -> tuple[int, dict[str, Any]]:
        return self._json_of(path, self._request(path, method, **given))

    def _json_of(self, path: str, response: requests.Response) -> tuple[int, dict[str, Any]]:
        try:
            answer = response.json()
        except ValueError as error:
            raise Stopped(f"{self.url}{path}: {type(error).__name__}", Exit.UNREACHABLE) from None
        if not isinstance(answer, dict):
            raise Stopped(f"{self.url}{path} answered something unexpected", Exit.NO)
        return response.status_code, answer

    def _request(self, path: str, method: str, **given: Any) -> requests.Response:
        try:
            response = self._session.request(method, self.url + path, timeout=DEADLINE_SECONDS, **given)
        except requests.ConnectionError:
            why = f"no control plane answers at {self.url}; is `fscontrol serve` running?"
            raise Stopped(why, Exit.UNREACHABLE) from None
        except requests.RequestException as error:
            raise Stopped(f"{self.url}{path}: {type(error).__name__}", Exit.UNREACHABLE) from None
        if response.status_code == 401:
            why = f"{self.url} refused the key; set SIP_BRIDGE_API_KEY to the one it was started with"
            raise Stopped(why, Exit.REFUSED)
        return response

    def done(
        self, method: str, path: str, body: object = None, granted: Collection[int] = (200,), **query: object
    ) -> dict[str, Any]:
        """One request that must be granted; raises `Stopped` with what was refused, and why."""
        return granted_only(self.ask(method, path, body, **query), granted)

    def get(self, path: str, **query: object) -> dict[str, Any]:
        """A GET that must succeed."""
        return self.done("GET", path, None, (200,), **query)

    def whole(self, path: str, **query: object) -> list[dict[str, Any]]:
        """Every row of a list, however many pages it takes."""
        rows: list[dict[str, Any]] = []
        while True:
            page = self.get(path, skip=len(rows), limit=_PAGE, **query)
            rows += page["items"]
            if not page["items"] or len(rows) >= page["total"]:
                return rows

    def require_organization(self, key: str) -> None:
        """Raise `Stopped` where there is none of that name; for lists, which of nobody are empty."""
        self.get(f"/api/organizations/{quote(key, safe='')}")

    @contextlib.contextmanager
    def events(self) -> Iterator[Iterator[str]]:
        """The kinds of what happens, as it does. Raises `requests.RequestException` where there is no such stream."""
        url, until = f"{self.url}/api/events", (5.0, _SILENCE_SECONDS)
        with self._session.get(url, stream=True, timeout=until) as answer:
            answer.raise_for_status()
            lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
            yield (line.removeprefix("event: ") for line in lines if line.startswith("event: "))


def granted_only(told: tuple[int, dict[str, Any]], granted: Collection[int]) -> dict[str, Any]:
    """The answer, when its status is one of these; raises `Stopped` with what was refused, and why."""
    status, answer = told
    if status in granted:
        return answer
    problems = [f"{item['path']}: {item['message']}".lstrip(": ") for item in answer.get("problems", ())]
    why = "; ".join(problems) or answer.get("message", "refused")
    raise Stopped(f"{why} (HTTP {status})", of_status(status))
