"""Files in which commands store settings for later scripts: a folder's settings, the server, API keys.

* ``FOLDER/wandb/settings`` contains a folder's mode, project, entity and store. wandb uses the same file.
* ``~/.config/tracker/settings`` contains the server's address. tracker never takes an address from a file of
  wandb: a script must not send data to a host that the user did not name to tracker.
* ``~/.netrc`` (or the file that ``NETRC`` names) contains API keys by host. wandb uses the same file.
* ``~/.config/tracker/own-keys.json`` contains the keys of servers that this user started on this machine.
* ``~/.config/tracker/top.json`` contains the layout of ``tracker top``, for each store and project.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracker.errors import UsageError

FIELDS = ("disabled", "entity", "mode", "project", "store")
_SECTION = "default"
_OWN_KEYS, _LAYOUTS = "own-keys.json", "top.json"
# The largest number of stores and projects whose layout is kept.
_MOST_LAYOUTS = 100


def folder_file(folder: str | os.PathLike[str]) -> Path:
    """Return the path of a folder's settings."""
    return Path(folder) / "wandb" / "settings"


def server_file(variables: Mapping[str, str] | None = None) -> Path:
    """Return the path of the file with the server's address.

    It is in ``TRACKER_CONFIG_DIR``, else in the folder ``tracker`` of ``XDG_CONFIG_HOME`` or ``~/.config``.
    """
    variables = os.environ if variables is None else variables
    if given := variables.get("TRACKER_CONFIG_DIR"):
        return Path(given).expanduser() / "settings"
    base = variables.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return Path(base) / "tracker" / "settings"


def read_folder(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Return a folder's settings, as stored by ``tracker init``, ``tracker offline`` and similar commands."""
    found = {name: value for name, value in _read(folder_file(folder)).items() if name in FIELDS}
    if found.pop("disabled", "").lower() in ("1", "true"):  # older releases of wandb wrote this
        found.setdefault("mode", "disabled")
    return found


def read_server(variables: Mapping[str, str] | None = None) -> str | None:
    """Return the server's address that ``tracker login --host`` stored, or None."""
    return _read(server_file(variables)).get("base_url")


def write(path: Path, changes: Mapping[str, str | None]) -> None:
    """Change settings in one of the files. The value None removes a setting.

    Raises:
        UsageError: The file cannot be written.
    """
    from configparser import ConfigParser

    kept = {**_read(path), **{name: value for name, value in changes.items() if value is not None}}
    parser = ConfigParser(interpolation=None)
    parser[_SECTION] = {name: value for name, value in kept.items() if changes.get(name, value) is not None}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        with temporary.open("w", encoding="utf-8") as file:
            parser.write(file)
        os.replace(temporary, path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def key_of(url: str) -> str | None:
    """Return the API key for a server from ``.netrc``, else from ``own-keys.json``, or None."""
    return _netrc_key_of(url) or _read_json(_OWN_KEYS).get(_netloc(url))


def write_own_key(port: int, key: str) -> None:
    """Store the key of a server that this user started on a port of this machine's loopback interface.

    Raises:
        UsageError: The file cannot be written.
    """
    names = ("127.0.0.1", "localhost", "[::1]")
    _write_json(_OWN_KEYS, {**_read_json(_OWN_KEYS), **{f"{name}:{port}": key for name in names}})


def read_layout(place: str) -> dict[str, Any]:
    """Return the layout of ``tracker top`` for a store and project; an empty one if the file is damaged."""
    found = _read_json(_LAYOUTS).get(place)
    return found if isinstance(found, dict) else {}


def write_layout(place: str, layout: Mapping[str, Any]) -> None:
    """Store the layout of ``tracker top`` for a store and project. The oldest of many are removed.

    Raises:
        UsageError: The file cannot be written.
    """
    others = {name: value for name, value in _read_json(_LAYOUTS).items() if name != place}
    _write_json(_LAYOUTS, dict([*others.items(), (place, layout)][-_MOST_LAYOUTS:]))


def _read_json(name: str) -> dict[str, Any]:
    """Return the content of a JSON file next to ``server_file``; an empty dict if it is damaged."""
    try:
        found = json.loads(server_file().with_name(name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_json(name: str, values: Mapping[str, Any]) -> None:
    path = server_file().with_name(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_private(path, json.dumps(values, indent=1))
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def _write_private(path: Path, text: str) -> None:
    """Replace a file with one that only this user can read."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


def _netloc(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


def _netrc_key_of(url: str) -> str | None:
    path = _netrc()
    if not os.path.isfile(path):  # False too if this user may not enter the folder
        return None
    from netrc import NetrcParseError, netrc
    from urllib.parse import urlsplit

    try:
        found = netrc(str(path)).authenticators(urlsplit(url).netloc)
    except (NetrcParseError, OSError, ValueError):
        return None
    return found[2] if found is not None else None


def write_key(url: str, key: str) -> Path:
    """Store an API key in ``.netrc``, in place of an older key of the same server; return the file's path.

    Raises:
        UsageError: The key is not valid, or the file cannot be written.
    """
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError("Invalid API key: it is empty, or contains a space or a non-ASCII character.")
    from urllib.parse import urlsplit

    path, host = _netrc(), urlsplit(url).netloc
    try:
        old = path.read_text(encoding="utf-8") if path.is_file() else ""
        mine = f"machine {host}\n  login user\n  password {key}\n"
        _write_private(path, _without(old, host) + mine)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    return path


def _without(text: str, host: str) -> str:
    """Return the text of a ``.netrc`` without the entry of a host; other lines stay unchanged."""
    kept, inside = [], False
    for line in text.splitlines():
        words = line.split()
        if words[:1] in (["machine"], ["default"], ["macdef"]):
            inside = words[:2] == ["machine", host]
        if not inside:
            kept.append(line)
    return "".join(f"{line}\n" for line in kept)


def _netrc() -> Path:
    return Path(os.environ.get("NETRC") or "~/.netrc").expanduser()


def _read(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    from configparser import ConfigParser, Error

    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except Error as error:
        raise UsageError(f"cannot read the settings in {path}: {str(error).splitlines()[0]}") from error
    return dict(parser[_SECTION]) if parser.has_section(_SECTION) else {}
