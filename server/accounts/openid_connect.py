"""The client of a provider of OpenID Connect: authorization code flow with PKCE.

Authlib makes the requests and checks the claims, joserfc the signatures. Both are imported at the first use,
so that a server without a provider does not need them. ``urllib.request`` too: it takes 0.4 MB.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from server.settings import OidcSettings, is_loopback
from tracker.errors import AuthenticationError, UnreachableError, UsageError

TIMEOUT_SECONDS = 10.0
LARGEST_ANSWER = 1024 * 1024
# How long the description of the provider is used before it is fetched again.
DESCRIPTION_SECONDS = 3600.0
# Conversations with the provider at the same time. Each one occupies a thread of the server.
MOST_AT_ONCE = 8
# Signatures with a public key. With a symmetric algorithm or none, the client could forge tokens.
ALGORITHMS = ("RS256", "ES256")
# Difference of the clocks of this server and of the provider.
LEEWAY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Identity:
    """A person, as a provider describes the person.

    Attributes:
        issuer: The provider.
        subject: Identifies the person at the provider; never changes.
        name: Name for the user.
        full_name: Name to show; may be empty.
        email: Mail address; may be empty.
        is_admin: Whether the person administrates the server; None if the provider does not decide this.
    """

    issuer: str
    subject: str
    name: str
    full_name: str
    email: str
    is_admin: bool | None


@dataclass(frozen=True, slots=True)
class Secrets:
    """The random values of one attempt to sign in."""

    state: str
    nonce: str
    verifier: str


class OpenIdProvider:
    """A provider of OpenID Connect. ``problem`` is its last failure, or None.

    Args:
        settings: The settings.

    Raises:
        UsageError: Authlib is not installed.
    """

    def __init__(self, settings: OidcSettings) -> None:
        try:
            import authlib.oidc.core  # noqa: F401
        except ImportError as error:
            raise UsageError(
                f"OpenID Connect is not installed: {error}. Run: pip install 'airgap-tracker[server,sso]'"
            ) from error
        self._settings = settings
        self._description: tuple[float, dict[str, Any]] | None = None
        self._keys: Any = None
        self._turn = threading.BoundedSemaphore(MOST_AT_ONCE)
        self.problem: str | None = None

    def sign_in_url(self, secrets: Secrets, redirect_url: str) -> str:
        """Return the address of the provider at which a person signs in.

        Args:
            secrets: The random values of this attempt.
            redirect_url: Address of this server to which the provider sends the browser back.

        Raises:
            UnreachableError: The provider does not answer as it should.
        """
        from authlib.oauth2 import OAuth2Client

        with _Conversation(self):
            endpoint = self._describe()["authorization_endpoint"]
        client = OAuth2Client(
            None, self._settings.client_id, scope=self._settings.scopes, code_challenge_method="S256"
        )
        url: str = client.create_authorization_url(
            endpoint,
            state=secrets.state,
            code_verifier=secrets.verifier,
            nonce=secrets.nonce,
            redirect_uri=redirect_url,
        )[0]
        return url

    def identity(self, code: str, secrets: Secrets, redirect_url: str) -> Identity:
        """Return the person who has signed in at the provider.

        Args:
            code: The code from the provider. It works once.
            secrets: The random values of this attempt.
            redirect_url: The same address as in ``sign_in_url``.

        Raises:
            UnreachableError: The provider does not answer as it should.
            AuthenticationError: The provider refuses the code, or its answer is not valid for this attempt.
        """
        with _Conversation(self):
            description = self._describe()
            token = self._fetch_token(description, code, secrets, redirect_url)
            claims = self._checked(description, token, secrets.nonce)
            wanted = {"name", "email", *self._settings.user_claims, self._settings.admin_claim or "name"}
            endpoint, access = description.get("userinfo_endpoint"), token.get("access_token")
            if wanted - claims.keys() and endpoint and isinstance(access, str):
                more = _exchange(_safe(endpoint), {"Authorization": f"Bearer {access}"})
                if more.get("sub") != claims["sub"]:
                    raise AuthenticationError("The provider describes another person than the one signed in.")
                claims = {**more, **claims}
        return self._identity(claims)

    def _describe(self) -> dict[str, Any]:
        if self._description is not None and self._description[0] > time.monotonic() - DESCRIPTION_SECONDS:
            return self._description[1]
        issuer = self._settings.issuer
        found = _exchange(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != issuer:
            raise UnreachableError(
                f"The provider at {issuer} has the issuer {found.get('issuer')!r:.200}. "
                "Use the same one for --oidc-issuer."
            )
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            _safe(found.get(name))
        self._description = time.monotonic(), found
        return found

    def _fetch_token(
        self, description: Mapping[str, Any], code: str, secrets: Secrets, redirect_url: str
    ) -> dict[str, Any]:
        from authlib.oauth2 import ClientAuth
        from authlib.oauth2.rfc6749.parameters import prepare_token_request

        body = prepare_token_request(
            "authorization_code", code=code, redirect_uri=redirect_url, code_verifier=secrets.verifier
        )
        methods = description.get("token_endpoint_auth_methods_supported") or ()
        method = "client_secret_post" if "client_secret_post" in methods else "client_secret_basic"
        auth = ClientAuth(
            self._settings.client_id,
            self._settings.client_secret,
            method if self._settings.client_secret else "none",
        )
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        url, headers, body = auth.prepare("POST", description["token_endpoint"], headers, body)
        return _exchange(url, headers, body.encode())

    def _checked(
        self, description: Mapping[str, Any], token: Mapping[str, Any], nonce: str
    ) -> dict[str, Any]:
        """Return the claims of an ID token, after all checks of OpenID Connect Core 3.1.3.7."""
        from authlib.oidc.core import CodeIDToken
        from joserfc.errors import JoseError

        client_id = self._settings.client_id
        options = {
            "iss": {"essential": True, "value": self._settings.issuer},
            "aud": {"essential": True, "value": client_id},
        }
        params = {"nonce": nonce, "client_id": client_id, "access_token": token.get("access_token")}
        try:
            read = self._verified(description, token.get("id_token"))
            claims = CodeIDToken(read.claims, read.header, options, params)
            claims.validate(leeway=LEEWAY_SECONDS)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise AuthenticationError(
                f"The provider has sent a token that is not valid: {str(error) or type(error).__name__}"
            ) from error
        if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
            raise AuthenticationError("The provider has sent a token without a valid subject.")
        return dict(claims)

    def _verified(self, description: Mapping[str, Any], text: Any) -> Any:
        from joserfc import jwt
        from joserfc.errors import BadSignatureError, InvalidKeyIdError
        from joserfc.jwk import KeySet

        if not isinstance(text, str):
            raise ValueError("it has no ID token")
        if self._keys is not None:
            try:
                return jwt.decode(text, self._keys, algorithms=ALGORITHMS)
            except (BadSignatureError, InvalidKeyIdError, ValueError):
                pass  # the provider may have new keys
        found = _exchange(_safe(description["jwks_uri"])).get("keys") or ()
        usable = [key for key in found if key.get("kty") in ("RSA", "EC") and key.get("use") != "enc"]
        self._keys = KeySet.import_key_set({"keys": usable})
        return jwt.decode(text, self._keys, algorithms=ALGORITHMS)

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        settings = self._settings
        used = next((claim for claim in settings.user_claims if claims.get(claim)), None)
        if used is None:
            raise AuthenticationError(
                f"The provider names no {' and no '.join(settings.user_claims)} of you. "
                "An administrator can choose another claim with --oidc-user-claim."
            )
        if used == "email" and claims.get("email_verified") is False:
            raise AuthenticationError("The provider has not verified your mail address.")
        is_admin = None
        if settings.admin_claim is not None:
            found = claims.get(settings.admin_claim)
            is_admin = settings.admin_value in (found if isinstance(found, list) else [found])
        return Identity(
            settings.issuer,
            claims["sub"],
            str(claims[used]),
            _text(claims.get("name")),
            _text(claims.get("email")),
            is_admin,
        )


class _Conversation:
    """Limits the conversations with a provider, and keeps the reason if one fails."""

    def __init__(self, provider: OpenIdProvider) -> None:
        self._provider = provider

    def __enter__(self) -> None:
        if not self._provider._turn.acquire(blocking=False):
            raise UnreachableError("Too many people sign in at the moment. Try again.")

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._provider._turn.release()
        self._provider.problem = error.message if isinstance(error, UnreachableError) else None


def _exchange(
    url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> dict[str, Any]:
    """Send a request to a provider; return its JSON object."""
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

    class NoRedirects(HTTPRedirectHandler):
        def redirect_request(self, *_arguments: Any, **_more: Any) -> None:
            return None

    request = Request(url, body, {"Accept": "application/json", **(headers or {})})
    parts = urlsplit(url)
    host, direct = (
        parts.netloc,
        [ProxyHandler({})] if is_loopback(parts.hostname or "") else [],
    )
    try:
        opener = build_opener(NoRedirects, *direct)
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            found = json.loads(answer.read(LARGEST_ANSWER))
    except HTTPError as error:
        with error:
            code = _oauth_error(error.read(LARGEST_ANSWER))
        if code is not None and body is not None:
            raise AuthenticationError(f"The provider {host} refuses the sign-in: {code}") from error
        raise UnreachableError(f"The provider {host} answers {error.code} {error.reason}.") from error
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        reason = getattr(error, "reason", None) or error
        raise UnreachableError(
            f"Cannot reach the provider {host}: {getattr(reason, 'strerror', None) or reason!s:.200}"
        ) from error
    if not isinstance(found, dict):
        raise UnreachableError(f"The provider {host} does not answer with a JSON object.")
    return found


def _oauth_error(content: bytes) -> str | None:
    """Return the error code in an answer, such as ``invalid_grant``; None if there is none."""
    try:
        found = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) and found.isidentifier() else None


def _safe(url: Any) -> str:
    """Return an address of the provider if it is safe: https, or on this machine."""
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or not (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    ):
        raise UnreachableError(f"The provider names the address {url!r:.200}, which is not https.")
    return str(url)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    return "".join(each for each in text if each.isprintable())[:200]
