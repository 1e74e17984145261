"""What the contract suites over both stores share besides fixtures."""

from __future__ import annotations

from collections.abc import Callable

from fscontrol.store.base import Store

CALLS_KEPT = 10
Opener = Callable[..., Store]
