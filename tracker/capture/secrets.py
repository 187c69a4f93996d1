"""Removal of secrets from stored arguments, addresses and differences.

A secret is recognised by its name (``--api-key X``, ``token=X``, ``{"password": X}``, a variable's name), by
its form (keys of well-known services, ``Bearer X``), or by its place (a password in an address, a value of a
short option that looks like a key). Other secrets are not recognised. ``[hidden]`` replaces each secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

HIDDEN = "[hidden]"
# Last words of the names of secrets. ``--max-tokens`` and ``--token-dim`` do not match.
_WORDS = {
    *("token", "secret", "secrets", "apikey", "pat", "authorization"),
    *("password", "passwords", "passwd", "pwd", "pw", "passphrase", "credential", "credentials"),
}
_KEYS = {"api", "access", "secret", "private", "auth", "license", "encryption", "signing", "account"}
# Variables of a shell that contain folders.
_FOLDERS = ("PWD", "OLDPWD")
# Shorter values of variables are not treated as secrets: their removal would hide half of a text.
_SHORTEST = 8
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_FORMS = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{16,}|sk-[\w-]{16,}"
    r"|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}|wandb_v1_\w{20,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,})"
)
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<who>[^\s/@]+)@")
# In a text: a name, a sign and a value, quoted or not, as in JSON, YAML, a URL query or a shell.
_PAIR = re.compile(
    r"""(?P<quote>["']?)(?P<name>[A-Za-z_][\w.-]*)(?P=quote)(?P<sign>\s*[:=]\s*)"""
    r"""(?P<value>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[^\s,;&"'(){}\[\]]+(?=[\s,;&"'}\])]|\Z))"""
)
# A line of a YAML file, or of a file with environment variables.
_LINE = re.compile(
    r"(?m)^(?P<name>[+ -]?\s*(?:export\s+)?(?:[\w.-]+(?=:)|[A-Z][A-Z0-9_]*(?==)))(?P<sign>:[ \t]+|=)"
    r"(?P<value>[^\s(){}\[\],;]+)[ \t]*$"
)
# Code such as ``token = arguments.token``, and types and constants such as ``password: str = None``.
_IDENTIFIER = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)*")
_CODE = {"str", "bytes", "int", "bool", "float", "any", "none", "null", "true", "false", "optional", "self"}
_HEADER = re.compile(
    r"(?i)\b(?P<name>(?:proxy-)?authorization|x-api-key|cookie)(?P<sign>\s*[:=]\s*)[^\r\n\"']+"
)
_SCHEME = re.compile(r"(?i)\b(?P<scheme>bearer|basic)\s+(?=[^\s\"']*[0-9A-Z])[\w.~+/=-]{6,}")
# ``-p X`` may be a password or a port, and ``-k X`` a key or a number of folds. The value decides.
_SHORT = re.compile(r"-[A-Za-z]")
_LIKE_A_KEY = re.compile(r"(?=\D*\d)(?=[^A-Za-z]*[A-Za-z])[\w+/=-]{16,}|(?=\S*\d)\S*[!@#$%^&*]\S*")
_USER = re.compile(r"(?P<user>[^\s:/]+):[^\s:/]+")
_ASSIGNED = re.compile(r"(?P<name>[A-Za-z_][\w.-]*)(?P<sign>[=:])(?P<value>.+)", re.DOTALL)


def is_secret_name(name: str) -> bool:
    """Return whether a name is that of a secret: ``--hf-token``, ``WANDB_API_KEY``, ``db.password``."""
    words = [word.lower() for word in _PARTS.findall(name)]
    if not words:
        return False
    return words[-1] in _WORDS or (words[-1] == "key" and len(words) > 1 and words[-2] in _KEYS)


def secret_values(environment: Mapping[str, str]) -> list[str]:
    """Return the values of secret environment variables, the longest first."""
    found = {
        value
        for name, value in environment.items()
        if is_secret_name(name) and name not in _FOLDERS and len(value) >= _SHORTEST
    }
    return sorted(found, key=len, reverse=True)


def hide_in_address(text: str) -> str:
    """Return a text without users and passwords in addresses. The ``git`` of ``ssh://git@host`` is kept."""

    def without(found: re.Match[str]) -> str:
        user = found["who"].partition(":")[0]
        ssh = found["scheme"].lower().startswith(("ssh", "git+ssh")) and user
        return f"{found['scheme']}{user}@" if ssh else found["scheme"]

    return _ADDRESS.sub(without, text)


def hide(text: str, values: Iterable[str] = ()) -> str:
    """Return a text without secrets of a known name or form, and without ``values``."""
    for value in values:
        text = text.replace(value, HIDDEN)
    text = _FORMS.sub(HIDDEN, hide_in_address(text))
    text = _HEADER.sub(rf"\g<name>\g<sign>{HIDDEN}", text)
    text = _SCHEME.sub(rf"\g<scheme> {HIDDEN}", text)
    return _PAIR.sub(_without_literal, _LINE.sub(_without_value, text))


def _without_value(found: re.Match[str]) -> str:
    value = found["value"]
    quote = value[0] if value[0] in "\"'" else ""
    if not is_secret_name(found["name"]) or value.strip("\"'") in ("", HIDDEN) or value.lower() in _CODE:
        return found[0]
    return found[0][: -len(value)] + f"{quote}{HIDDEN}{quote}"


def _without_literal(found: re.Match[str]) -> str:
    return found[0] if _IDENTIFIER.fullmatch(found["value"]) else _without_value(found)


def hide_in_arguments(arguments: Iterable[str], values: Iterable[str] = ()) -> list[str]:
    """Return a command's arguments without secrets, also without the values after secret names."""
    found: list[str] = []
    values = list(values)
    behind_secret, option = False, ""
    for argument in arguments:
        assigned = _ASSIGNED.fullmatch(argument.lstrip("-+"))
        if behind_secret and not argument.startswith("-"):
            found.append(HIDDEN)
        elif option in ("-u", "--user") and (user := _USER.fullmatch(argument)):
            found.append(f"{user['user']}:{HIDDEN}")
        elif _SHORT.fullmatch(option) and _LIKE_A_KEY.fullmatch(argument):
            found.append(HIDDEN)
        elif assigned and is_secret_name(assigned["name"]):
            found.append(argument[: len(argument) - len(assigned["value"])] + HIDDEN)
        else:
            found.append(_PAIR.sub(_without_value, hide(argument, values)))
        behind_secret = argument.startswith("-") and assigned is None and is_secret_name(argument)
        option = argument
    return found
