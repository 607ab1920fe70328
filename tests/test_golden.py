"""Files are what they were: a change on purpose writes ``tests/golden/digests.json`` anew and says so."""

from __future__ import annotations

import json

import pytest
from golden.digests import FILE, both_digests, environment


@pytest.fixture(scope="module")
def digests():
    return both_digests()


def differing(digests, position):
    recorded = json.loads(FILE.read_text())["digests"]
    assert digests.keys() == recorded.keys()
    return [name for name, pair in digests.items() if pair[position] != recorded[name][position]]


def test_structure_of_files(digests):
    assert len(digests) > 150
    assert differing(digests, 0) == []


def test_values_in_files(digests):
    recorded = json.loads(FILE.read_text())["environment"]
    if recorded != environment():
        pytest.skip(f"the last bits of values were recorded on {recorded}")
    assert differing(digests, 1) == []
