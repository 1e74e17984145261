"""`fscontrol keys`: give out, list and take back API keys, in the store itself; `serve` need not be running."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from fscontrol import settings as configuration
from fscontrol.cli.audit import operator
from fscontrol.cli.command import examples, json_option, put_json, wants_json
from fscontrol.cli.exit_codes import Exit, Stopped
from fscontrol.cli.screen import Column, Listing, cells, make_console
from fscontrol.errors import InvalidDocument, StoreError
from fscontrol.model.access import Role
from fscontrol.model.api_key import ApiKey
from fscontrol.model.audit import HOUSE

if TYPE_CHECKING:
    from fscontrol.provisioning.api_keys import ApiKeys
    from fscontrol.store.base import Store

_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
_LONGEST_SECONDS = 10 * _SECONDS["y"]


_CREATE = "fscontrol keys create --role admin --organization 7 --name ops --expires 90d"
_LIST, _REVOKE = "fscontrol keys list", "fscontrol keys revoke fsc_live_Ab3dE6g"


@click.group(epilog=examples(_CREATE, _LIST, _REVOKE))
def keys() -> None:
    """API keys: create one, list them, revoke one."""


def _lifetime(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,9})([mhdwy])", value)
    if found is None:
        raise click.BadParameter("must be a number and one of m, h, d, w, y, such as 90d")
    seconds = int(found[1]) * _SECONDS[found[2]]
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise click.BadParameter("must be within ten years")
    return seconds


@keys.command(epilog=examples(_CREATE, "fscontrol keys create --role viewer --name wallboard"))
@click.option("--name", required=True, help="What it is for, or whose it is.")
@click.option("--role", type=click.Choice(list(map(str, Role))), required=True, help="What it may do.")
@click.option("--organization", metavar="ID", help="The only organisation it is good for; without it: all.")
@click.option("--expires", metavar="90d", callback=_lifetime, help="Works for so long; without it: for ever.")
@json_option
def create(name: str, role: str, organization: str | None, expires: float | None) -> None:
    """Make a key and print it, this once. An organisation that is not there yet is made, empty.

    viewer looks; admin changes trunks and numbers and acts on calls; bridge is the backend's: it replaces an
    organisation whole.
    """
    name = _checked(name)
    with _opened(must_exist=False) as (store, service), _in_words():
        made_one = organization is not None and _ensure(store, organization)
        made = service.create(name, Role(role), organization, operator(), expires)
    if made_one:
        click.echo(f"organisation {organization} was not there; it was made, empty", err=True)
    if wants_json():
        put_json({**_shown(made.key), "key": made.text})
        return
    click.echo(made.text)
    until = "for ever" if made.key.expires_at is None else f"until {_moment(made.key.expires_at)}"
    whose = "all organisations" if organization is None else f"organisation {organization}"
    click.echo(f"{role} of {whose}, {until}; it is not shown again", err=True)


@keys.command(name="list", epilog=examples(_LIST, "fscontrol keys list --json"))
@json_option
def list_() -> None:
    """Show every key, newest first: whose it is, what it may, when it was used last. Never its text."""
    with _opened() as (_store, service):
        found = service.visible_to(HOUSE.principal)
    if wants_json():
        put_json({"items": [_shown(key) for key in found]})
    else:
        make_console().print(key_table(found, time.time()))


@keys.command(epilog=examples(_REVOKE))
@json_option
@click.argument("key", metavar="ID|PREFIX")
def revoke(key: str) -> None:
    """Take a key back, by its id, by its prefix, or by the whole key. Every control plane refuses it in 5 seconds."""
    with _opened() as (_store, service), _in_words():
        before = service.find(key, HOUSE.principal)
        revoked = service.revoke(before.id, operator())
    if wants_json():
        put_json(_shown(revoked))
        return
    already = " already" if before.revoked_at is not None else ""
    click.echo(f"{revoked.prefix}… ({revoked.name}) is revoked{already}")


_COLUMNS = (
    Column("prefix"),
    Column("state", colours={"revoked": "red", "expired": "yellow", "works": "green"}),
    Column("role", 1),
    Column("name", 2, folds=True),
    Column("organisation", 3),
    Column("last used", 4),
    Column("expires", 5),
    Column("created", 6),
    Column("id", 7),
)


def key_table(found: Iterable[ApiKey], now: float) -> Listing:
    """The keys, newest first. A prefix is enough to revoke one."""
    return Listing("API keys", _COLUMNS, [_row(key, now) for key in found])


def _row(key: ApiKey, now: float) -> tuple[str, ...]:
    whose = "all" if key.organization is None else key.organization
    moments = map(_moment, (key.last_used_at, key.expires_at, key.created_at))
    return cells((key.prefix, _state(key, now), key.role, key.name, whose, *moments, key.id))


def _state(key: ApiKey, now: float) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "works" if key.works_at(now) else "expired"


def _moment(at: float | None) -> str:
    return "-" if at is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def _shown(key: ApiKey) -> dict[str, object]:
    fields = key.model_dump(mode="json", exclude={"digest", "organization"})
    return {**fields, "organization_id": key.organization, "state": _state(key, time.time())}


def _checked(name: str) -> str:
    from pydantic import TypeAdapter, ValidationError

    from fscontrol.model.api_key import KeyName

    try:
        return TypeAdapter(KeyName).validate_python(name)
    except ValidationError as error:
        raise click.BadParameter(
            error.errors()[0]["msg"].removeprefix("Value error, "), param_hint="--name"
        ) from None


def _ensure(store: Store, organization: str) -> bool:
    """Make the organisation where there is none, and let running control planes hear of it."""
    from fscontrol.provisioning.organizations import Organizations

    is_number = organization.isascii() and organization.isdigit() and str(int(organization)) == organization
    organizations = Organizations(store, lambda key: store.note_change(key, "fscontrol keys"))
    return organizations.ensure(int(organization) if is_number else organization, operator())


@contextlib.contextmanager
def _opened(*, must_exist: bool = True) -> Iterator[tuple[Store, ApiKeys]]:
    from fscontrol.provisioning.api_keys import ApiKeys
    from fscontrol.store.opening import open_store, sqlite_path

    settings = configuration.load()
    path = sqlite_path(settings)
    if must_exist and path is not None and not path.exists():
        raise StoreError(f"there is no database {path}; is FSCONTROL_STORE_URL right?")
    store = open_store(settings)
    try:
        yield store, ApiKeys(store, note=store.put_audit)
    finally:
        store.close()


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    """What is wrong with a document, said to somebody who typed a command."""
    try:
        yield
    except InvalidDocument as error:
        told = "; ".join(f"{problem.path} {problem.message}" for problem in error.problems)
        raise Stopped(told, Exit.INVALID) from None
