"""Encryption of bundles with age (https://age-encryption.org), by the package ``pyrage``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tracker.bundles.manifest import BundleError
from tracker.errors import UsageError

_MAGIC = b"age-encryption.org/"


def is_encrypted(path: Path) -> bool:
    """Return whether a file is encrypted with age."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}") from error


def encrypt(plain: Path, target: Path, recipients: Sequence[str]) -> None:
    """Encrypt a file.

    Args:
        plain: The file.
        target: The encrypted file. It must not exist.
        recipients: Public keys: ``age1...``, or the line of an SSH key.

    Raises:
        UsageError: The package is not installed, or a key is invalid.
    """
    pyrage = load()
    keys = [_parse_recipient(pyrage, each) for each in recipients]
    with plain.open("rb") as source, target.open("xb") as file:
        pyrage.encrypt_io(source, file, keys)


def decrypt(encrypted: Path, target: Path, identity: Path) -> None:
    """Decrypt a file.

    Args:
        encrypted: The file.
        target: The decrypted file. It must not exist.
        identity: A file of ``age-keygen``, or a private SSH key without a passphrase.

    Raises:
        UsageError: The package is not installed, or the file of keys has no key.
        BundleError: No key fits, or the file is damaged.
    """
    pyrage = load()
    keys = _read_identities(pyrage, identity)
    with encrypted.open("rb") as source, target.open("xb") as file:
        try:
            pyrage.decrypt_io(source, file, keys)
        except pyrage.DecryptError as error:
            raise BundleError(
                f"{encrypted} cannot be decrypted with the keys in {identity}: {error}"
            ) from error


def load() -> Any:
    """Return the package ``pyrage``.

    Raises:
        UsageError: It is not installed.
    """
    try:
        import pyrage
    except ImportError:
        raise UsageError(
            "Encrypted bundles need the package pyrage. Run: pip install 'airgap-tracker[encryption]'"
        ) from None
    return pyrage


def _parse_recipient(pyrage: Any, text: str) -> Any:
    kind = pyrage.ssh if text.startswith("ssh-") else pyrage.x25519
    try:
        return kind.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise UsageError(
            f"Invalid recipient {text!r}: {error}. Use the public key that age-keygen prints."
        ) from error


def _read_identities(pyrage: Any, path: Path) -> list[Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        if data.startswith(b"-----BEGIN"):
            return [pyrage.ssh.Identity.from_buffer(data)]
        lines = [line.strip() for line in data.decode().splitlines()]
        found = [
            pyrage.x25519.Identity.from_str(line) for line in lines if line.startswith("AGE-SECRET-KEY-")
        ]
    except (pyrage.IdentityError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} has an invalid key: {error}") from error
    if not found:
        raise UsageError(f"{path} has no key. Use the file that age-keygen writes.")
    return found
