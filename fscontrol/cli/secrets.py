"""`fscontrol secrets-new-key`, `fscontrol secrets-rotate`: the key that seals what lies in the store, changed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import track

from fscontrol import settings as configuration
from fscontrol.errors import SecretUnreadable

if TYPE_CHECKING:
    from fscontrol.store.base import Store


@click.command()
def secrets_new_key() -> None:
    """Print a fresh key for FSCONTROL_SECRET_KEY, where it goes before those that are there."""
    from fscontrol.store.secrets import new_key

    click.echo(new_key())


@click.command()
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
        for key in track(keys, "resealing", console=Console(stderr=True), transient=True):
            try:
                resealed += store.reseal_organization(key)
            except SecretUnreadable:
                unreadable.append(key)
        fingerprint_key = store.reseal_fingerprint_key()
        applied, applied_unreadable = _reseal_applied(store)
        store.put_audit(entry(operator(), time.time(), None, "rotated", "the key of the store"))
    finally:
        store.close()
    already = len(keys) - resealed - len(unreadable)
    click.echo(f"{resealed} organisation(s) resealed with the newest key, {already} were already")
    click.echo(f"the fingerprint key {'was resealed' if fingerprint_key else 'needed nothing'}")
    if not applied_unreadable:
        click.echo(f"{applied} record(s) of what is in force on nodes resealed")
    if unreadable:
        shown = ", ".join(unreadable[:20]) + (", …" if len(unreadable) > 20 else "")
        said = f"{len(unreadable)} organisation(s) do not open with any key given: {shown}"
        raise click.ClickException("; ".join(filter(None, (said, applied_unreadable))))
    if applied_unreadable:
        raise click.ClickException(applied_unreadable)


def _reseal_applied(store: Store) -> tuple[int, str]:
    """How many were resealed, and what did not open."""
    try:
        return store.reseal_applied(), ""
    except SecretUnreadable as error:
        return 0, str(error)
