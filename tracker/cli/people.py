"""The commands ``tracker user``, ``member``, ``private``, ``key`` and ``audit``: who may use the server."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tracker.cli.output import as_table, as_time
from tracker.cli.server import add_action, add_store, store_of
from tracker.errors import NotFoundError, UsageError
from tracker.ground.people import ROLES
from tracker.ground.terminal import printable
from tracker.store.objects.layout import Layout

if TYPE_CHECKING:
    from tracker.ground.people import Key, Member, User
    from tracker.store.ingest.people import PeopleChange
    from tracker.store.queries.people import People
    from tracker.store.store import Store

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_DAY = 24 * 3600.0


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    _add_user(commands)
    member = commands.add_parser("member", help="list the roles in an entity or a project, or set one")
    add_store(member)
    member.add_argument(
        "place", nargs="?", metavar="ENTITY[/PROJECT]", help="default: list the roles in all of them"
    )
    member.add_argument("user", nargs="?", metavar="USER", help="the user whose role is set")
    member.add_argument("role", nargs="?", choices=(*ROLES, "none"), metavar="ROLE", help=_ROLE_HELP)
    member.add_argument("--json", action="store_true", help="print the list as JSON")
    member.set_defaults(run=_member)
    private = commands.add_parser("private", help="list private projects, or make a project private")
    add_store(private)
    private.add_argument("place", nargs="?", metavar="ENTITY/PROJECT", help="default: list private projects")
    private.add_argument(
        "state",
        nargs="?",
        choices=("on", "off"),
        metavar="on|off",
        help="on: only members of the project and admins of the entity see it; default: print the state",
    )
    private.set_defaults(run=_private)
    _add_key(commands)
    audit = commands.add_parser("audit", help="list changes and sign-ins, newest first")
    add_store(audit)
    audit.add_argument(
        "--target",
        default="",
        metavar="WHAT",
        help='such as ENTITY/PROJECT, "user NAME" or "key ID"',
    )
    audit.add_argument("--actor", default="", metavar="NAME", help="only changes by this user")
    audit.add_argument("--limit", type=_count, default=100, metavar="N", help="at most N (default: 100)")
    audit.add_argument("--json", action="store_true", help="print the list as JSON")
    audit.set_defaults(run=_audit)


_ROLE_HELP = "viewer (reads), writer (also logs, edits and deletes), admin (also sets roles), or none"


def _add_user(commands: Commands) -> None:
    user = commands.add_parser("user", help="add, list, edit, disable and delete users of the server")
    add_store(user)
    actions = user.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = add_action(actions, "add", _add, "add a user; without a password, `tracker user link` signs it in")
    add.add_argument("--service", action="store_true", help="a program: it has keys and never signs in")
    password = add.add_mutually_exclusive_group()
    password.add_argument("--password", action="store_true", help="ask for a password on the terminal")
    password.add_argument("--password-stdin", action="store_true", help="read the password from stdin")
    _add_own_key(password)
    ls = add_action(actions, "list", _list_users, "list the users")
    ls.add_argument("--json", action="store_true", help="print the list as JSON")
    edit = add_action(actions, "edit", _edit, "change the names, the mail address or the rights of a user")
    add.add_argument("--admin", action="store_true", help="the user administrates the server")
    edit.add_argument(
        "--admin",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether the user administrates the server",
    )
    for parser in (add, edit):
        parser.add_argument("--full-name", metavar="TEXT", help="name to show")
        parser.add_argument("--email", metavar="ADDRESS", help="mail address")
    disable = add_action(actions, "disable", _disable, "take a user's access away; its name and roles stay")
    disable.set_defaults(disabled=True)
    enable = add_action(actions, "enable", _disable, "give a disabled user its access back")
    enable.set_defaults(disabled=False)
    delete = add_action(
        actions, "delete", _delete, "delete a user, its roles and keys; what the user logged stays"
    )
    change = add_action(
        actions, "password", _password, "set a new password, which ends all sessions of the user"
    )
    change.add_argument("--stdin", action="store_true", help="read the password from stdin, not a terminal")
    link = add_action(
        actions,
        "link",
        _link,
        "print a link that signs the user in, once, within 15 minutes",
    )
    for parser in (add, edit, disable, enable, delete, change, link):
        parser.add_argument("name", metavar="NAME", help="name of the user")


def _add_own_key(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--api-key-stdin",
        action="store_true",
        help="read an API key from stdin that the user has already, such as one of wandb in .netrc",
    )


def _add_key(commands: Commands) -> None:
    key = commands.add_parser("key", help="create an API key for the server and print it; list, revoke keys")
    add_store(key)
    key.add_argument("--user", metavar="NAME", help="user of the key (default: a key with all rights)")
    key.add_argument("--name", default="", metavar="TEXT", help="a name for lists")
    key.add_argument("--read-only", action="store_true", help="the key can only read")
    key.add_argument("--project", metavar="ENTITY/PROJECT", help="the only project that the key reaches")
    key.add_argument("--expires-days", type=_days, metavar="N", help="the key is valid for N days")
    _add_own_key(key)
    key.set_defaults(run=_make_key)
    actions = key.add_subparsers(dest="action", required=False, metavar="[ACTION]")
    ls = add_action(actions, "list", _list_keys, "list the keys; a key itself is shown only when it is made")
    ls.add_argument("--json", action="store_true", help="print the list as JSON")
    revoke = add_action(actions, "revoke", _revoke, "revoke a key and the browser sessions that it signed in")
    revoke.add_argument("id", metavar="ID", type=_count, help="number of the key: see `tracker key list`")


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**31:
        raise argparse.ArgumentTypeError(f"Invalid number {text!r}. Use 1 or more.")
    return int(text)


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days < 36_525:
        raise argparse.ArgumentTypeError(f"Invalid number of days {text!r}. Use 1 or more, below 36525.")
    return days


@contextmanager
def _opened(options: argparse.Namespace) -> Iterator[Store]:
    from tracker.recorder.open_store import open_store

    store = open_store(store_of(options), create=False)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _changing(options: argparse.Namespace) -> Iterator[PeopleChange]:
    from tracker.store.ingest.people import COMMAND_LINE, changing_people

    with _opened(options) as store, changing_people(store, COMMAND_LINE) as change:
        yield change


def _people(options: argparse.Namespace) -> People:
    from tracker.store.queries.people import load_people

    with _opened(options) as store, store.reading() as session:
        return load_people(session)


def _user(options: argparse.Namespace) -> User:
    found = _people(options).user(options.name)
    if found is None:
        raise NotFoundError(f"there is no user {options.name!r:.80}")
    return found


def _print_list(
    options: argparse.Namespace,
    found: Sequence[Any],
    header: tuple[str, ...],
    as_row: Callable[[Any], tuple[str, ...]],
) -> None:
    """Print records as a table, or as JSON."""
    if options.json:
        print(json.dumps([asdict(each) for each in found], indent=1))
    else:
        print(as_table([header, *map(as_row, found)]))


def _place(text: str) -> tuple[str, str]:
    """Return the entity and the project of ``ENTITY[/PROJECT]``; the project is empty if there is none."""
    entity, slash, project = text.partition("/")
    if not entity or bool(slash) != bool(project) or "/" in project:
        raise UsageError(f"Invalid place {text!r}. Use ENTITY or ENTITY/PROJECT.")
    return entity, project


def _project(text: str) -> tuple[str, str]:
    entity, project = _place(text)
    if not project:
        raise UsageError(f"Invalid project {text!r}. Use ENTITY/PROJECT.")
    return entity, project


def _new_password(*, from_stdin: bool) -> str:
    """Return the hash of a password that the user types twice, or that a script writes to stdin."""
    try:
        from server.accounts.passwords import hash_password
    except ImportError as error:
        raise UsageError(
            f"The server is not installed: {error}. Run: pip install 'airgap-tracker[server]'"
        ) from error
    if from_stdin:
        return hash_password(sys.stdin.readline().rstrip("\r\n"))
    if not sys.stdin.isatty():
        raise UsageError("There is no terminal to ask for a password. Write it to stdin: see --help.")
    password = getpass.getpass("Password: ")
    if getpass.getpass("The same password again: ") != password:
        raise UsageError("The two passwords differ. Try again.")
    return hash_password(password)


def _add(options: argparse.Namespace) -> None:
    if options.service and (options.password or options.password_stdin):
        raise UsageError("A service has keys and no password. Leave out the password, or --service.")
    password = None
    if options.password or options.password_stdin:
        password = _new_password(from_stdin=options.password_stdin)
    key = sys.stdin.readline().strip() if options.api_key_stdin else None
    with _changing(options) as change:
        change.add_user(
            options.name,
            full_name=options.full_name or "",
            email=options.email or "",
            is_service=options.service,
            is_admin=options.admin,
            password=password,
        )
        if key is not None:
            change.add_key(options.name, name="registered", secret=key)
    print(f"User {options.name} is added.")
    if key is not None:
        print("The key is registered. The wandb client can use it with this server.")
    elif options.service:
        print(f"Create a key: tracker key --user {options.name}")
    elif password is None:
        print(f"Sign in: tracker user link {options.name}")


def _edit(options: argparse.Namespace) -> None:
    given = {"full_name": options.full_name, "email": options.email, "is_admin": options.admin}
    fields = {name: value for name, value in given.items() if value is not None}
    if not fields:
        raise UsageError("Nothing to change. Use --full-name, --email, --admin or --no-admin.")
    with _changing(options) as change:
        change.edit_user(options.name, **fields)
    print(f"User {options.name} is changed.")


def _disable(options: argparse.Namespace) -> None:
    with _changing(options) as change:
        change.edit_user(options.name, disabled=options.disabled)
    print(f"User {options.name} is {'disabled' if options.disabled else 'enabled'}.")


def _delete(options: argparse.Namespace) -> None:
    with _changing(options) as change:
        change.delete_user(options.name)
    print(f"User {options.name} is deleted.")


def _password(options: argparse.Namespace) -> None:
    if _user(options).is_service:
        raise UsageError(f"User {options.name} is a service, which has keys and no password.")
    password = _new_password(from_stdin=options.stdin)
    with _changing(options) as change:
        change.edit_user(options.name, password=password)
    print(f"The password of user {options.name} is changed.")


def _link(options: argparse.Namespace) -> None:
    try:
        from server.sign_in_link import new_link
    except ImportError as error:
        raise UsageError(
            f"The server is not installed: {error}. Run: pip install 'airgap-tracker[server]'"
        ) from error
    user = _user(options)
    if user.is_service:
        raise UsageError(f"User {user.name} is a service. Create a key: tracker key --user {user.name}")
    if user.disabled_at is not None:
        raise UsageError(f"User {user.name} is disabled. Run: tracker user enable {user.name}")
    with _changing(options) as change:
        link = new_link(Layout(store_of(options)), user.name)
        change.note("create_link", f"user {user.name}")
    print(link)


def _list_users(options: argparse.Namespace) -> None:
    def row(user: User) -> tuple[str, ...]:
        kind = "service" if user.is_service else "admin" if user.is_admin else "person"
        state = "disabled" if user.disabled_at is not None else ""
        return (user.name, kind, state, as_time(user.created_at), user.full_name, user.email)

    users = list(_people(options).users.values())
    _print_list(options, users, ("USER", "KIND", "STATE", "ADDED", "FULL NAME", "MAIL"), row)


def _member(options: argparse.Namespace) -> None:
    place = None if options.place is None else _place(options.place)
    if options.user is None or place is None:
        found = _people(options).members()
        if place is not None:  # the roles in the entity are valid in its projects too
            shown = {place, (place[0], "")} if place[1] else None
            found = [
                each
                for each in found
                if each.entity == place[0] and (shown is None or (each.entity, each.project) in shown)
            ]

        def row(member: Member) -> tuple[str, ...]:
            return (member.user, member.role, _name(member.entity, member.project))

        _print_list(options, found, ("USER", "ROLE", "PLACE"), row)
        return
    if options.role is None:
        raise UsageError(f"Role missing. Use {', '.join(ROLES)} or none.")
    role = None if options.role == "none" else options.role
    with _changing(options) as change:
        change.set_role(options.user, *place, role)
    print(
        f"User {options.user} " + (f"is {role} of" if role else "has no role in") + f" {options.place} now."
    )


def _private(options: argparse.Namespace) -> None:
    if options.place is None:
        for entity, project in sorted(_people(options).private):
            print(f"{entity}/{project}")
        return
    place = _project(options.place)
    if options.state is None:
        state = place in _people(options).private
    else:
        state = options.state == "on"
        with _changing(options) as change:
            change.set_private(*place, state)
    seen = "only its members and admins of" if state else "all members of"
    print(f"{options.place} is {'private' if state else 'not private'}: {seen} {place[0]} see it.")


def _make_key(options: argparse.Namespace) -> None:
    only = None if options.project is None else _project(options.project)
    expires_at = None if options.expires_days is None else time.time() + options.expires_days * _DAY
    scope = "read" if options.read_only else "write"
    known = sys.stdin.readline().strip() if options.api_key_stdin else None
    with _changing(options) as change:
        _, key = change.add_key(
            options.user, name=options.name, scope=scope, only=only, expires_at=expires_at, secret=known
        )
    print(key if known is None else "The key is registered.")


def _list_keys(options: argparse.Namespace) -> None:
    def row(key: Key) -> tuple[str, ...]:
        place = "" if key.entity is None else _name(key.entity, key.project or "")
        times = (key.created_at, key.expires_at, key.last_used_at)
        return (str(key.id), key.user or "(all rights)", key.name, key.scope, place, *map(_time, times))

    header = ("ID", "USER", "NAME", "SCOPE", "PROJECT", "CREATED", "EXPIRES", "LAST USED")
    _print_list(options, list(_people(options).keys.values()), header, row)


def _revoke(options: argparse.Namespace) -> None:
    with _changing(options) as change:
        change.revoke_key(options.id)
    print(f"Key {options.id} is revoked.")


def _audit(options: argparse.Namespace) -> None:
    from tracker.store.queries.people import find_audit

    with _opened(options) as store, store.reading() as session:
        found = find_audit(
            session, actor=options.actor, target=options.target, before=None, limit=options.limit, whole=True
        )
    names = ("id", "time", "actor", "address", "action", "target", "detail")
    if options.json:
        print(json.dumps([{name: getattr(each, name) for name in names} for each in found], indent=1))
        return
    rows = [(as_time(each.time), *(printable(getattr(each, name)) for name in names[2:])) for each in found]
    print(as_table([("TIME", "ACTOR", "ADDRESS", "ACTION", "TARGET", "DETAIL"), *rows]))


def _time(at: float | None) -> str:
    return "never" if at is None else as_time(at)


def _name(entity: str, project: str) -> str:
    return f"{entity}/{project}" if project else entity
