"""The exceptions that tracker raises on purpose.

    Error
    ├── UsageError              a call or an argument is invalid
    │   ├── ArtifactStatusError the artifact is finalized, or is not logged yet; also an AttributeError
    │   ├── ApiUsageError       a call of Api is invalid; also a CommError and a ValueError
    │   ├── UnsupportedError    tracker does not have this feature of wandb; also a NotImplementedError
    │   ├── SettingsError       a setting is unknown, or its value is invalid; also a ValueError
    │   └── ConfigError         a config value was changed without allow_val_change=True
    ├── CommError               the server could not be reached, or refused the request
    │   ├── UnreachableError    no server answered, or only a proxy answered
    │   ├── AuthenticationError the API key is missing or wrong
    │   │   └── ForbiddenError  the caller is known, but may not do this
    │   └── ConflictError       the server's state is not the state that the request expects
    │       └── EditConflictError   another editor has changed the document
    ├── NotFoundError           the run, artifact, version, alias or file does not exist
    │   └── ApiNotFoundError    the same for a call of Api; also a CommError and a ValueError
    ├── ArtifactError           an artifact's content is not available, or has changed
    └── StoreError              the store cannot be opened, read or written
        ├── StoreVersionError   a newer tracker wrote the store
        ├── HeldElsewhereError  another host holds the catalog
        ├── ReadOnlyError       this process has no right to write to the store
        └── JournalError        a journal file could not be read or written

``Error``, ``UsageError``, ``UnsupportedError``, ``CommError`` and ``AuthenticationError`` have wandb's names,
so ``except wandb.Error`` in a script keeps working.
"""

from __future__ import annotations

from typing import Any


class Error(Exception):
    """Base class of all errors that tracker raises on purpose.

    Args:
        message: The problem, and what the user can do.
        context: More details, by name. They are kept in the attribute ``context`` and not shown
            (wandb: ``errors/errors.py``).
    """

    def __init__(self, message: str, context: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.context = context


class UsageError(Error):
    """A call or an argument is invalid."""


class ArtifactStatusError(UsageError, AttributeError):
    """The artifact is in the wrong state for this operation.

    It is also an AttributeError (wandb: ``sdk/artifacts/exceptions.py``).
    """


class ArtifactFinalizedError(ArtifactStatusError):
    """The artifact is finalized: it cannot be changed."""


class ArtifactNotLoggedError(ArtifactStatusError):
    """The operation needs an artifact that is logged."""


class ConfigError(UsageError):
    """A config value was changed without ``allow_val_change=True``."""


class SettingsError(UsageError, ValueError):
    """A setting does not exist, or its value is invalid.

    It is also a ValueError, because wandb raises pydantic's ``ValidationError``.
    """


class CommError(Error):
    """The server could not be reached, or refused the request.

    Args:
        msg: The problem, and what the user can do.
        exc: The exception that caused this one.
    """

    def __init__(self, msg: str, exc: Exception | None = None) -> None:
        super().__init__(msg)
        self.exc = exc


class UnreachableError(CommError):
    """The server could not be reached. The same request can succeed later."""


class AuthenticationError(CommError):
    """The API key is missing or wrong."""


class ForbiddenError(AuthenticationError):
    """The caller is known, but its role or the scope of its key does not allow the request."""


class ConflictError(CommError):
    """The server's state is not the state that the request expects: read the state again."""


class EditConflictError(ConflictError):
    """Another editor has changed the document that the request changes: read the document again."""


class NotFoundError(Error):
    """The run, artifact, version, alias or file does not exist."""


class UnsupportedError(UsageError, NotImplementedError):
    """tracker does not have this feature of wandb. The message names the nearest alternative.

    Args:
        feature: The feature, in wandb's words.
        instead: The alternative, as a whole clause.
    """

    def __init__(self, feature: str, instead: str) -> None:
        super().__init__(f"{feature} is not supported: {instead}")
        self.feature = feature


class ApiUsageError(UsageError, CommError, ValueError):
    """A call of ``Api`` is invalid.

    It is also a ValueError and a CommError, because wandb raises one of the two, depending on the call.
    """


class ApiNotFoundError(NotFoundError, CommError, ValueError):
    """``Api`` did not find the run, artifact, collection or file.

    It is also a ValueError and a CommError, because wandb raises one of the two, depending on the call.
    """


class ArtifactError(Error):
    """An artifact's content is not available, or does not match its manifest."""


class StoreError(Error):
    """The store cannot be opened, read or written."""


class NoStoreError(StoreError):
    """The folder has no store."""


class StoreVersionError(StoreError):
    """A newer version of tracker wrote the store."""


class HeldElsewhereError(StoreError):
    """Another host holds the store's catalog: this host must not write to it."""


class ReadOnlyError(StoreError):
    """The operation changes the store, but this process may only read it."""


class JournalError(StoreError):
    """A journal file could not be read or written.

    Args:
        operation: The operation that failed: ``"open"``, ``"read"``, ``"write"``, ``"sync"`` or ``"decode"``.
        path: The journal file.
        offset: Position of the failure in the file, in bytes.
        reason: The message of the operating system or of tracker.
    """

    def __init__(self, operation: str, path: str, offset: int, reason: str) -> None:
        super().__init__(f"cannot {operation} journal {path} at byte {offset}: {reason}")
        self.operation = operation
        self.path = path
        self.offset = offset
        self.reason = reason
