"""Routes for the documents of a project: saved views, reports and notes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Header
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from server.answers import DocumentList, Done
from server.dependencies import ReaderDep
from server.responses import ExactJSON
from server.rights import CallerDep, Reader, Writer
from server.routing import api_router
from tracker.errors import UsageError
from tracker.ground.documents import Document

router = api_router(
    prefix="/projects/{entity}/{project}/documents/{kind}", tags=["documents"], dependencies=[Reader]
)

Kind = Literal["views", "reports", "notes"]
IfMatch = Annotated[str | None, Header(description='The `ETag` of the version that was read, such as `"3"`')]


class NewDocument(BaseModel):
    """A new document. ``content`` is an object (views), a list of blocks (reports) or text (notes)."""

    model_config = ConfigDict(extra="forbid")
    name: str
    content: dict[str, Any] | list[Any] | str
    owner: str | None = None


class DocumentChange(BaseModel):
    """A change of a document. A field that is not given stays."""

    model_config = ConfigDict(extra="forbid")
    name: str | None = None
    content: dict[str, Any] | list[Any] | str | None = None


@router.get("", response_model=DocumentList)
def list_documents(reader: ReaderDep, entity: str, project: str, kind: Kind) -> Response:
    """List the documents of a kind without their contents, the last changed first.

    \f
    See ``DocumentReader.documents``.
    """
    return ExactJSON(DocumentList(reader.documents(entity, project, kind)))


@router.post("", response_model=Document, status_code=201, dependencies=[Writer])
def create_document(
    caller: CallerDep, reader: ReaderDep, entity: str, project: str, kind: Kind, body: NewDocument
) -> Response:
    """Create a document. A project has at most 500 of a kind, and one document of notes, with the id `notes`.

    Its owner is the user who sends the request. Only an administrator of the server can name another `owner`.

    \f
    See ``DocumentReader.create_document``.
    """
    owner = None if caller.user is None else caller.user.name
    if caller.rights.is_admin:
        owner = body.owner or owner
    made = reader.create_document(entity, project, kind, body.name, body.content, owner)
    return _answer(made, 201)


@router.get("/{document_id}", response_model=Document)
def get_document(reader: ReaderDep, entity: str, project: str, kind: Kind, document_id: str) -> Response:
    """Return a document. The header `ETag` is its version, for a change.

    \f
    See ``DocumentReader.document``.
    """
    return _answer(reader.document(entity, project, kind, document_id))


@router.patch("/{document_id}", response_model=Document, dependencies=[Writer])
def update_document(
    reader: ReaderDep,
    entity: str,
    project: str,
    kind: Kind,
    document_id: str,
    body: DocumentChange,
    if_match: IfMatch = None,
) -> Response:
    """Change a document. If another editor has changed the version in `If-Match`, the answer is 412.

    \f
    See ``DocumentReader.update_document``.
    """
    version = _version(if_match)
    return _answer(
        reader.update_document(
            entity, project, kind, document_id, version, name=body.name, content=body.content
        )
    )


@router.delete("/{document_id}", response_model=Done, dependencies=[Writer])
def delete_document(
    reader: ReaderDep, entity: str, project: str, kind: Kind, document_id: str, if_match: IfMatch = None
) -> Response:
    """Delete a document. If another editor has changed the version in `If-Match`, the answer is 412.

    \f
    See ``DocumentReader.delete_document``.
    """
    reader.delete_document(entity, project, kind, document_id, _version(if_match))
    return ExactJSON(Done())


def _answer(document: Document, status: int = 200) -> Response:
    return ExactJSON(document, status_code=status, headers={"etag": f'"{document.version}"'})


def _version(if_match: str | None) -> int:
    text = (if_match or "").strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise UsageError(f"Invalid If-Match {if_match!r:.80}. Send the ETag of the version that you changed.")
    return int(text)
