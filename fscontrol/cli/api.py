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
        try:
            response = self._session.request(
                method,
                self.url + path,
                json=body,
                params={k: str(v) for k, v in query.items()},
                timeout=DEADLINE_SECONDS,
            )
            answer = response.json()
        except requests.ConnectionError:
            raise click.ClickException(
                f"no control plane answers at {self.url}; is `fscontrol serve` running?"
            ) from None
        except (requests.RequestException, ValueError) as error:
            raise click.ClickException(f"{self.url}{path}: {type(error).__name__}") from None
        if response.status_code == 401:
            raise click.ClickException(
                f"{self.url} refused the key; set SIP_BRIDGE_API_KEY to the one it was started with"
            )
        if not isinstance(answer, dict):
            raise click.ClickException(f"{self.url}{path} answered something unexpected")
        return response.status_code, answer

    def get(self, path: str, **query: object) -> dict[str, Any]:
        """A GET that must succeed."""
        status, answer = self.ask("GET", path, **query)
        if status != 200:
            raise click.ClickException(f"{answer.get('message', 'refused')} (HTTP {status})")
        return answer
