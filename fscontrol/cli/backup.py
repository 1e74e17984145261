"""`fscontrol backup`, `fscontrol restore`: everything the store holds, to one file and back, whatever the engine."""

from __future__ import annotations

import time
from pathlib import Path

import click

from fscontrol import settings as configuration
from fscontrol.cli.command import examples, json_option, put_json, wants_json
from fscontrol.cli.progress import counted, waiting
from fscontrol.errors import BackupRefused, StoreError
from fscontrol.settings import Settings


@click.command(epilog=examples("fscontrol backup fscontrol.backup"))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def backup(file: Path) -> None:
    """Write everything the store holds to FILE (gzipped JSON lines, mode 0600), also while `serve` runs.

    What is secret in it is sealed with the newest key: keep the key as well, and elsewhere.
    """
    from fscontrol.store.backup import Summary, write_backup
    from fscontrol.store.opening import open_settings_vault, open_store, sqlite_path

    settings = configuration.load()
    path = sqlite_path(settings)
    if path is not None and not path.exists():
        raise StoreError(f"there is no database {path}; is FSCONTROL_STORE_URL right?")
    vault, store = open_settings_vault(settings), open_store(settings)
    try:
        rows = counted("backing up", store.dump())
        summary: Summary = write_backup(file, rows, vault, time.time())
    finally:
        store.close()
    if wants_json():
        put_json({"file": str(file), "counts": summary.counts})
        return
    click.echo(f"{file}: {_in_words(summary.counts)}")
    if path is not None and not settings.secret_key.get_secret_value():
        click.echo(f"sealed with the key in {path.with_suffix('.key')}, without which it cannot be restored")


@click.command(
    epilog=examples(
        "fscontrol restore fscontrol.backup", "fscontrol restore fscontrol.backup --replace --yes"
    )
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@click.option("--replace", is_flag=True, help="Also over a store that is not empty: what is in it goes.")
@click.option("--yes", is_flag=True, help="Do not ask before replacing.")
def restore(file: Path, replace: bool, yes: bool) -> None:
    """Put everything in FILE into the store, which must be empty. Stop every `serve` on that store first.

    FILE is read to its end and checked before anything is written: whole, unaltered, of a version known, sealed with a
    key that is given.
    """
    from fscontrol.cli.audit import operator
    from fscontrol.model.audit import entry
    from fscontrol.store.backup import check_backup, read_backup
    from fscontrol.store.opening import open_settings_vault, open_store

    settings = configuration.load()
    vault = open_settings_vault(settings)
    with waiting("checking"):
        summary = check_backup(file, vault)
    _require_unused(settings)
    made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(summary.created_at))
    store = open_store(settings, unfinished=True)
    try:
        if not store.is_empty():
            if not replace:
                raise BackupRefused(
                    "the store is not empty; --replace restores over it, and what is in it goes"
                )
            if not yes:
                click.confirm(f"Replace everything in the store by the backup of {made}?", abort=True)
        rows = counted("restoring", read_backup(file, vault), sum(summary.counts.values()))
        store.load(rows, replace=replace)
        store.put_audit(entry(operator(), time.time(), None, "restored", f"the backup of {made}"))
    finally:
        store.close()
    if wants_json():
        put_json({"file": str(file), "created_at": summary.created_at, "counts": summary.counts})
        return
    click.echo(f"restored the backup of {made}: {_in_words(summary.counts)}")


def _require_unused(settings: Settings) -> None:
    from fscontrol.store.opening import is_in_use

    if is_in_use(settings):
        raise BackupRefused(
            "another process has the store open; stop `fscontrol serve` first. Nothing was changed"
        )


def _in_words(counts: dict[str, int]) -> str:
    kinds = {
        "organization": "organisation(s)",
        "gateway": "gateway(s) in the ledger",
        "call": "call(s)",
        "message": "message(s) waiting",
        "dead_letter": "dead letter(s)",
        "api_key": "API key(s)",
        "audit": "in the audit trail",
    }
    return ", ".join(f"{counts.get(kind, 0)} {word}" for kind, word in kinds.items())
