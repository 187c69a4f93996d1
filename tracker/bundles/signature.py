"""The check of a detached signature of ``ssh-keygen -Y sign``."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tracker.bundles.manifest import BundleError
from tracker.errors import UsageError

# Keeps a signature that the signer made for another purpose from being valid for a bundle.
NAMESPACE = "tracker-bundle"


def verify_signature(path: Path, signature: Path, allowed_signers: Path) -> str:
    """Check the signature of a bundle, and return the name of its signer.

    Args:
        path: The bundle.
        signature: The file that ``ssh-keygen -Y sign -n tracker-bundle`` wrote.
        allowed_signers: Names and public keys of the signers: see ssh-keygen(1).

    Raises:
        BundleError: The signature is missing or wrong, or its signer is not allowed.
        UsageError: ssh-keygen cannot be run.
    """
    for file in (path, signature, allowed_signers):
        if not file.is_file():
            raise BundleError(f"{file} does not exist, so the signature of {path} cannot be checked")
    common = ("-s", str(signature), "-f", str(allowed_signers))
    names = _run("-Y", "find-principals", *common)
    name = names.stdout.strip().split("\n")[0]
    if names.returncode or not name:
        raise BundleError(f"{path} is not signed by a key in {allowed_signers}")
    with path.open("rb") as opened:
        checked = _run("-Y", "verify", *common, "-I", name, "-n", NAMESPACE, stdin=opened)
    if checked.returncode:
        reason = (checked.stderr or checked.stdout).strip().split("\n")[-1]
        raise BundleError(f"the signature of {path} is wrong: {reason}")
    return name


def _run(*arguments: str, stdin: object = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            ["ssh-keygen", *arguments], stdin=stdin, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise UsageError(f"Cannot run ssh-keygen: {error.strerror}. Install OpenSSH.") from error
