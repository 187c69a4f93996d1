"""Routes of the API. FastAPI's part of a route is built at the first request for it.

FastAPI builds validators for each parameter and each answer of each route, and for an included router a
second time: 6 MB. The functions return finished answers, so only the document needs the types of answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, compile_path
from starlette.types import Receive, Scope, Send

API = "/api/v1"


class Operation(APIRoute):
    """A route that knows its address and methods. The rest is built when it is needed.

    Args:
        path: The address.
        endpoint: The function that answers.
        response_model: The type of the answer, for the OpenAPI document.
        options: The other arguments of ``APIRoute``.
    """

    def __init__(
        self, path: str, endpoint: Callable[..., Any], *, response_model: Any = None, **options: Any
    ) -> None:
        # `super().__init__` would build everything. These are the attributes that finding a route needs.
        self.path = path
        self.path_regex, self.path_format, self.param_convertors = compile_path(path)
        self.endpoint = endpoint
        self.name = endpoint.__name__
        self.methods: set[str] = set(options["methods"])
        self.include_in_schema = options["include_in_schema"]
        self._answer = response_model
        self._options = options

    @cached_property
    def served(self) -> APIRoute:
        """The complete route, without the type of its answer."""
        return APIRoute(self.path, self.endpoint, response_model=None, **self._options)

    def described(self) -> APIRoute:
        """Return the complete route for the OpenAPI document."""
        return APIRoute(self.path, self.endpoint, response_model=self._answer, **self._options)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request.

        Args:
            scope: The request.
            receive: Channel of its body.
            send: Channel of the answer.
        """
        await self.served.handle(scope, receive, send)


def operation_id(route: APIRoute) -> str:
    """Return the id of an operation: the name of its function, which is unique and stays the same."""
    return route.name


def new_router(prefix: str = "", **options: Any) -> APIRouter:
    """Return a router with operations.

    Args:
        prefix: Prefix of the addresses.
        options: The other arguments of ``APIRouter``.
    """
    return APIRouter(
        prefix=prefix, route_class=Operation, generate_unique_id_function=operation_id, **options
    )


def api_router(prefix: str = "", **options: Any) -> APIRouter:
    """Return a router for addresses under ``API``, as ``new_router``."""
    return new_router(API + prefix, **options)


def add_routes(app: FastAPI, router: APIRouter) -> None:
    """Add the routes of a router to an application. ``include_router`` would build each route a second time.

    Args:
        app: The application.
        router: The router.
    """
    app.router.routes.extend(router.routes)


def operations(routes: list[BaseRoute]) -> Iterator[Operation]:
    """Yield the operations of the API among the routes of an application."""
    return (route for route in routes if isinstance(route, Operation))
