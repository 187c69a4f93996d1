"""Keeping secrets out of what is stored: arguments, addresses, differences.

What is a secret is told by its name (``--api-key X``, ``token=X``, an environment variable's), by its form
(keys of well known services), or by where it stands (a password in an address). A secret of another kind that
a script names otherwise is not recognised.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

HIDDEN = "[hidden]"
# The last words of a name behind which a secret stands; ``--max-tokens`` and ``--token-dim`` are none.
_WORDS = {
    "token",
    "secret",
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "credential",
    "credentials",
    "apikey",
    "pat",
}
_KEYS = {"api", "access", "secret", "private", "auth", "license", "encryption", "signing", "account"}
# Values of variables that are shorter are taken for no secret: they would hide half of a text.
_SHORTEST = 8
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_FORMS = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{16,}|sk-[\w-]{16,}"
    r"|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}|wandb_v1_\w{20,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,})"
)
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<who>[^\s/@]+)@")
_ASSIGNED = re.compile(r"(?P<name>[A-Za-z_][\w.-]*)(?P<sign>[=:])(?P<value>.+)", re.DOTALL)


def is_secret_name(name: str) -> bool:
    """Whether what bears this name is a secret: ``--hf-token``, ``WANDB_API_KEY``, ``db.password``."""
    words = [word.lower() for word in _PARTS.findall(name)]
    if not words:
        return False
    return words[-1] in _WORDS or (words[-1] == "key" and len(words) > 1 and words[-2] in _KEYS)


def secret_values(environment: Mapping[str, str]) -> list[str]:
    """Return the values of an environment's secret variables, the longest first."""
    found = {value for name, value in environment.items() if is_secret_name(name) and len(value) >= _SHORTEST}
    return sorted(found, key=len, reverse=True)


def hide_in_address(text: str) -> str:
    """Return a text with who and password taken out of addresses; the ``git`` of ``ssh://git@host`` stays."""

    def without(found: re.Match[str]) -> str:
        user = found["who"].partition(":")[0]
        ssh = found["scheme"].lower().startswith(("ssh", "git+ssh")) and user
        return f"{found['scheme']}{user}@" if ssh else found["scheme"]

    return _ADDRESS.sub(without, text)


def hide(text: str, values: Iterable[str] = ()) -> str:
    """Return a text without secrets of known form, passwords in addresses, and these values."""
    for value in values:
        text = text.replace(value, HIDDEN)
    return _FORMS.sub(HIDDEN, hide_in_address(text))


def hide_in_arguments(arguments: Iterable[str], values: Iterable[str] = ()) -> list[str]:
    """Return a command's arguments with what stands behind secret names hidden too."""
    found: list[str] = []
    values = list(values)
    behind_secret = False
    for argument in arguments:
        assigned = _ASSIGNED.fullmatch(argument.lstrip("-+"))
        if behind_secret and not argument.startswith("-"):
            found.append(HIDDEN)
        elif assigned and is_secret_name(assigned["name"]):
            found.append(argument[: len(argument) - len(assigned["value"])] + HIDDEN)
        else:
            found.append(hide(argument, values))
        behind_secret = argument.startswith("-") and assigned is None and is_secret_name(argument)
    return found
