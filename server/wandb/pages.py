"""Pages of lists."""

from __future__ import annotations

from typing import Any

from server.wandb.texts import read_integer


def connection(
    nodes: list[Any], after: str | None = None, first: int | None = None, **_: Any
) -> dict[str, Any]:
    """Return a page of a list in the form of GraphQL.

    Args:
        nodes: The list.
        after: Cursor of the item before the page: its position.
        first: Number of items; None for all.
    """
    begin = read_integer(after, "after", 0) + 1 if after else 0
    end = len(nodes) if first is None else begin + read_integer(first, "first", 0)
    page = nodes[begin:end]
    edges = [{"cursor": str(begin + at), "node": node} for at, node in enumerate(page)]
    last = str(begin + len(page) - 1) if page else after
    return {
        "edges": edges,
        "nodes": page,
        "totalCount": len(nodes),
        "pageInfo": page_info(last, end < len(nodes)),
    }


def page_info(end_cursor: str | None, has_next: bool) -> dict[str, Any]:
    """Return the information about a page in a list."""
    return {"__typename": "PageInfo", "endCursor": end_cursor, "hasNextPage": has_next}
