"""Signed addresses, which the client uses without its key: each is for one object, and expires."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from server.keys import own_key
from tracker.errors import ForbiddenError
from tracker.store.store import Store

# A client may upload a large artifact for a long time after it has asked for the addresses.
VALID_SECONDS = 24 * 3600.0


class Addresses:
    """Makes and reads signed tokens.

    Args:
        store: The store. Its owner's key signs, so that a token outlives the server process.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._secret = b""

    def sign(self, kind: str, **values: Any) -> str:
        """Return a token.

        Args:
            kind: What it is for: see the routes.
            values: Plain values that the route needs.
        """
        content = json.dumps({"kind": kind, "until": int(time.time() + VALID_SECONDS), **values})
        body = base64.urlsafe_b64encode(content.encode()).rstrip(b"=").decode()
        return f"{body}.{self._signature(body)}"

    def read(self, kind: str, token: str) -> dict[str, Any]:
        """Return the values of a token.

        Raises:
            ForbiddenError: The token was not made by this server, is for something else, or has expired.
        """
        body, _, signature = token.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(body).encode()):
            raise ForbiddenError("This address is not valid.")
        values: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        if values["kind"] != kind:
            raise ForbiddenError("This address is for something else.")
        if values["until"] < time.time():
            raise ForbiddenError("This address has expired. Ask for a new one.")
        return values

    def _signature(self, body: str) -> str:
        if not self._secret:
            self._secret = hashlib.sha256(b"wandb addresses\0" + own_key(self._store).encode()).digest()
        return hmac.new(self._secret, body.encode(), "sha256").hexdigest()
