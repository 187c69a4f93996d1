"""``docs/integrations.md`` names the versions that the suite installs."""

from __future__ import annotations

import re

import scripts

DOCUMENT = (scripts.ROOT / "docs" / "integrations.md").read_text()
REQUIREMENTS = (scripts.ROOT / "tests" / "clients" / "requirements.txt").read_text()


def test_versions_are_those_that_are_installed() -> None:
    installed = dict(re.findall(r"^([\w-]+)==(\S+)$", REQUIREMENTS, flags=re.MULTILINE))
    named = dict(re.findall(r"^\| ([\w-]+) \| ([\d.]+) \|", DOCUMENT, flags=re.MULTILINE))
    assert len(named) > 10
    assert named == {library: installed[library] for library in named}
