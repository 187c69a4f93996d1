"""Options of ``tracker server`` for proxies and for signing in through another system.

Each option has an environment variable, which a container or a service file can set.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.errors import UsageError

if TYPE_CHECKING:
    from server.settings import OidcSettings


def add_sign_in_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this module."""
    _add(
        parser,
        "--proxy",
        "ADDRESSES",
        "proxies in front of the server: addresses and networks, separated by commas; only they may name the "
        "address of the client (X-Forwarded-For), the scheme and the user",
    )
    _add(
        parser,
        "--trusted-header",
        "HEADER",
        "header in which the proxies of --proxy name the user whom they have authenticated, for example "
        "X-Remote-User",
    )
    for option, value, text in (
        ("--oidc-issuer", "URL", "provider of OpenID Connect at which people can sign in"),
        ("--oidc-client-id", "ID", "name of this server at the provider"),
        (
            "--oidc-client-secret-file",
            "FILE",
            "file with the secret of this server at the provider; TRACKER_OIDC_CLIENT_SECRET can have the "
            "secret itself",
        ),
        ("--oidc-name", "TEXT", "name of the provider on the sign-in page"),
        (
            "--oidc-user-claim",
            "CLAIM",
            "claim with the name of a new user (default: preferred_username, else email)",
        ),
        (
            "--oidc-admin",
            "CLAIM=VALUE",
            "make users whose claim has this value, or has it in its list, administrators of the server, and "
            "no other users of the provider",
        ),
        ("--oidc-scopes", "SCOPES", 'scopes, separated by spaces (default: "openid profile email")'),
    ):
        _add(parser, option, value, text)


def _add(parser: argparse.ArgumentParser, option: str, value: str, text: str) -> None:
    name = "TRACKER_" + option.removeprefix("--").replace("-", "_").upper()
    parser.add_argument(option, metavar=value, default=os.environ.get(name) or None, help=f"{text} [{name}]")


def sign_in_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of ``ServerSettings`` that the options of this module set.

    Raises:
        UsageError: The options do not fit together, or the file with the secret cannot be read.
    """
    return {"proxies": options.proxy, "trusted_header": options.trusted_header, "oidc": _provider(options)}


def _provider(options: argparse.Namespace) -> OidcSettings | None:
    from server.settings import OidcSettings

    given = {name: value for name, value in vars(options).items() if name.startswith("oidc_") and value}
    if not given:
        return None
    issuer, client_id = given.pop("oidc_issuer", None), given.pop("oidc_client_id", None)
    if issuer is None or client_id is None:
        raise UsageError("Single sign-on needs --oidc-issuer and --oidc-client-id.")
    secret, file = os.environ.get("TRACKER_OIDC_CLIENT_SECRET"), given.pop("oidc_client_secret_file", None)
    if file is not None:
        try:
            secret = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise UsageError(f"Cannot read the file of --oidc-client-secret-file: {error}") from error
    fields = {name.removeprefix("oidc_"): value for name, value in given.items()}
    return OidcSettings(issuer, client_id, secret or None, **fields)
