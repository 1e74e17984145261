"""Audio by URL: fetched once, checked, and kept as a file that FreeSWITCH can play.

Owns: the files in `fetched` below the media directory, one for each URL, and who waits for which fetch. Refuses: what
`backend.outside` refuses, what is longer than ten megabytes, what is no audio by its content, and growing without end.
A failed URL is not asked again for a while, so that a flood of calls is no flood of requests.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import gevent
from gevent.event import AsyncResult

from fscontrol.backend.outside import OutsideAnswer
from fscontrol.calls.audio_content import EXTENSIONS, kind_of
from fscontrol.errors import DeliveryError, FscontrolError, UrlUnavailable
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

MOST_BYTES = 10 * 1024 * 1024
_MOST_FILES = 1_000
_MOST_FAILURES = 1_000
_FAILED_FOR_SECONDS = 30.0


class Fetches(Protocol):
    """How a URL is fetched: `backend.outside.Outside`."""

    def get(self, url: str, deadline_seconds: float, most_bytes: int) -> OutsideAnswer: ...


class FetchedAudio:
    """Files by URL in `directory`, which is made with mode 0700 when it is first needed. `clock` is monotonic."""

    def __init__(
        self, directory: Path, outside: Fetches, deadline_seconds: float, clock: Callable[[], float]
    ) -> None:
        self._directory = directory
        self._outside = outside
        self._deadline = deadline_seconds
        self._clock = clock
        self._fetching: dict[str, AsyncResult[Path]] = {}
        self._failed: dict[str, tuple[float, FscontrolError]] = {}

    def file_for(self, url: str) -> Path:
        """The file with the URL's audio, fetched if it is not here yet.

        Raises `UrlRefused`, `UrlUnavailable`, `AudioRefused`, or `DeliveryError` when it cannot be kept.
        """
        name = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:40]
        if (kept := self._kept(name)) is not None:
            return kept
        until, error = self._failed.get(name, (0.0, None))
        if error is not None and self._clock() < until:
            raise error
        if (result := self._fetching.get(name)) is None:
            # In a greenlet of its own: the first to ask may be a caller who hangs up, and others wait as well.
            result = self._fetching[name] = AsyncResult()
            spawn("fetch audio", self._fetch, name, url, result)
        path = result.get()
        assert isinstance(path, Path)  # noqa: S101  (gevent's types do not say so)
        return path

    def _kept(self, name: str) -> Path | None:
        paths = (self._directory / f"{name}.{extension}" for extension in EXTENSIONS)
        return next((path for path in paths if path.is_file()), None)

    def _fetch(self, name: str, url: str, result: AsyncResult[Path]) -> None:
        try:
            answer = self._outside.get(url, self._deadline, MOST_BYTES)
            if answer.status != 200:
                raise UrlUnavailable(f"the audio's server answered {answer.status}")
            path = self._directory / f"{name}.{kind_of(answer.body)}"
            # Off the hub: a slow disk must not stop everybody's calls.
            gevent.get_hub().threadpool.apply(_keep, (path, answer.body))
            log.info("audio fetched", extra={"file": path.name, "bytes": len(answer.body)})
            result.set(path)
        except FscontrolError as error:
            self._failed.pop(name, None)
            self._failed[name] = (self._clock() + _FAILED_FOR_SECONDS, error)
            if len(self._failed) > _MOST_FAILURES:
                del self._failed[next(iter(self._failed))]
            log.warning("audio not fetched", extra={"error": error.id, "reason": str(error)})
            result.set_exception(error)
        except BaseException:
            result.set_exception(UrlUnavailable("the audio could not be fetched"))
            raise
        finally:
            del self._fetching[name]


def _keep(path: Path, data: bytes) -> None:
    """Whole or not at all, and the oldest go when there are too many."""
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        files = sorted(path.parent.glob("[!.]*"), key=lambda kept: kept.stat().st_mtime)
        for old in files[:-_MOST_FILES]:
            old.unlink(missing_ok=True)
    except OSError as error:
        with contextlib.suppress(OSError):
            if temporary:
                Path(temporary).unlink(missing_ok=True)
        raise DeliveryError(f"cannot keep audio in {path.parent}: {error.strerror}") from None
