"""`fscontrol secrets-new-key`, `fscontrol secrets-rotate`: the key that seals what lies in the store, changed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from fscontrol import settings as configuration
from fscontrol.cli.command import examples, json_option, put_json, wants_json
from fscontrol.cli.exit_codes import Exit, Stopped
from fscontrol.cli.progress import counted
from fscontrol.errors import SecretUnreadable

if TYPE_CHECKING:
    from fscontrol.store.base import Store


@click.command(epilog=examples("fscontrol secrets-new-key"))
@json_option
def secrets_new_key() -> None:
    """Print a fresh key for FSCONTROL_SECRET_KEY, where it goes before those that are there."""
    from fscontrol.store.secrets import new_key

    key = new_key()
    if wants_json():
        put_json({"key": key})
    else:
        click.echo(key)


@click.command(epilog=examples("fscontrol secrets-rotate", "fscontrol secrets-rotate --json"))
@json_option
def secrets_rotate() -> None:
    """Seal everything in the store with the newest key, so that older ones can be dropped. `serve` may be running.

    Every `serve` must know the new key before: set it, restart them, then run this. Exit code 1 when something did not
    open with any key given; it stays as it is.
    """
    from fscontrol.cli.audit import operator
    from fscontrol.model.audit import entry
    from fscontrol.store.opening import open_store

    store = open_store(configuration.load())
    resealed, unreadable = 0, list[str]()
    try:
        keys = store.organization_keys()
        for key in counted("resealing", keys, len(keys)):
            try:
                resealed += store.reseal_organization(key)
            except SecretUnreadable:
                unreadable.append(key)
        fingerprint_key = store.reseal_fingerprint_key()
        applied, applied_unreadable = _reseal_applied(store)
        store.put_audit(entry(operator(), time.time(), None, "rotated", "the key of the store"))
    finally:
        store.close()
    done = {
        "organizations": resealed,
        "unchanged": len(keys) - resealed - len(unreadable),
        "applied": applied,
    }
    if wants_json():
        put_json({**done, "fingerprint_key": fingerprint_key, "unreadable": unreadable})
    else:
        _say(done, fingerprint_key=fingerprint_key, applied_unreadable=applied_unreadable)
    if unreadable or applied_unreadable:
        shown = ", ".join(unreadable[:20]) + (", …" if len(unreadable) > 20 else "")
        said = (
            f"{len(unreadable)} organisation(s) do not open with any key given: {shown}" if unreadable else ""
        )
        raise Stopped("; ".join(filter(None, (said, applied_unreadable))), Exit.NO)


def _say(done: Mapping[str, int], *, fingerprint_key: bool, applied_unreadable: str) -> None:
    resealed, already = done["organizations"], done["unchanged"]
    click.echo(f"{resealed} organisation(s) resealed with the newest key, {already} were already")
    click.echo(f"the fingerprint key {'was resealed' if fingerprint_key else 'needed nothing'}")
    if not applied_unreadable:
        click.echo(f"{done['applied']} record(s) of what is in force on nodes resealed")


def _reseal_applied(store: Store) -> tuple[int, str]:
    """How many were resealed, and what did not open."""
    try:
        return store.reseal_applied(), ""
    except SecretUnreadable as error:
        return 0, str(error)
