"""`fscontrol keys`: give out, list and take back API keys, in the store itself; `serve` need not be running."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fscontrol import settings as configuration
from fscontrol.cli.audit import operator
from fscontrol.errors import InvalidDocument, StoreError
from fscontrol.model.access import Role
from fscontrol.model.api_key import ApiKey
from fscontrol.model.audit import HOUSE

if TYPE_CHECKING:
    from fscontrol.provisioning.api_keys import ApiKeys
    from fscontrol.store.base import Store

_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
_LONGEST_SECONDS = 10 * _SECONDS["y"]


@click.group()
def keys() -> None:
    """API keys: create one, list them, revoke one.

    \b
    Examples: fscontrol keys create --role admin --organization 7 --name ops --expires 90d
              fscontrol keys list
              fscontrol keys revoke fsc_live_Ab3dE6g
    """


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


@keys.command()
@click.option("--name", required=True, help="What it is for, or whose it is.")
@click.option("--role", type=click.Choice(list(map(str, Role))), required=True, help="What it may do.")
@click.option("--organization", metavar="ID", help="The only organisation it is good for; without it: all.")
@click.option("--expires", metavar="90d", callback=_lifetime, help="Works for so long; without it: for ever.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one document.")
def create(name: str, role: str, organization: str | None, expires: float | None, as_json: bool) -> None:
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
    if as_json:
        click.echo(json.dumps({**_shown(made.key), "key": made.text}, indent=2))
        return
    click.echo(made.text)
    until = "for ever" if made.key.expires_at is None else f"until {_moment(made.key.expires_at)}"
    whose = "all organisations" if organization is None else f"organisation {organization}"
    click.echo(f"{role} of {whose}, {until}; it is not shown again", err=True)


@keys.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one document.")
def list_(as_json: bool) -> None:
    """Show every key, newest first: whose it is, what it may, when it was used last. Never its text."""
    with _opened() as (_store, service):
        found = service.visible_to(HOUSE.principal)
    if as_json:
        click.echo(json.dumps({"items": [_shown(key) for key in found]}, indent=2))
    else:
        Console().print(key_table(found, time.time()))


@keys.command()
@click.argument("key", metavar="ID|PREFIX")
def revoke(key: str) -> None:
    """Take a key back, by its id, by its prefix, or by the whole key. Every control plane refuses it in 5 seconds."""
    with _opened() as (_store, service), _in_words():
        before = service.find(key, HOUSE.principal)
        revoked = service.revoke(before.id, operator())
    already = " already" if before.revoked_at is not None else ""
    click.echo(f"{revoked.prefix}… ({revoked.name}) is revoked{already}")


def key_table(found: Iterable[ApiKey], now: float) -> Table:
    """The keys, one a line."""
    table = Table(title="API keys", title_justify="left")
    for column in (
        "prefix",
        "name",
        "role",
        "organisation",
        "state",
        "created",
        "expires",
        "last used",
        "id",
    ):
        # What is to be copied stays in one piece, whatever the width.
        table.add_column(column, overflow="fold", no_wrap=column == "prefix")
    for key in found:
        row = (key.prefix, key.name, key.role, "all" if key.organization is None else key.organization)
        shown = (*row, _state(key, now), _moment(key.expires_at), _moment(key.last_used_at))
        table.add_row(*(escape(str(value)) for value in shown))
    return table


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
        raise click.ClickException(told) from None
