"""Logging: one line an event, JSON or for a terminal, never a secret.

Owns: the format of log lines, with the call and the request at hand, and the last wall against secrets in them: values
registered with `conceal` are masked wherever they stand. Refuses: line ends inside a message (a forged line must not
look like ours).
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, TextIO

from fscontrol.telemetry import correlation

_STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "message",
    "asctime",
    "taskName",
}
_MINIMUM_CONCEALED = 6
_concealed: set[str] = set()


def conceal(secret: str) -> None:
    """Mask this text in every later log line. Shorter than six characters would mask ordinary words."""
    if len(secret) >= _MINIMUM_CONCEALED:
        _concealed.add(secret)


def _masked(text: str) -> str:
    for secret in _concealed:
        if secret in text:
            text = text.replace(secret, "***")
    return text


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What was passed as `extra`, and, where that does not say, which call and request the line is about."""
    said = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
    return {**correlation.fields(), **said}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC, ISO 8601), level, logger, message, and the fields passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry: dict[str, Any] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return _masked(json.dumps(entry, default=str, ensure_ascii=False))


class TextFormatter(logging.Formatter):
    """For a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line; a traceback follows on lines of its own."""
        stamp = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = " ".join(f"{name}={value}" for name, value in _fields(record).items())
        message = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        line = f"{stamp} {record.levelname:<7} {record.name.removeprefix('fscontrol.')}: {message} {fields}".rstrip()
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return _masked(line)


def configure(form: str, level: str, stream: TextIO | None = None) -> None:
    """Send all logging to `stream` (default: standard error) as `json`, `text`, or by whether it is a terminal."""
    target = sys.stderr if stream is None else stream
    as_text = form == "text" or (form == "auto" and target.isatty())
    handler = logging.StreamHandler(target)
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("urllib3").setLevel(logging.WARNING)
