"""References from one artifact to files of others: ``tracker-artifact://ENTITY/PROJECT/NAME:vN/PATH``."""

from __future__ import annotations

from tracker.artifacts.reference_errors import MissingError, changed_error
from tracker.errors import ArtifactError, NotFoundError
from tracker.ground.read_models import ArtifactDetail
from tracker.reading.reader import ArtifactReader
from tracker.store.blobs.manifest import Entry

SCHEME = "tracker-artifact://"


def address_of(qualified_name: str, path: str) -> str:
    """Return the address of a file of a version."""
    return f"{SCHEME}{qualified_name}/{path}"


class ArtifactReferences:
    """Finds the targets of references to other artifacts. Reads the manifest of each version only once.

    Args:
        reader: The reader of the other artifacts.
    """

    def __init__(self, reader: ArtifactReader) -> None:
        self._reader = reader
        self._known: dict[str, tuple[ArtifactDetail, dict[str, Entry]]] = {}

    def find(self, address: str) -> tuple[ArtifactDetail, Entry]:
        """Return the version and the entry of an address. References to further artifacts are followed.

        Raises:
            ArtifactError: The address is invalid, or the references form a circle.
            MissingError: The version or the file does not exist.
        """
        seen: set[str] = set()
        while True:
            seen.add(address)
            version_name, path = _parse(address)
            if version_name not in self._known:
                self._known[version_name] = self._read(version_name)
            version, entries = self._known[version_name]
            entry = entries.get(path)
            if entry is None:
                raise MissingError(f"Artifact {version_name} has no file {path}.")
            if entry.ref is None or not entry.ref.startswith(SCHEME):
                return version, entry
            address = entry.ref
            if address in seen:
                raise ArtifactError(f"The reference {address} points back to itself.")

    def entry_for(self, address: str, name: str | None) -> Entry:
        """Return the entry of a new reference, with the digest of its target.

        Raises:
            MissingError: The version or the file does not exist.
        """
        version, entry = self.find(address)
        named = version.source or f"{version.entity}/{version.project}/{version.name}:{version.version}"
        ref = address_of(named, entry.path)
        return Entry(name or entry.path.rpartition("/")[2], entry.digest, entry.size, ref=ref)

    def resolve(self, entry: Entry) -> tuple[ArtifactDetail, Entry]:
        """Return the version and the entry of the target of a reference.

        Raises:
            MissingError: The target does not exist any more.
            ArtifactError: The target has another digest than the recorded one.
        """
        version, found = self.find(entry.ref or "")
        if found.digest != entry.digest:
            raise changed_error(entry, found.digest)
        return version, found

    def _read(self, version_name: str) -> tuple[ArtifactDetail, dict[str, Entry]]:
        above, _, reference = version_name.partition(":")
        entity, project, name = above.split("/")
        try:
            version = self._reader.artifact(entity, project, name, reference)
            manifest = self._reader.manifest(version)
        except NotFoundError as error:
            raise MissingError(error.message) from error
        return version, {entry.path: entry for entry in manifest.entries}


def _parse(address: str) -> tuple[str, str]:
    parts = address.removeprefix(SCHEME).split("/", 3)
    if len(parts) < 4 or ":" not in parts[2]:
        raise ArtifactError(f"Invalid address {address!r}. Use {SCHEME}entity/project/name:vN/path.")
    return "/".join(parts[:3]), parts[3]
