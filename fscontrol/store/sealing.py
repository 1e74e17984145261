"""An organisation as the sealed document a store keeps, and back.

Owns: the document's form, and keeping the last ones open. Refuses: a readable credential in what is stored.

A field that has its default is left out, which makes the document of a plain trunk a seventh as long. So a default
that is to change needs a migration of the stores; what was stored would change its meaning else.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary, ref

from pydantic import SecretStr, TypeAdapter

from fscontrol.model.organization import Organization, TrunkTimes
from fscontrol.model.trunk import Trunk
from fscontrol.store.secrets import Vault

MOST_KEPT_OPEN = 20_000
"""Trunks and numbers of the organisations that are kept open, together; the last few are kept however large."""
_LAST_FEW = 4
_TIMES = TypeAdapter(dict[str, TrunkTimes])
MOST_TEXTS = 10_000
_texts: dict[int, tuple[ref[Trunk], str]] = {}
"""Of the trunks sealed last, by their identity. On any thread: each step on it is one of the interpreter's."""


class _Opened:
    """The documents that were sealed or opened last with one vault, by their digest.

    One push reads what it stored, and what is in force, several times. What is sealed anew is another text, so what is
    kept is never old; and it is kept for the vault that opened it, so one without that key does not get it.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Organization] = OrderedDict()
        self._size = 0

    def get(self, sealed: str) -> Organization | None:
        digest = _digest(sealed)
        if (found := self._kept.get(digest)) is not None:
            self._kept.move_to_end(digest)
        return found

    def keep(self, sealed: str, organization: Organization) -> None:
        digest = _digest(sealed)
        if self._kept.pop(digest, None) is None:
            self._size += _size(organization)
        self._kept[digest] = organization
        while self._size > MOST_KEPT_OPEN and len(self._kept) > _LAST_FEW:
            _, oldest = self._kept.popitem(last=False)
            self._size -= _size(oldest)


_opened: WeakKeyDictionary[Vault, _Opened] = WeakKeyDictionary()


def seal_organization(organization: Organization, vault: Vault) -> str:
    """The organisation as one encrypted document: no credential lies readable in the store."""
    shape: dict[str, Any] = {"mode": "json", "by_alias": True, "exclude_defaults": True}
    document = organization.model_dump(**shape, exclude={"trunks", "trunk_times"})
    if "stream_token" in document.get("media", ()):
        document["media"]["stream_token"] = organization.media.stream_token.get_secret_value()
    if organization.webhook is not None:
        document["webhook"]["secret"] = organization.webhook.secret.get_secret_value()
    if organization.draft is not None:
        _show_secrets(organization.draft.trunks, document["draft"])
    trunks = ",".join(map(_text_of, organization.trunks))
    times = _TIMES.dump_json(organization.trunk_times).decode()
    return vault.seal(f'{_json(document)[:-1]},"trunk_times":{times},"trunks":[{trunks}]}}')


def _text_of(trunk: Trunk) -> str:
    """A trunk as JSON, its secrets readable. Most of a push are the last one's, and in force once it is applied."""
    of, text = _texts.get(id(trunk), (None, ""))
    if of is not None and of() is trunk:
        return text
    document = trunk.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    _show_secrets([trunk], {"trunks": [document]})
    if len(_texts) >= MOST_TEXTS:
        _texts.clear()
    text = _json(document)
    _texts[id(trunk)] = ref(trunk), text
    return text


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))


def keep_open(sealed: str, organization: Organization, vault: Vault) -> None:
    """What has just been sealed and stored will be read at once; on the hub's thread, as `open_organization` is."""
    _opened.setdefault(vault, _Opened()).keep(sealed, organization)


def open_organization(sealed: str, vault: Vault) -> Organization:
    """The reverse of `seal_organization`; raises `SecretUnreadable`."""
    opened = _opened.setdefault(vault, _Opened())
    if (known := opened.get(sealed)) is not None:
        return known
    document = json.loads(vault.open(sealed))
    for trunk in (*document.get("trunks", ()), *(document.get("draft") or {}).get("trunks", ())):
        trunk["password"] = SecretStr(trunk.get("password", ""))
    organization = Organization.model_validate(document)
    opened.keep(sealed, organization)
    return organization


def _show_secrets(trunks: Sequence[Trunk], document: dict[str, Any]) -> None:
    for trunk, shown in zip(trunks, document.get("trunks", ()), strict=True):
        for name in shown.keys() & {"password", "api_bearer_token"}:
            shown[name] = getattr(trunk, name).get_secret_value()


def _digest(sealed: str) -> bytes:
    return hashlib.blake2b(sealed.encode(), digest_size=16).digest()


def _size(organization: Organization) -> int:
    return len(organization.trunks) + len(organization.phone_numbers)
