"""The query language of runs: what each query becomes, and the position in each error."""

from __future__ import annotations

import math
from typing import Any

import pytest
from builders import ENTITY, PROJECT

from tracker.errors import UsageError
from tracker.store.queries import runs
from tracker.store.queries.query_language import LONGEST_QUERY, conjunction, parse_query
from tracker.store.store import Store


def text(pattern: str) -> dict[str, Any]:
    return {"$or": [{"display_name": {"$regex": f"(?i){pattern}"}}, {"id": {"$regex": f"(?i){pattern}"}}]}


PARSED: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("  \t\n", {}),
    (
        'state:failed tag:best config.lr>0.01 "vit.*sgd"',
        {
            "state": {"$eq": "failed"},
            "tags": {"$eq": "best"},
            "config.lr": {"$gt": 0.01},
            "$and": [text("vit.*sgd")],
        },
    ),
    ("vit.*sgd", text("vit.*sgd")),
    ('"a \\"b\\" \\d\\\\"', text('a "b" \\d\\\\')),
    ("-vit", {"$not": text("vit")}),
    ("NOT NOT vit", {"$not": {"$not": text("vit")}}),
    ("ORder ANDroid", {"$and": [text("ORder"), text("ANDroid")]}),
    ("a OR b AND c", {"$or": [text("a"), {"$and": [text("b"), text("c")]}]}),
    ("(a OR b)c", {"$and": [{"$or": [text("a"), text("b")]}, text("c")]}),
    ("-(state:failed tag:x)", {"$not": {"state": {"$eq": "failed"}, "tags": {"$eq": "x"}}}),
    ("config.lr>0.01 config.lr<=1e-1", {"config.lr": {"$gt": 0.01, "$lte": 0.1}}),
    ("config.lr>1 config.lr>2", {"config.lr": {"$gt": 1}, "$and": [{"config.lr": {"$gt": 2}}]}),
    ("config.lr:>=3 config.lr!=4", {"config.lr": {"$gte": 3, "$ne": 4}}),
    ("tag:a tag:b", {"tags": {"$eq": "a"}, "$and": [{"tags": {"$eq": "b"}}]}),
    (
        "tag:a,b state!=running,failed",
        {"tags": {"$in": ["a", "b"]}, "state": {"$nin": ["running", "failed"]}},
    ),
    (
        'tag:5 name:"x y" group=5',
        {"tags": {"$eq": "5"}, "display_name": {"$eq": "x y"}, "group": {"$eq": "5"}},
    ),
    ("config.a:true config.b==False", {"config.a": {"$eq": True}, "config.b": {"$eq": False}}),
    ('config.a:"true" config.b:"5"', {"config.a": {"$eq": "true"}, "config.b": {"$eq": "5"}}),
    ("config.a:null host:null", {"config.a": {"$eq": None}, "host": {"$eq": None}}),
    (
        "config.a:-3 config.b:+.5 config.c:5.",
        {"config.a": {"$eq": -3}, "config.b": {"$eq": 0.5}, "config.c": {"$eq": 5.0}},
    ),
    ("config.a<inf config.b>-inf", {"config.a": {"$lt": math.inf}, "config.b": {"$gt": -math.inf}}),
    (
        "summary.val/acc>=0.9 summary_metrics.f1<1",
        {"summary.val/acc": {"$gte": 0.9}, "summary_metrics.f1": {"$lt": 1}},
    ),
    ('config."my: key">3 summary.""=1', {"config.my: key": {"$gt": 3}, "summary.": {"$eq": 1}}),
    ("archived:true tag:a", {"archived": {"$eq": True}, "tags": {"$eq": "a"}}),
    (
        "has:config.lr -has:tag",
        {"config.lr": {"$exists": True}, "$and": [{"$not": {"tags": {"$exists": True}}}]},
    ),
    (
        'name~vit host!~"^gpu[0-9]"',
        {"display_name": {"$regex": "(?i)vit"}, "$and": [{"$not": {"host": {"$regex": "(?i)^gpu[0-9]"}}}]},
    ),
    ("created>2026-01-01", {"created_at": {"$gt": "2026-01-01"}}),
    ("created:2026-12-31", {"created_at": {"$gte": "2026-12-31", "$lt": "2027-01-01"}}),
    (
        "updated:2026-12 created<2026",
        {"updated_at": {"$gte": "2026-12-01", "$lt": "2027-01-01"}, "created_at": {"$lt": "2026-01-01"}},
    ),
    ("created!=2026", {"$not": {"created_at": {"$gte": "2026-01-01", "$lt": "2027-01-01"}}}),
    ("created>=2026-01-31T12:00:00Z", {"created_at": {"$gte": "2026-01-31T12:00:00Z"}}),
    ("created>1700000000 duration<60", {"created_at": {"$gt": 1700000000}, "duration": {"$lt": 60}}),
    ("a!b", text("a!b")),
]


@pytest.mark.parametrize(("query", "filters"), PARSED, ids=[query[:40] for query, _ in PARSED])
def test_a_query_becomes_a_filter(query: str, filters: dict[str, Any]) -> None:
    assert parse_query(query).filter == filters


WRONG = [
    ("lr>0.1", 1, "unknown field 'lr': use config.KEY, summary.KEY or one of name, id, state"),
    ("state:failed user:me", 14, "unknown field 'user'"),
    ("http://x", 1, "put a text with operators into double quotes"),
    ("state:", 7, "a value is missing after :"),
    ("config.lr> 3", 11, "a value is missing after >"),
    ("tag:a,", 7, "a value is missing"),
    (":x", 1, "a text or the name of a field is missing"),
    ("has:lr", 5, "unknown field 'lr'"),
    ('ok "open', 4, 'this " is not closed'),
    ("(a b", 1, r"this \( is not closed"),
    ("a)", 2, r"this \) has no \("),
    ("()", 2, "a test is missing"),
    ("a AND", 6, "a test is missing"),
    ("OR a", 1, "a test is missing"),
    ("a OR OR b", 6, "a test is missing"),
    ("-", 2, "a test is missing"),
    ("vit-(s|b)", 5, r"unexpected '\('"),
    ('"a"b', 4, "unexpected 'b'"),
    ("-" * 20 + "a", 17, "nested more than 15 levels"),
    ("(" * 20 + "a", 17, "nested more than 15 levels"),
    ("state:failed config.lr~(a", 24, "a value is missing after ~"),
    # These reach the compiler of filters, which knows the field: the position is that of the test.
    ('state:failed  name~"(a"', 15, "display_name: .* is not a valid RE2 pattern"),
    ('tag:x -"(?=a)"', 8, "not a valid RE2 pattern"),
    ("created>yesterday", 1, "is not a time"),
    ("created:2026-13-40", 1, "is not a time"),
    ("tag>5 state:x", 1, "tags are not compared"),
    ("tag:x duration>long", 7, "duration: can be compared with a number"),
    ("config.a>null", 1, "config.a: can be compared with a number, a string"),
]


@pytest.mark.parametrize(("query", "position", "message"), WRONG, ids=[query[:30] for query, *_ in WRONG])
def test_an_error_has_its_position(store: Store, query: str, position: int, message: str) -> None:
    with store.reading() as session, pytest.raises(UsageError, match=message) as caught:
        runs.list_runs(session, ENTITY, PROJECT, query=query)
    assert str(caught.value).startswith(f"query, character {position}: ")
    assert "\n" not in str(caught.value)


def test_the_largest_query(store: Store) -> None:
    with pytest.raises(UsageError, match="more than 10000 characters"):
        parse_query("a" * (LONGEST_QUERY + 1))
    with pytest.raises(UsageError, match="half a surrogate pair"):
        parse_query("\ud800")
    with store.reading() as session, pytest.raises(UsageError, match="more than 400 conditions"):
        runs.list_runs(session, ENTITY, PROJECT, query="a " * 1000)


SHORT: list[tuple[str, dict[str, Any]]] = [
    ("lr>0.1", {"$or": [{"config.lr": {"$gt": 0.1}}, {"summary.lr": {"$gt": 0.1}}]}),
    ("has:lr", {"$or": [{"config.lr": {"$exists": True}}, {"summary.lr": {"$exists": True}}]}),
    ("lr!=1,2", {"config.lr": {"$nin": [1, 2]}, "summary.lr": {"$nin": [1, 2]}}),
    ("lr:null", {"config.lr": {"$eq": None}, "summary.lr": {"$eq": None}}),
    ("lr!=null", {"$or": [{"config.lr": {"$ne": None}}, {"summary.lr": {"$ne": None}}]}),
    (
        "lr!~x",
        {"$and": [{"$not": {field: {"$regex": "(?i)x"}}} for field in ("config.lr", "summary.lr")]},
    ),
    ("state:failed config.lr:1", {"state": {"$eq": "failed"}, "config.lr": {"$eq": 1}}),
]


@pytest.mark.parametrize(("query", "filters"), SHORT, ids=[query for query, _ in SHORT])
def test_a_short_key_is_a_key_of_the_config_or_the_summary(query: str, filters: dict[str, Any]) -> None:
    parsed = parse_query(query, ("config.", "summary."))
    assert conjunction([parsed.filter]) == conjunction([filters])
    assert parsed.short_keys == ([] if "state" in query else ["lr"])
