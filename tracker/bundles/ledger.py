"""Lists of the bundles that a store has sent, and receipts of the bundles that it has imported."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import msgspec

from tracker.bundles.manifest import FORMAT, BundleError, Manifest
from tracker.bundles.receive import Received
from tracker.bundles.store_source import Known
from tracker.errors import StoreError, UsageError
from tracker.ground.filesystems import local_state_places
from tracker.ground.parsed_types import Digest, Time, Token
from tracker.store.objects.atomic_files import make_folder, publish, write_new
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import check_description


class SentBundle(msgspec.Struct, kw_only=True):
    """A bundle that a store has sent.

    Attributes:
        format: Version of the format.
        bundle: Id of the bundle.
        created_at: Unix seconds.
        confirmed_at: When its receipt was confirmed, in unix seconds; None before that.
        segments: The segments that the other side has. Before the receipt these are all in the bundle.
        contents: The same for SHA-256 of contents.
    """

    format: int = FORMAT
    bundle: Token
    created_at: Time
    confirmed_at: Time | None = None
    segments: list[Token]
    contents: list[Digest]


class Receipt(msgspec.Struct, kw_only=True):
    """The part of an imported bundle that is on the disk of a store.

    Attributes:
        format: Version of the format.
        bundle: Id of the bundle.
        from_store: Id of the store from which the bundle was made.
        to_store: Folder of the store that imported the bundle, or address of the server.
        imported_at: Unix seconds.
        complete: Whether everything in the bundle was imported.
        segments: The segments that are on the disk of that store.
        contents: The contents that are there, by SHA-256.
    """

    format: int = FORMAT
    bundle: Token
    from_store: str
    to_store: str
    imported_at: Time
    complete: bool
    segments: list[Token]
    contents: list[Digest]


_encode = msgspec.json.Encoder().encode
_decode_sent = msgspec.json.Decoder(SentBundle).decode
_decode_receipt = msgspec.json.Decoder(Receipt).decode


def ledger_of(root: Path, *, is_copy: bool) -> Layout:
    """Return the folder with the lists of the bundles that were made from a store.

    This is the store. For a store that this process only reads, it is a folder of this user, with the name of
    the id of the store: the bundles of its owner may have gone elsewhere.

    Args:
        root: The store.
        is_copy: Whether this process reads the store through a private copy.

    Raises:
        StoreError: The folder cannot be made.
    """
    store = Layout(root)
    if not is_copy:
        return store
    described = (check_description(store) or {}).get("id", root)
    name = hashlib.sha256(str(described).encode("utf-8", "replace")).hexdigest()[:32]
    ledger = Layout(local_state_places()[0] / "read-only-stores" / name)
    try:
        make_folder(ledger.temporary)
    except OSError as error:
        raise StoreError(
            f"cannot note in {ledger.root} what a bundle contains: {error.strerror or error}. Set "
            "XDG_STATE_HOME to a folder that you may write to"
        ) from error
    return ledger


def read_sent(layout: Layout) -> list[SentBundle]:
    """Return the bundles that a store has sent, the oldest first. Damaged files are ignored."""
    found = []
    for path in layout.list_sent_bundles():
        try:
            found.append(_decode_sent(path.read_bytes()))
        except (msgspec.DecodeError, OSError):
            continue  # the next bundle then contains more than necessary
    return sorted(found, key=lambda each: each.created_at)


def known_to_others(layout: Layout) -> Known:
    """Return what the bundles of a store have brought to the other side."""
    sent = read_sent(layout)
    segments = {segment for each in sent for segment in each.segments}
    contents = {sha256 for each in sent for sha256 in each.contents}
    return Known(segments, contents, [each.bundle for each in sent])


def note_sent(layout: Layout, manifest: Manifest) -> None:
    """Record what a bundle contains."""
    sent = SentBundle(
        bundle=manifest.bundle,
        created_at=manifest.created_at,
        segments=[each.segment for each in manifest.journals],
        contents=[each.sha256 for each in manifest.contents],
    )
    _write(layout, layout.sent_bundle(sent.bundle), sent)


def make_receipt(manifest: Manifest, received: Received, place: str) -> Receipt:
    """Return the receipt of a bundle.

    Args:
        manifest: The manifest of the bundle.
        received: The result of the import.
        place: Where the bundle was imported.
    """
    return Receipt(
        bundle=manifest.bundle,
        from_store=manifest.store,
        to_store=place,
        imported_at=time.time(),
        complete=received.complete,
        segments=received.segments,
        contents=received.contents,
    )


def note_received(layout: Layout, receipt: Receipt) -> None:
    """Keep a receipt in the store that imported the bundle."""
    _write(layout, layout.received_bundle(receipt.bundle), receipt)


def missing_bundles(layout: Layout, manifest: Manifest) -> list[str]:
    """Return the earlier bundles that a bundle builds on and that were not imported into a store."""
    return [bundle for bundle in manifest.after if not layout.received_bundle(bundle).exists()]


def write_receipt(path: Path, receipt: Receipt) -> None:
    """Write a receipt to a file. Replace an existing file."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.unlink(missing_ok=True)
    write_new(temporary, _encode(receipt))
    publish(temporary, path)


def read_receipt(path: Path) -> Receipt:
    """Return the receipt in a file.

    Raises:
        BundleError: The file is not a receipt.
    """
    try:
        return _decode_receipt(path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}") from error
    except msgspec.DecodeError as error:
        raise BundleError(f"{path} is not a receipt of tracker bundle import: {error}") from error


def confirm(layout: Layout, receipt: Receipt, root: Path) -> SentBundle:
    """Record what the other side has of a bundle.

    Args:
        layout: The folder of ``ledger_of``.
        receipt: The receipt.
        root: The store, for the message.

    Raises:
        UsageError: The bundle was not made from this store.
    """
    try:
        sent = _decode_sent(layout.sent_bundle(receipt.bundle).read_bytes())
    except (OSError, msgspec.DecodeError):
        raise UsageError(
            f"Bundle {receipt.bundle} was not made from {root}. Name its store with --store."
        ) from None
    sent.confirmed_at = receipt.imported_at
    sent.segments, sent.contents = receipt.segments, receipt.contents
    _write(layout, layout.sent_bundle(sent.bundle), sent)
    return sent


def _write(layout: Layout, path: Path, value: msgspec.Struct) -> None:
    temporary = layout.new_temporary()
    write_new(temporary, _encode(value))
    publish(temporary, path)
