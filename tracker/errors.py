"""The error tree: everything tracker raises on purpose, worded for the person who can act.

    Error
    ├── UsageError              a call or an argument that cannot work as written
    │   ├── ArtifactStatusError an artifact is finalized, or not logged yet; also an AttributeError
    │   ├── ApiUsageError       one of Api's; also a CommError and a ValueError, which wandb raises
    │   ├── UnsupportedError    a part of wandb that is not here; also a NotImplementedError
    │   ├── SettingsError       a setting that is not known, or not of this kind; also a ValueError
    │   └── ConfigError         a config value that was changed without leave
    ├── CommError               a server could not be reached, or refused
    │   ├── UnreachableError    nobody answered, or only a proxy in front of it
    │   ├── AuthenticationError the key is missing or wrong
    │   └── ConflictError       the server holds another state than the request assumed
    ├── NotFoundError           no such run, artifact, version or alias
    │   └── ApiNotFoundError    Api found none; also a CommError and a ValueError, which wandb raises
    ├── ArtifactError           an artifact's content cannot be had or has changed
    └── StoreError              the store cannot be opened, read or written
        ├── StoreVersionError   written by a newer tracker
        ├── HeldElsewhereError  another host holds the catalog, or has taken it over
        ├── ReadOnlyError       this process may read the store, and not write to it
        └── JournalError        a journal file could not be read or written

The names of the first five follow wandb's, so that ``except wandb.Error`` keeps working.
"""

from __future__ import annotations

from typing import Any


class Error(Exception):
    """Base of all errors that tracker raises on purpose.

    Args:
        message: What is wrong and what to do.
        context: More about it, by name; kept, not shown, as in wandb.
    """

    def __init__(self, message: str, context: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.context = context


class UsageError(Error):
    """A call or an argument that cannot work as written."""


class ArtifactStatusError(UsageError, AttributeError):
    """An artifact is in the wrong state for what was asked: an AttributeError too, as in wandb."""


class ArtifactFinalizedError(ArtifactStatusError):
    """A file was to be added to an artifact that is finalized."""


class ArtifactNotLoggedError(ArtifactStatusError):
    """Something was asked of an artifact that it has once it is logged."""


class ConfigError(UsageError):
    """A config value was changed without ``allow_val_change=True``."""


class SettingsError(UsageError, ValueError):
    """A setting that does not exist, or a value that it cannot have. wandb raises pydantic's ValueError."""


class CommError(Error):
    """A server could not be reached, or refused the request.

    Args:
        msg: What is wrong and what to do.
        exc: What it came from.
    """

    def __init__(self, msg: str, exc: Exception | None = None) -> None:
        super().__init__(msg)
        self.exc = exc


class UnreachableError(CommError):
    """The server could not be reached: what was asked of it has nothing to do with that."""


class AuthenticationError(CommError):
    """The API key is missing or wrong."""


class ConflictError(CommError):
    """The server holds another state than the request assumed: ask it again."""


class NotFoundError(Error):
    """No such run, artifact, version, alias or file."""


class UnsupportedError(UsageError, NotImplementedError):
    """A part of wandb that is not here; the message names it and the nearest thing that works.

    Args:
        feature: What was asked for, in wandb's words.
        instead: What to do, as a whole clause.
    """

    def __init__(self, feature: str, instead: str) -> None:
        super().__init__(f"{feature} is not supported: {instead}")
        self.feature = feature


class ApiUsageError(UsageError, CommError, ValueError):
    """A call of ``Api`` that cannot work as written: wandb raises ValueError, and makes it CommError."""


class ApiNotFoundError(NotFoundError, CommError, ValueError):
    """``Api`` found no such run, artifact, collection or file: wandb raises CommError or ValueError."""


class ArtifactError(Error):
    """An artifact's content cannot be had, or is not what its manifest says."""


class StoreError(Error):
    """The store cannot be opened, read or written."""


class StoreVersionError(StoreError):
    """The store was written by a newer tracker than this one."""


class HeldElsewhereError(StoreError):
    """Another host holds the store's catalog, or has taken it over: this host must not write it."""


class ReadOnlyError(StoreError):
    """A store that this process may read, and not write to, was to be changed."""


class JournalError(StoreError):
    """A journal file could not be read or written.

    Args:
        operation: What was tried: ``"read"``, ``"write"``, ``"open"``.
        path: The file.
        offset: Byte position at which it happened.
        reason: The operating system's words, or ours.
    """

    def __init__(self, operation: str, path: str, offset: int, reason: str) -> None:
        super().__init__(f"cannot {operation} journal {path} at byte {offset}: {reason}")
        self.operation = operation
        self.path = path
        self.offset = offset
        self.reason = reason
