"""The command ``tracker artifact``: put, get, list, alias, delete and verify artifacts."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from tracker.cli.output import as_size, as_table, as_time
from tracker.cli.server import add_action, add_store, store_of
from tracker.errors import ArtifactError, UsageError
from tracker.ground.settings import load_settings
from tracker.util import make_artifact_name_safe

if TYPE_CHECKING:
    from tracker.api.api import Api
    from tracker.artifacts.artifact import Artifact
    from tracker.ground.read_models import ArtifactInfo, CollectionInfo

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_NAME = "[[ENTITY/]PROJECT/]NAME"


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    artifact = commands.add_parser("artifact", help="put, get, list, alias, delete and verify artifacts")
    add_store(artifact)
    actions = artifact.add_subparsers(dest="action", required=True, metavar="ACTION")
    put = add_action(actions, "put", _put, "log files and folders as a new version, and print its name")
    put.add_argument(
        "words",
        nargs="+",
        metavar="NAME PATH",
        help=f"{_NAME}, then files, folders, or addresses such as s3://...; "
        "or one PATH, whose last part is the name",
    )
    put.add_argument("-n", "--name", default=None, help=f"{_NAME}; all arguments are then paths")
    put.add_argument(
        "-t", "--type", default="dataset", help="type of the artifact, such as model (default: dataset)"
    )
    put.add_argument(
        "-a", "--alias", action="append", default=[], metavar="A", help="an alias; can be repeated"
    )
    put.add_argument("--project", default=None, help="the project (default: from the settings)")
    put.add_argument("-d", "--description", default=None, help="description of the version")
    put.add_argument("--id", default=None, help="id of the run that logs the artifact (default: a new run)")
    put.add_argument("--policy", choices=("mutable", "immutable"), help=argparse.SUPPRESS)
    put.add_argument("--skip_cache", action="store_true", help=argparse.SUPPRESS)
    get = add_action(actions, "get", _get, "download a version, and print the folder that contains it")
    get.add_argument(
        "name", metavar="NAME[:REF]", help=f"{_NAME}[:VERSION, ALIAS or DIGEST] (default: latest)"
    )
    get.add_argument(
        "--root", default=None, metavar="DIR", help="folder to write to (default: ./artifacts/NAME:vN)"
    )
    get.add_argument("--type", default=None, help="fail if the artifact has another type")
    cache = add_action(actions, "cache", _clean_cache, "do nothing: tracker has no cache to clean")
    cache.add_argument("what", choices=("cleanup",), metavar="cleanup")
    cache.add_argument("size", nargs="?", metavar="SIZE", help="ignored")
    cache.add_argument("--remove-temp", action="store_true", help=argparse.SUPPRESS)
    ls = add_action(actions, "ls", _list, "list collections, or the versions of one collection")
    ls.add_argument("what", nargs="?", default=None, metavar="WHAT", help=f"[ENTITY/]PROJECT, or {_NAME}")
    ls.add_argument("-t", "--type", default=None, help="list only artifacts of this type")
    ls.add_argument("--json", action="store_true", help="print the list as JSON")
    alias = add_action(actions, "alias", _alias, "move aliases to a version, or remove them from it")
    alias.add_argument("name", metavar="NAME:REF", help=f"{_NAME}:VERSION, ALIAS or DIGEST")
    alias.add_argument("aliases", nargs="+", metavar="ALIAS", help="an alias to move or remove")
    alias.add_argument("--remove", action="store_true", help="remove the aliases from the version")
    rm = add_action(actions, "rm", _remove, "delete a version; `tracker gc` then frees its files")
    rm.add_argument("name", metavar="NAME:REF", help=f"{_NAME}:VERSION, ALIAS or DIGEST")
    rm.add_argument(
        "--aliases", action="store_true", help="delete the version even if it has aliases other than latest"
    )
    verify = add_action(
        actions, "verify", _verify, "check stored files; exit with 1 if a file is missing or damaged"
    )
    verify.add_argument(
        "name",
        nargs="?",
        default=None,
        metavar="NAME[:REF]",
        help="one version, or all versions of a collection (default: all versions of the store)",
    )


def _put(options: argparse.Namespace) -> None:
    import tracker
    from tracker.artifacts.artifact_name import parse_reference

    given = load_settings(project=options.project)
    named, paths = _name_and_paths(options)
    entity, project, name, _reference = parse_reference(named, given.entity, given.project)
    if ":" in named:
        raise UsageError(f"Invalid artifact name {named!r}. Leave out the version: tracker assigns it.")
    with _errors_of_tracker():
        artifact = tracker.Artifact(name, options.type, description=options.description)
        run = tracker.init(
            entity=entity,
            project=project,
            job_type="put",
            id=options.id,
            resume="allow",
            settings={"store": store_of(options), "silent": True},
        )
        with run:
            for path in paths:
                _add(artifact, path, alone=len(paths) == 1)
            run.log_artifact(artifact, aliases=options.alias or None)
            artifact.wait()
    print(artifact.qualified_name)


def _name_and_paths(options: argparse.Namespace) -> tuple[str, list[str]]:
    """Return the name and the paths of ``NAME PATH...`` or of wandb's form ``PATH [--name NAME]``."""
    words: list[str] = options.words
    if options.name is not None:
        return options.name, words
    if len(words) > 1:
        return words[0], words[1:]
    name = make_artifact_name_safe(words[0].rstrip("/").rpartition("/")[2])
    if not (os.path.exists(words[0]) or "://" in words[0]):
        raise UsageError(f"File {words[0]!r} does not exist. Give NAME and PATH.")
    return name, words


def _clean_cache(options: argparse.Namespace) -> None:
    print("Nothing to clean: downloads come from the store. `tracker gc` frees unreferenced files.")


def _add(artifact: Artifact, path: str, *, alone: bool) -> None:
    if "://" in path:
        artifact.add_reference(path)
    elif os.path.isdir(path):
        artifact.add_dir(path, None if alone else os.path.basename(os.path.abspath(path)))
    else:
        artifact.add_file(path)


def _get(options: argparse.Namespace) -> None:
    with _errors_of_tracker():
        print(_api(options).artifact(options.name, options.type).download(options.root))


def _list(options: argparse.Namespace) -> None:
    versions, collections = _find(options)
    if options.json:
        print(json.dumps([asdict(each) for each in versions or collections], indent=1, default=str))
    elif versions:
        print(_versions(versions))
    elif collections:
        print(_collections(collections))
    elif options.what is not None:
        raise UsageError(f"No artifact or project {options.what!r} exists in this store, or it is empty.")


def _find(options: argparse.Namespace) -> tuple[list[ArtifactInfo], list[CollectionInfo]]:
    """Return the versions of the named collection; else the collections of the named project."""
    from tracker.artifacts.artifact_name import parse_reference
    from tracker.reading.open_reader import open_reader

    settings = load_settings(store=store_of(options))
    reader = open_reader(settings)
    if options.what is None:
        places = [(project.entity, project.name) for project in reader.projects()]
    else:
        named = parse_reference(options.what, settings.entity, settings.project)
        if versions := reader.artifacts(named.entity, named.project, None, named.name):
            return [each for each in versions if options.type in (None, each.type)], []
        parts = options.what.split("/")
        places = [(parts[0] if len(parts) == 2 else settings.entity, parts[-1])] if len(parts) < 3 else []
    return [], [found for place in places for found in reader.collections(*place, options.type)]


def _versions(versions: list[ArtifactInfo]) -> str:
    rows = [("VERSION", "SIZE", "FILES", "CREATED", "ALIASES")]
    for each in versions:
        created = as_time(each.created_at)
        rows.append(
            (each.version, as_size(each.size), str(each.file_count), created, ", ".join(each.aliases))
        )
    return as_table(rows, right=(1, 2))


def _collections(collections: list[CollectionInfo]) -> str:
    rows = [("NAME", "TYPE", "VERSIONS", "LATEST", "SIZE", "CREATED")]
    for each in collections:
        name = f"{each.entity}/{each.project}/{each.name}"
        size, created = as_size(each.size), as_time(each.updated_at)
        rows.append((name, each.type, str(each.versions), each.latest or "", size, created))
    return as_table(rows, right=(2, 4))


def _alias(options: argparse.Namespace) -> None:
    artifact = _named(options)
    with _errors_of_tracker():
        if "latest" in options.aliases:
            raise UsageError("Alias 'latest' always names the newest version. It cannot be moved or removed.")
        if options.remove:
            for alias in options.aliases:
                if alias not in artifact.aliases:
                    raise UsageError(f"Artifact {artifact.qualified_name} has no alias {alias!r}.")
                artifact.aliases.remove(alias)
        else:
            artifact.aliases += [alias for alias in options.aliases if alias not in artifact.aliases]
        artifact.save()
    print(f"{artifact.qualified_name}  {', '.join(artifact.aliases)}")


def _remove(options: argparse.Namespace) -> None:
    artifact = _named(options)
    held = [alias for alias in artifact.aliases if alias != "latest"]
    if held and not options.aliases:
        raise UsageError(
            f"{artifact.qualified_name} has the aliases {', '.join(held)}. Use --aliases to delete it anyway."
        )
    name, size = artifact.qualified_name, artifact.size
    with _errors_of_tracker():
        artifact.delete(delete_aliases=options.aliases)
    print(f"{name} deleted. `tracker gc` frees those of its {as_size(size)} that nothing else uses.")


def _named(options: argparse.Namespace) -> Artifact:
    if ":" not in options.name:
        raise UsageError(f"{options.name!r} has no version. Use {_NAME}:VERSION, :ALIAS or :DIGEST.")
    return _api(options).artifact(options.name)


def _verify(options: argparse.Namespace) -> None:
    from tracker.artifacts.artifact_name import parse_reference
    from tracker.reading.open_reader import open_to_read
    from tracker.recorder.follow import catch_up
    from tracker.store.blobs.check import Checker
    from tracker.store.queries.artifacts import artifact_detail, list_artifacts, list_places

    settings = load_settings(store=store_of(options))
    store = open_to_read(settings)
    catch_up(store)
    with store.reading() as session:
        versions: list[ArtifactInfo] = []
        if options.name is None:
            for place in list_places(session):
                versions += list_artifacts(session, *place)
        else:
            named = parse_reference(options.name, settings.entity, settings.project)
            if ":" in options.name:
                versions.append(artifact_detail(session, *named))
            else:
                versions += list_artifacts(session, named.entity, named.project, name=named.name)
                if not versions:
                    artifact_detail(session, *named)  # raises the error that lists the existing versions
    checker, wrong = Checker(store.blobs), 0
    for version in versions:
        for fault in checker.check(version.manifest):
            wrong += 1
            name = f"{version.entity}/{version.project}/{version.name}:{version.version}"
            file = fault.path or "the manifest"
            print(f"{name}  {file}: {fault.state} ({store.blobs.path(fault.blob)})")
    result = f"WRONG: {wrong} files are missing or damaged" if wrong else "all files are intact"
    print(f"{len(versions)} versions, {as_size(checker.bytes)} read: {result}")
    store.close()
    if wrong:
        sys.exit(1)


def _api(options: argparse.Namespace) -> Api:
    from tracker.api.api import Api

    return Api({"store": store_of(options)})


@contextmanager
def _errors_of_tracker() -> Iterator[None]:
    """Raise ValueError and OSError again as an ``Error``, which the command prints as one line."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise ArtifactError(str(error)) from error
