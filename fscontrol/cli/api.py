"""The HTTP client behind the commands that ask a running control plane."""

from __future__ import annotations

from typing import Any

import click
import requests

from fscontrol.settings import Settings

DEADLINE_SECONDS = 90.0


class ControlPlane:
    """A running control plane, by its HTTP address and key."""

    def __init__(self, settings: Settings) -> None:
        self.url = f"http://{settings.http}"
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy has no business between an operator and loopback
        self._session.headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"

    def ask(self, method: str, path: str, body: object = None, **query: object) -> tuple[int, dict[str, Any]]:
        """One request; returns the status and the JSON object. Raises `click.ClickException` in words."""
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
            raise click.ClickException(f"{self.url}{path} refused (HTTP {response.status_code})")
        return response.content

    def _answer(self, path: str, method: str, **given: Any) -> tuple[int, dict[str, Any]]:
        response = self._request(path, method, **given)
        try:
            answer = response.json()
        except ValueError as error:
            raise click.ClickException(f"{self.url}{path}: {type(error).__name__}") from None
        if not isinstance(answer, dict):
            raise click.ClickException(f"{self.url}{path} answered something unexpected")
        return response.status_code, answer

    def _request(self, path: str, method: str, **given: Any) -> requests.Response:
        try:
            response = self._session.request(method, self.url + path, timeout=DEADLINE_SECONDS, **given)
        except requests.ConnectionError:
            raise click.ClickException(
                f"no control plane answers at {self.url}; is `fscontrol serve` running?"
            ) from None
        except requests.RequestException as error:
            raise click.ClickException(f"{self.url}{path}: {type(error).__name__}") from None
        if response.status_code == 401:
            raise click.ClickException(
                f"{self.url} refused the key; set SIP_BRIDGE_API_KEY to the one it was started with"
            )
        return response

    def get(self, path: str, **query: object) -> dict[str, Any]:
        """A GET that must succeed."""
        status, answer = self.ask("GET", path, **query)
        if status != 200:
            raise click.ClickException(f"{answer.get('message', 'refused')} (HTTP {status})")
        return answer
