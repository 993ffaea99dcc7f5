"""``everloop data keys|rekey``: the keys that stored objects are encrypted with."""

from __future__ import annotations

import os
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli import late
from everloop.cli.call import Call, command
from everloop.core.clock import SystemClock
from everloop.core.errors import Conflict, Invalid, InvalidSettings

from .group import app

if TYPE_CHECKING:
    from everloop.adapters.blobs.keys import Keyring
    from everloop.flows.project import Project
    from everloop.settings import Settings

_LOCK = "storage/keys"


class Action(StrEnum):
    list = "list"
    new = "new"
    add = "add"
    drop = "drop"
    accept = "accept"


@command(app)
def keys(
    call: Call,
    action: Annotated[
        Action,
        typer.Argument(
            help="Show the keys, make a first one, add or drop one, or accept plain objects again."
        ),
    ] = Action.list,
    key: Annotated[
        str | None,
        typer.Argument(metavar="KEY", help="For drop: a key's id, or 'plain'. For accept: 'plain'."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="For new: the key file [storage.encryption.key_file].")
    ] = None,
    count: Annotated[bool, typer.Option("--count", help="For list: how many objects need each key.")] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="For new: also where the keys of stored objects are lost. For drop plain: also where plain "
            "objects are left.",
        ),
    ] = False,
) -> None:
    """The keys that stored objects are encrypted with: the newest encrypts, all decrypt.

    A key file is never overwritten, and a key that an object needs is not dropped. 'plain' stands for
    objects that are not encrypted: dropped, they are refused, until 'accept plain' lets them in again.

    \b
    Example:
      everloop data keys new --file ~/.config/everloop/keys.json
      everloop data keys add
      everloop data rekey
      everloop data keys drop 3fkq7a2m
    """
    if (action in (Action.drop, Action.accept)) != (key is not None):
        raise Invalid(
            "'drop' takes the id of a key, 'accept' takes 'plain', and the others take none.",
            remedy="everloop data keys shows the ids.",
        )
    if action is Action.accept and key != late.keys.PLAIN:
        raise Invalid(f"'{key}' cannot be accepted.", remedy="everloop data keys accept plain")
    if action is Action.new:
        _new(call, file, force=force)
        return
    settings = _encrypted(call)
    if action is Action.list:
        _list(call, settings, count=count)
        return
    with call.project() as project, project.locks.hold(_LOCK):
        ring = late.keys.ring_of(settings)
        if key is None:
            changed, said = ring.with_new(project.clock.now()), "added, and encrypts from now on"
        elif action is Action.accept:
            changed, said = replace(ring, plain=True), "accepted again"
        else:
            changed, said = ring.without(key), "dropped"
            if not (force and key == late.keys.PLAIN):
                _refuse_needed(project, key)
        _keep(call, settings, changed, f"{key or changed.newest.id} {said}")


@command(app)
def rekey(call: Call) -> None:
    """Encrypt with the newest key what is stored with an older one or not encrypted.

    What is done stays done: interrupted, the next call goes on from there. At the end nothing of this tenant
    is plain, and plain objects are refused from then on.

    \b
    Example:
      everloop data keys add
      everloop data rekey
    """
    settings = _encrypted(call)
    with call.project() as project, project.locks.hold(_LOCK):
        stores = late.wiring.open_encrypted(settings)
        with late.progress.counted("encrypt", quiet=call.quiet or call.json) as tell:
            done = late.rekeying.rekey(stores, f"{project.tenant}/", tell)
        if done.damaged:
            raise done.damaged[0]
        ring = late.keys.ring_of(settings)
        others = late.rekeying.beside(stores, project.tenant) if ring.plain else []
        sealed = ring.plain and not others and settings.storage.encryption.key_file is not None
        if sealed:
            late.keys.write_keys(late.keys.key_file(settings), ring.without(late.keys.PLAIN))
    document = {"resealed": done.resealed, "kept": done.kept, "key": ring.newest.id, "plain_refused": sealed}

    def show() -> None:
        late.output.line(f"{done.resealed:,} encrypted with {ring.newest.id}, {done.kept:,} were so already.")
        if sealed:
            late.output.line("Objects that are not encrypted are refused from now on.")
        elif ring.plain:
            beside = f" Beside this tenant there is: {', '.join(others)}." if others else ""
            late.output.line(f"Objects that are not encrypted are still accepted.{beside}")
            late.output.line("When all tenants are done: everloop data keys drop plain")

    call.answer(document, show)


def _new(call: Call, file: Path | None, *, force: bool) -> None:
    settings = call.settings()
    chosen = settings.storage.encryption
    path = Path(os.path.normpath(Path.cwd() / file.expanduser())) if file else None
    if path is None and chosen.key_file is not None:
        path = late.keys.key_file(settings)
    if path is None and chosen.key_variable is None:
        raise InvalidSettings(
            "It is not said where the key goes.", remedy="Give --file, or set storage.encryption.key_file."
        )
    ring = late.keys.Keyring((late.keys.new_key(SystemClock().now()),), late.wiring.holds_objects(settings))
    in_use = chosen.wanted and (path is None or path == late.keys.key_file(settings))
    if in_use and not force and not (path and path.exists()):
        _refuse_lost(settings, ring)
    if path is not None:
        late.keys.write_keys(path, ring, new=True)
    document = {"key": ring.newest.id, "file": path, "plain": ring.plain}

    def show() -> None:
        if path is None:
            late.output.line(late.keys.to_text(ring).strip())
            return
        out = late.output
        out.line(f"Key {ring.newest.id} written to {path}. Keep a copy elsewhere: without it all is lost.")
        if chosen.key_file is None:
            out.line(f"Now set storage.encryption.key_file: {path}")
        if ring.plain:
            out.line("Then encrypt what is stored already: everloop data rekey")

    call.answer(document if path else {**document, "keys": late.keys.to_text(ring)}, show)


def _refuse_lost(settings: Settings, ring: Keyring) -> None:
    """New keys in the place of those that stored objects need would only hide that these are lost."""
    lost = late.rekeying.lost(late.wiring.open_encrypted(settings, ring))
    if lost:
        names = ", ".join(f"'{name}'" for name in lost)
        raise Conflict(
            f"{lost.total():,} stored objects are encrypted with {names}, and no new key can read them.",
            remedy="Restore the keys from where you keep a copy. If they are lost for good, --force makes "
            "new ones for what comes from now on.",
        )


def _list(call: Call, settings: Settings, *, count: bool) -> None:
    ring = late.keys.ring_of(settings)
    counts = late.rekeying.needed(late.wiring.open_encrypted(settings)) if count else {}
    found = [
        {
            "key": each.id,
            "created": each.created,
            "use": "encrypts and decrypts" if each is ring.newest else "decrypts",
            "objects": counts.get(each.id, 0) if count else None,
        }
        for each in ring.keys
    ]
    if ring.plain:
        objects = counts.get(late.keys.PLAIN, 0) if count else None
        use = "not encrypted, accepted"
        found.append({"key": late.keys.PLAIN, "created": None, "use": use, "objects": objects})
    rows = [tuple(one.values()) for one in found]
    names = ("key", "made (UTC)", "use", "objects")
    call.answer({"keys": found}, lambda: late.output.table(names, rows, right=("objects",)))


def _refuse_needed(project: Project, key: str) -> None:
    """A key may be needed by any tenant's objects."""
    found = late.rekeying.needing(late.wiring.open_encrypted(project.settings), key)
    if found:
        tenants = sorted(found)
        first = " and ".join(f"'everloop --tenant {tenant} data rekey'" for tenant in tenants)
        unless = ", or say --force: they are refused then" if key == late.keys.PLAIN else ""
        raise Conflict(
            f"{found.total():,} objects need '{key}', of {', '.join(tenants)}.",
            remedy=f"Run {first} first{unless}.",
        )


def _keep(call: Call, settings: Settings, ring: Keyring, said: str) -> None:
    """Write the changed ring to its file, or show it where it comes from a variable."""
    variable = settings.storage.encryption.key_variable
    document: dict[str, object] = {"keys": ring.ids}
    if variable is None:
        late.keys.write_keys(late.keys.key_file(settings), ring)
        call.answer(document, lambda: late.output.line(f"{said}."))
    else:
        text = late.keys.to_text(ring).strip()
        call.note(f"{said}, once {variable} is set to this:")
        call.answer({**document, "text": text}, lambda: late.output.line(text))


def _encrypted(call: Call) -> Settings:
    settings = call.settings()
    if not settings.storage.encryption.wanted:
        raise InvalidSettings(
            "Stored objects are not encrypted here.",
            remedy="Make a key (everloop data keys new --file FILE) and set storage.encryption.key_file.",
        )
    return settings
