"""Opening a store: a new store, simultaneous openings, a store of a newer tracker, a damaged store."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from builders import Writer, apply_all, read_history
from sqlalchemy import Engine, inspect

from tracker.errors import StoreError, StoreVersionError
from tracker.recorder.open_store import open_store
from tracker.store.catalog import database, migrations, sqlite
from tracker.store.catalog.models import Base
from tracker.store.catalog.revision_cache import revision
from tracker.store.objects.layout import FORMAT_VERSION
from tracker.store.store import Store

ROOT = Path(__file__).resolve().parents[2]


def content(folder: Path) -> dict[str, bytes]:
    """Return the files below ``folder``, except leases and temporary files of SQLite."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("catalog.db-") and path.parent.name != "leases"
    }


def test_new_store(tmp_path: Path) -> None:
    store = open_store(tmp_path / "deep" / "new")
    described = json.loads(store.layout.description.read_text())
    assert described["format"] == FORMAT_VERSION
    assert len(described["id"]) == 32
    store.close()
    again = open_store(store.root)
    assert json.loads(store.layout.description.read_text()) == described
    again.close()


def test_a_missing_store_is_only_created_on_request(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no store at .*: log a run there first"):
        open_store(tmp_path / "nowhere", create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("found", [FORMAT_VERSION + 1, "two", None])
def test_newer_format_is_refused_and_nothing_changed(tmp_path: Path, found: object) -> None:
    root = tmp_path / "store"
    root.mkdir()
    (root / "store.json").write_text(json.dumps({"format": found, "id": "x"}))
    with pytest.raises(
        StoreVersionError, match=r"upgrade airgap-tracker to open it. Nothing was changed."
    ) as raised:
        open_store(root)
    assert f"has format {found}, this tracker reads up to {FORMAT_VERSION}" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert [path.name for path in root.iterdir()] == ["store.json"]


def test_newer_catalog_is_refused_and_nothing_changed(store: Store) -> None:
    store.close()
    connection = sqlite3.connect(store.layout.catalog)
    connection.executescript("UPDATE alembic_version SET version_num = '9999'; CREATE TABLE tomorrow (x);")
    connection.close()
    before = content(store.root)
    with pytest.raises(StoreVersionError, match="catalog revision 9999, this tracker knows up to") as raised:
        open_store(store.root)
    assert "\n" not in str(raised.value)
    assert content(store.root) == before


@pytest.mark.parametrize("text", ["", "{", "[1]", '"text"', "\x00\x00"])
def test_damaged_description(tmp_path: Path, text: str) -> None:
    (tmp_path / "store.json").write_text(text)
    with pytest.raises(StoreError, match=r"cannot read .*store.json"):
        open_store(tmp_path)
    assert (tmp_path / "store.json").read_text() == text


def test_a_catalog_that_is_not_a_database_is_an_error(store: Store) -> None:
    store.close()
    store.layout.catalog.write_bytes(b"this is not a database, although it is long" * 100)
    before = content(store.root)
    with pytest.raises(StoreError, match=r"catalog.db: file is not a database"):
        open_store(store.root)
    assert content(store.root) == before


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match=r"cannot use .*file/store as a store: Not a directory"):
        open_store(tmp_path / "file" / "store")


def test_only_the_owner_can_read_a_new_store(tmp_path: Path) -> None:
    open_store(tmp_path / "deep" / "store").close()
    assert (tmp_path / "deep" / "store").stat().st_mode & 0o777 == 0o700


def test_a_store_in_a_folder_of_a_group_and_one_that_exists_keep_their_modes(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2775)
    open_store(shared / "store").close()
    assert (shared / "store").stat().st_mode & 0o055 == 0o055
    made = tmp_path / "made"
    made.mkdir(0o755)
    open_store(made).close()
    assert made.stat().st_mode & 0o777 == 0o755


def test_folder_names_with_special_characters_of_sqlite_urls(tmp_path: Path) -> None:
    root = tmp_path / "a b%20c?mode=ro#größe"
    store = open_store(root)
    Writer(store.layout, "aa" * 16).log({"x": 1})
    apply_all(store)
    assert [row["x"] for row in read_history(store)] == [1]
    store.close()
    assert (root / "catalog.db").is_file()


def test_migrations_create_the_tables_of_the_models(tmp_path: Path) -> None:
    engine = sqlite.open_engine(tmp_path / "migrated.db")
    database._upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_a_new_catalog_equals_a_migrated_catalog(store: Store, tmp_path: Path) -> None:
    migrated = sqlite.open_engine(tmp_path / "migrated.db")
    database._upgrade(migrated)
    assert schema(store._engine) == schema(migrated)
    assert database.revision_of(store._engine) == database.revision_of(migrated) == migrations.REVISION
    migrated.dispose()


def schema(engine: Engine) -> dict[str, Any]:
    """Return the schema of the database, independent of the order of columns."""
    found = inspect(engine)
    return {
        name: {
            "columns": sorted(
                (each["name"], str(each["type"]), each["nullable"], each["primary_key"])
                for each in found.get_columns(name)
            ),
            "primary key": found.get_pk_constraint(name)["constrained_columns"],
            "foreign keys": sorted(
                (each["constrained_columns"], each["referred_table"], each["referred_columns"])
                for each in found.get_foreign_keys(name)
            ),
            "unique": sorted(each["column_names"] for each in found.get_unique_constraints(name)),
            "indexes": sorted(
                (each["name"], each["column_names"], each["unique"]) for each in found.get_indexes(name)
            ),
        }
        for name in found.get_table_names()
    }


def test_revision_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [migrations.REVISION]
    oldest_first = [script.revision for script in scripts.walk_revisions()][::-1]
    assert tuple(oldest_first) == migrations.REVISIONS


def test_several_processes_create_a_store_at_the_same_time(tmp_path: Path) -> None:
    root = tmp_path / "new"
    code = (
        "import sys; from tracker.recorder.open_store import open_store\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "open_store(sys.argv[1]).close()"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(root)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    store = open_store(root, create=False)
    with store.reading() as session:
        assert session.connection().exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    store.close()
    assert list(store.layout.temporary.iterdir()) == []


def test_an_error_rolls_back_a_write(store: Store) -> None:
    with pytest.raises(RuntimeError):
        with store.writing() as session:
            session.connection().exec_driver_sql("INSERT INTO projects VALUES (1, 'e', 'p', 0)")
            raise RuntimeError
    with store.reading() as session:
        assert session.connection().exec_driver_sql("SELECT count(*) FROM projects").scalar() == 0


def test_reader_sees_one_state_while_another_writes(store: Store) -> None:
    count = "SELECT count(*) FROM projects"
    with store.reading() as session:
        assert session.connection().exec_driver_sql(count).scalar() == 0
        with store.writing() as writing:
            writing.connection().exec_driver_sql("INSERT INTO projects VALUES (1, 'e', 'p', 0)")
        assert session.connection().exec_driver_sql(count).scalar() == 0
    with store.reading() as session:
        assert session.connection().exec_driver_sql(count).scalar() == 1


def test_busy_catalog_is_a_store_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.store.catalog.sqlite.BUSY_SECONDS", 0)
    second = open_store(store.root)
    with store.writing() as session:
        session.connection()
        with pytest.raises(StoreError, match="database is locked"):
            with second.writing() as waiting:
                waiting.connection()
    second.close()


def test_statements_of_one_dialect_are_in_one_module() -> None:
    package = Path(database.__file__).parents[2]
    words = r"\bPRAGMA \w|INSERT OR |ON CONFLICT|on_conflict_|\bGLOB '|sqlalchemy\.dialects|exec_driver_sql"
    ours = (path for path in package.rglob("*.py") if path.parent.name != "importing")  # others' databases
    found = [path for path in ours if re.search(words, path.read_text(encoding="utf-8"))]
    assert found == [Path(sqlite.__file__)]


def test_rows_are_read_at_one_moment_and_errors_are_those_of_the_store(store: Store) -> None:
    with store.reading_rows() as rows:
        before = revision(rows)
        Writer(store.layout, "1" * 32, "late")
        apply_all(store)
        assert sqlite.read_rows(rows, "SELECT count(*) FROM runs") == [(0,)]
    with store.reading_rows() as rows:
        assert revision(rows) > before
        assert sqlite.read_rows(rows, "SELECT run_id FROM runs") == [("late",)]
    with sqlite3.connect(store.catalog) as catalog:
        catalog.execute("DROP TABLE run_fields")
    with pytest.raises(StoreError, match="no such table: run_fields"), store.reading_rows() as rows:
        sqlite.read_rows(rows, "SELECT * FROM run_fields")
