"""Checks of names, and generation of new ids and names."""

from __future__ import annotations

import os
import re

from tracker.errors import UsageError

# The path of a run: entity, project, run id.
RunPath = tuple[str, str, str]

_ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_ID_FORBIDDEN = ":;,#?/'\\%"
_PROJECT_FORBIDDEN = "/\\#?%:"
_LONGEST = 128
# Limit of Linux file systems for one part of a path.
LONGEST_PART_BYTES = 255
_ARTIFACT_NAME = re.compile(r"[A-Za-z0-9_.\-]+")
# The end of the name of a table's file.
TABLE_SUFFIX = ".table.json"
_VERSION_LIKE = re.compile(r"v\d+")

_ADJECTIVES = """
    amber autumn bold brave bright brisk calm clear clever cosmic crisp daring deft eager early electric
    fabled fair fleet gentle gilded golden grand happy hidden honest humble keen kind lively lucid lunar
    mellow misty noble olive polar proud quiet rapid rosy royal rustic serene silent silver smooth snowy
    solar sparkling stellar still summer sunny swift tidal vivid warm wild winter wise young zesty
"""
_NOUNS = """
    anchor aspen aurora badger bay beacon birch bird breeze brook canyon cedar cloud comet coral creek dawn
    delta dew dune eagle echo elm ember falcon fern field fjord flame forest fox galaxy glade glacier grove
    harbor hawk heron hill iris island lake lark leaf lynx maple meadow meteor moon moss mountain oak ocean
    orchid otter owl peak pine plain pond prairie rain reef ridge river robin sea shore sky snow spruce star
    stone stream sun surf thunder tide trail tree valley violet wave willow wind wolf wood
"""


def table_copy_path(client_id: str, path: str) -> str:
    """Return where a run has a copy of a table in an artifact, whose cells have media.

    Args:
        client_id: The client's id of the artifact.
        path: Path of the table in the artifact.
    """
    import hashlib  # a logging process starts faster without it

    return f"media/table/{hashlib.sha256(client_id.encode()).hexdigest()[:20]}/{path}"


def is_tag(text: object) -> bool:
    """Return whether ``text`` is a valid tag of an artifact."""
    return isinstance(text, str) and re.fullmatch(r"[-\w]+( +[-\w]+)*", text) is not None


def new_run_id(length: int = 8) -> str:
    """Return a random run id of ``length`` characters of a-z and 0-9."""
    return "".join(_ID_ALPHABET[_random(len(_ID_ALPHABET))] for _ in range(length))


def new_run_name() -> str:
    """Return a display name like ``swift-river-42``."""
    adjectives, nouns = _ADJECTIVES.split(), _NOUNS.split()
    return f"{adjectives[_random(len(adjectives))]}-{nouns[_random(len(nouns))]}-{_random(999) + 1}"


def _random(below: int) -> int:
    # Without `secrets`: it imports hmac and random, which would slow down the start of each logging process.
    return int.from_bytes(os.urandom(8), "little") % below


def check_run_id(run_id: str) -> str:
    """Return a run id, or raise UsageError if it is invalid."""
    if not run_id or not run_id.strip():
        raise UsageError("Run ID cannot be empty. Omit it to get a new one.")
    if found := sorted(set(run_id) & set(_ID_FORBIDDEN)):
        raise UsageError(f"Invalid run ID {run_id!r}: it may not contain {_listed(found)}")
    return _check_length("run ID", run_id)


def check_project(project: str) -> str:
    """Return a project name, or raise UsageError if it is invalid."""
    if not project.strip():
        raise UsageError("Invalid project name: it is empty")
    if found := sorted(set(project) & set(_PROJECT_FORBIDDEN)):
        raise UsageError(
            f"Invalid project name {project!r}: cannot contain {_listed(found)}; use - or _ instead"
        )
    return _check_length("project name", project)


def check_entity(entity: str) -> str:
    """Return an entity name, or raise UsageError if it is invalid."""
    if not entity.strip():
        raise UsageError("Invalid entity name: it is empty")
    if found := sorted(set(entity) & set(_PROJECT_FORBIDDEN)):
        raise UsageError(f"Invalid entity name {entity!r}: cannot contain {_listed(found)}")
    return _check_length("entity name", entity)


def check_artifact_name(name: str) -> str:
    """Return an artifact name, or raise ValueError if it is invalid.

    The rules are wandb's (wandb: ``sdk/artifacts/artifact.py``).
    """
    if not _ARTIFACT_NAME.fullmatch(name) or name in (".", ".."):
        raise ValueError(
            f"Artifact name may only contain alphanumeric characters, dashes, underscores, and dots. "
            f"Invalid name: {name!r}"
        )
    return _check_artifact_length(name)


def check_collection_name(name: str) -> str:
    """Return the name of a collection that versions are linked to, such as ``My Registered Model``.

    Raises:
        ValueError: The name is empty, too long, or contains an invalid character.
    """
    found = sorted(character for character in set(name) if character in "/:" or not character.isprintable())
    if found or not name.strip() or name in (".", ".."):
        wrong = f"it may not contain {_listed(found)!r}" if found else "it is empty or only dots"
        raise ValueError(f"Invalid collection name {name!r}: {wrong}")
    return _check_artifact_length(name)


def _check_artifact_length(name: str) -> str:
    if len(name) > _LONGEST:
        raise ValueError(
            f"Artifact name {name[:20]!r}... has {len(name)} characters; at most {_LONGEST} are allowed"
        )
    return name


def check_alias(alias: str) -> str:
    """Return an alias, or raise ValueError if it is invalid."""
    if not isinstance(alias, str):
        raise ValueError(f"Invalid alias {alias!r}: it must be a string")
    if not alias or "/" in alias or ":" in alias:
        raise ValueError(f"Invalid alias {alias!r}: it may not be empty or contain / or :")
    if _VERSION_LIKE.fullmatch(alias):
        raise ValueError(f"Invalid alias {alias!r}: it looks like a version number")
    return alias


def _check_length(what: str, name: str) -> str:
    if len(name) > _LONGEST:
        raise UsageError(
            f"Invalid {what} {name[:20]!r}...: {len(name)} characters, at most {_LONGEST} are allowed"
        )
    if any(ord(character) < 32 or 0xD800 <= ord(character) < 0xE000 for character in name):
        raise UsageError(f"Invalid {what} {name!r}: it may not contain control characters or lone surrogates")
    return name


def _listed(characters: list[str]) -> str:
    return " ".join(repr(character)[1:-1] if character == "\\" else character for character in characters)


def path_on_disk(path: str) -> str:
    """Return a relative path in which no part is longer than a file system allows: 255 bytes.

    In a longer part, a digest of the whole part replaces the middle; the start and the ending stay.
    """
    if len(path) * 4 <= LONGEST_PART_BYTES:  # a character has at most 4 bytes
        return path
    return "/".join([_part_on_disk(part) for part in path.split("/")])


def _part_on_disk(part: str) -> str:
    encoded = part.encode("utf-8", "surrogateescape")
    if len(encoded) <= LONGEST_PART_BYTES:
        return part
    import hashlib  # imported here, because few names are long enough to need it

    digest = hashlib.sha256(encoded).hexdigest()[:16]
    start = encoded[:180].decode("utf-8", "ignore")
    end = encoded[-40:].decode("utf-8", "ignore")
    return f"{start}~{digest}~{end}"


def safe_artifact_name(name: str) -> str:
    """Return a valid artifact name: invalid characters become ``_``, the middle of a long name ``..``."""
    safe = re.sub(r"[^a-zA-Z0-9_\-.]", "_", name)
    return safe if len(safe) <= 128 else f"{safe[:63]}..{safe[-63:]}"
