"""Several threads decode a type for the first time: without preparation, msgspec reads a null pointer."""

from __future__ import annotations

from pathlib import Path

import pytest
import scripts

# Each child is a process that has not decoded anything yet.
FIRST = """
import hashlib, msgspec, os, sys, threading
from pathlib import Path
from tracker.store.objects.layout import Layout
layout, token = Layout(Path("store")), "a" * 32
def write(path, text):
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path
{setup}
def child():
    barrier = threading.Barrier(6)
    def decode():
        barrier.wait()
        {decode}
    threads = [threading.Thread(target=decode) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
sys.setswitchinterval(1e-6)
for _ in range(40):
    pid = os.fork()
    if pid == 0:
        child()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0, "a thread crashed the process"
"""
STATE = """
from tracker.runstate.fold import SegmentState, pack_state, unpack_state
data = pack_state(SegmentState())
"""
MANIFEST = """
from tracker.store.blobs.manifest import parse_manifest
data = b'{"entries": []}'
name = hashlib.sha256(data).hexdigest()
"""
DRAFT = """
from tracker.store.blobs.drafts import read_draft
write(layout.draft(token) / "draft.json", '{"entries": []}')
"""
FINALIZED = """
from tracker.store.blobs.finalize import read_finalized
write(layout.finalized(token), '{"manifest": "", "digest": "", "size": 0, "file_count": 0}')
"""
PUBLISHED = """
from tracker.store.published.models import PublishedAlias, read_published_model
path = write(layout.root / "alias", '{"format": 1, "alias": "best", "version": 0, "updated_at": 1.0}')
"""
ANSWER = """
from tracker.reading.remote import RunPage
page = {"total": 0, "revision": 0, "runs": []}
"""


@pytest.mark.parametrize(
    ("setup", "decode"),
    [
        pytest.param(STATE, "unpack_state(data)", id="state"),
        pytest.param(MANIFEST, "parse_manifest(data, name)", id="manifest"),
        pytest.param(DRAFT, "read_draft(layout, token)", id="draft"),
        pytest.param(FINALIZED, "read_finalized(layout, token)", id="finalized"),
        pytest.param(PUBLISHED, "read_published_model(path, PublishedAlias)", id="published"),
        pytest.param(ANSWER, "msgspec.convert(page, RunPage)", id="answer"),
    ],
)
def test_several_threads_decode_for_the_first_time(tmp_path: Path, setup: str, decode: str) -> None:
    scripts.run(FIRST.format(setup=setup, decode=decode), tmp_path)
