"""The rules of the normal form. Only the values that are listed here are left out or replaced.

* ``_runtime`` and ``_timestamp`` must be numbers, and are left out.
* Run ids of 8 letters and digits, and run names that a client generates, become ``<generated>``. No script
  gives such an id.
* The hash in the name of a media file, and its ``sha256`` and ``size``, must be those of the file, and are
  replaced. The file itself is compared by its content.
* These are replaced too: ids of artifacts that are not logged yet; the random part in the artifact name of a
  table, which a key with characters that artifact names cannot have gets; times in the names of parts of
  incremental tables; addresses in graphs.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from differential.script import plain

# Files that clients write without a call of the script: host facts, console, copies of config and summary.
CAPTURED = (
    "requirements.txt",
    "output.log",
    "config.yaml",
    "wandb-summary.json",
    "wandb-metadata.json",
    "diff.patch",
)
_CLIENT_ID = re.compile(r"^(wandb-client-artifact://)[0-9a-z]+")
_PART_TIME = re.compile(r"(?<=[\de])-\d{13}\.")
_JOINED = re.compile(r"^(t[12])_[0-9a-f]+\.(?=table\.json$)")
_DRAWN = re.compile(r"-[A-Za-z0-9_-]{6}$")
_RUN_ID = re.compile(r"[a-z0-9]{8}")


def row(step: int, values: dict[str, Any]) -> dict[str, Any]:
    """Return a history row with its step first and without times."""
    for name in ("_runtime", "_timestamp"):
        assert isinstance(values.get(name), (int, float)), f"a row without {name}: {values}"
    rest = {key: values[key] for key in sorted(values) if key not in ("_runtime", "_timestamp", "_step")}
    return {"_step": step, **plain(rest)}


def summary(values: dict[str, Any]) -> dict[str, Any]:
    """Return a summary without times and without wandb's internal values."""
    kept = {
        key: value for key, value in sorted(values.items()) if key not in ("_runtime", "_timestamp", "_wandb")
    }
    return plain(kept)


def config(values: dict[str, Any]) -> dict[str, Any]:
    """Return a config without wandb's internal values."""
    return plain({key: value for key, value in sorted(values.items()) if key != "_wandb"})


def run_id(text: str) -> str:
    """Return a run id, or ``<generated>`` if the client generated it."""
    return "<generated>" if _RUN_ID.fullmatch(text) else text


def run(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a run that are not empty."""
    return {name: value for name, value in fields.items() if value not in (None, [], {})}


class Files:
    """The files of one run. They make values that refer to files comparable."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self._contents = {path: content for path, content in contents.items() if path not in CAPTURED}

    def normal(self) -> dict[str, list[Any]]:
        """Return the contents of the files by the pattern of their path, in order of path and content."""
        found: dict[str, list[Any]] = {}
        for path, content in sorted(self._contents.items()):
            found.setdefault(self.pattern(path), []).append(self._inside(path, content))
        return {path: sorted(inside, key=json.dumps) for path, inside in found.items()}

    def pattern(self, path: str) -> str:
        """Return a path with the hash in its name replaced if it is the hash of the file."""
        content = self._contents.get(path)
        if content is None:
            return path
        digest = hashlib.sha256(content).hexdigest()[:20]
        return path.replace(f"_{digest}.", "_<hash>.") if digest in path else path

    def value(self, value: Any) -> Any:
        """Return a value in which references to files are replaced at any depth."""
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, str):
            return _CLIENT_ID.sub(r"\1<id>", _PART_TIME.sub("-<time>.", self.pattern(value)))
        if not isinstance(value, dict):
            return value
        made = {key: self.value(item) for key, item in sorted(value.items())}
        content = self._contents.get(value.get("path")) if isinstance(value.get("path"), str) else None
        if content is not None:
            if made.get("sha256") == hashlib.sha256(content).hexdigest():
                made["sha256"] = "<of the file>"
            if made.get("size") == len(content):
                made["size"] = "<of the file>"
        return made

    def _inside(self, path: str, content: bytes) -> Any:
        ending = Path(path).suffix
        if ending in (".png", ".jpg", ".jpeg", ".bmp", ".gif"):
            return _picture(content)
        if ending == ".json":
            found = json.loads(content)
            if path.startswith("media/graph/"):  # the id of a node is its memory address
                for node in found.get("nodes", ()):
                    node["id"] = "<address>"
            return {"json": plain(self.value(found))}
        if len(content) <= 200:
            try:
                return {"text": content.decode()}
            except UnicodeDecodeError:
                pass
        return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def _picture(content: bytes) -> dict[str, Any]:
    """Return the format, size and pixels of an image, because encoders of a format write different bytes."""
    import io

    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        lossless = image.format in ("PNG", "BMP", "GIF")
        pixels = hashlib.md5(image.convert("RGBA").tobytes()).hexdigest() if lossless else "<lossy>"
        return {"format": image.format, "mode": image.mode, "size": list(image.size), "pixels": pixels}


def artifact_name(name: str, kind: str) -> str:
    """Return the name of an artifact without its random part."""
    if kind == "code":  # wandb finds no program, because the runner is started with -m
        return name.removesuffix("-None") + "-train.py" if name.endswith("-None") else name
    return _DRAWN.sub("-<drawn>", name) if kind == "run_table" else name


def manifest(artifact: dict[str, Any]) -> dict[str, Any]:
    """Return an artifact without times and object ids in entry names; if it had some, also without digest."""
    entries = {
        _JOINED.sub(r"\1_<object>.", _PART_TIME.sub("-<time>.", path)): entry
        for path, entry in sorted(artifact["manifest"].items())
    }
    if entries.keys() == artifact["manifest"].keys():
        return artifact
    for path, entry in entries.items():
        if (
            path.endswith(".joined-table.json") or "-<time>." in path
        ):  # these files contain names of other entries
            entry["digest"] = "<of the names>"
    return {**artifact, "manifest": entries, "digest": "<of the names>"}


def artifacts(logged: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the versions of logged artifacts. An artifact with the newest digest is not a new version."""
    made: list[dict[str, Any]] = []
    for one in logged:
        same = [other for other in made if (other["type"], other["name"]) == (one["type"], one["name"])]
        for other in same:
            other["aliases"] = sorted(set(other["aliases"]) - set(one["aliases"]))
        if same and same[-1]["digest"] == one["digest"]:
            same[-1]["aliases"] = sorted({*same[-1]["aliases"], *one["aliases"]})
        else:
            made.append({**one, "aliases": sorted(one["aliases"])})
    return made
