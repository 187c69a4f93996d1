"""Attempts to sign in at a provider, which the browser keeps in a cookie until it comes back.

The cookie is signed, so that only an attempt of this server is accepted. A restart of the server ends all
attempts: people start again.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import time

import msgspec

COOKIE = "tracker_sign_in"
# How long a person may take at the provider.
ATTEMPT_SECONDS = 600.0


class Attempt(msgspec.Struct):
    """An attempt to sign in.

    Attributes:
        state: Random value that the provider sends back.
        nonce: Random value that the provider puts into its token.
        verifier: The secret of PKCE.
        next: Path on this server to show afterwards.
        started_at: Time in unix seconds.
        session: SHA-256 of the cookie of a signed-in user who wants to use the provider from now on; None for
            a sign-in.
    """

    state: str
    nonce: str
    verifier: str
    next: str
    started_at: float
    session: str | None = None


_DECODER = msgspec.json.Decoder(Attempt)


class Attempts:
    """Writes and reads cookies of attempts."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def new(self, next_path: str, session: str | None) -> Attempt:
        """Return a new attempt.

        Args:
            next_path: Path on this server to show afterwards.
            session: SHA-256 of the cookie of a signed-in user who wants to use the provider; None for a
                sign-in.
        """
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return Attempt(state, nonce, verifier, next_path, time.time(), session)

    def write(self, attempt: Attempt) -> str:
        """Return the cookie of an attempt."""
        content = base64.urlsafe_b64encode(msgspec.json.encode(attempt)).decode()
        return f"{content}.{self._sign(content)}"

    def read(self, cookie: str, state: str) -> Attempt | None:
        """Return the attempt in a cookie; None if it is not valid, is too old, or has another state.

        Args:
            cookie: The cookie.
            state: The state that the provider has sent back.
        """
        content, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(content).encode()):
            return None
        attempt = _DECODER.decode(base64.urlsafe_b64decode(content))
        in_time = 0 <= time.time() - attempt.started_at < ATTEMPT_SECONDS
        return attempt if in_time and hmac.compare_digest(attempt.state.encode(), state.encode()) else None

    def _sign(self, content: str) -> str:
        return hmac.digest(self._secret, content.encode(), "sha256").hex()
