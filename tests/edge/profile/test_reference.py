"""The table of published measurements: complete, and looked up by nearness."""

import datetime
from urllib.parse import urlsplit

import pytest

from edge.cli.reference_table import describe_references
from edge.profile.reference import DATA, find_references, read_table
from edge.zoo import MODELS

TABLE = read_table()
ROWS = [(source, row) for source in TABLE.source for row in source.rows]


@pytest.mark.parametrize(("source", "row"), ROWS, ids=[f"{source.model}-{row.device}" for source, row in ROWS])
def test_every_row_is_complete(source, row):
    address = urlsplit(source.address)
    assert (address.scheme, bool(address.netloc), " " in source.address) == ("https", True, False)
    assert datetime.date(2018, 1, 1) <= source.date <= datetime.date.today()
    assert source.measured
    assert row.device
    assert row.soc
    assert row.runtime
    assert row.precision
    assert 0 < row.latency_ms < 10_000


def test_the_table_is_small_and_has_nothing_twice():
    keys = [(source.model, source.address, row.device, row.runtime, row.precision, row.unit) for source, row in ROWS]
    assert 10 <= len(keys) == len(set(keys)) <= 60


def test_every_name_in_the_table_is_known():
    assert {source.model for source in TABLE.source} == set(TABLE.model)
    assert {near.published for near in TABLE.near} == set(TABLE.model)
    assert {near.model for near in TABLE.near} <= set(MODELS)
    assert all(near.difference for near in TABLE.near)
    assert len({(near.model, near.published) for near in TABLE.near}) == len(TABLE.near)


def test_github_is_quoted_at_a_commit():
    for source in TABLE.source:
        if "github.com" in source.address:
            assert len(source.address.split("/blob/")[1].split("/")[0]) == 40


def test_the_nearest_comes_first_and_says_how_near_it_is():
    found = find_references("blazepose-full", "executorch-qnn:SM8650").found
    order = [item.nearness for item in found]
    assert order == sorted(order, key=["same", "variant", "part", "task"].index)
    assert (found[0].nearness, found[0].latency_ms, found[0].device) == ("same", 25.0, "Pixel 3")


def test_of_equally_near_sources_that_of_the_targets_unit_comes_first():
    npu = find_references("selfie-segmentation", "onnx-qnn:SM8650").found
    assert (npu[0].unit, npu[0].runtime) == ("npu", "LiteRT")
    cpu = find_references("selfie-segmentation", "litert-cpu").found
    assert (cpu[0].unit, cpu[0].device) == ("cpu", "Pixel 6")


def test_a_name_that_begins_with_a_known_one_is_found():
    assert find_references("blazepose-lite-mine").found == find_references("blazepose-lite").found
    assert find_references("selfie-segmentation-landscape").found != find_references("selfie-segmentation").found


def test_nothing_published_says_so():
    found = find_references("my-tokenizer")
    assert found.found == ()
    (line,) = describe_references(found)
    assert line.startswith("no published figure of 'my-tokenizer'")


def test_a_printed_figure_has_its_address_and_date():
    text = "\n".join(describe_references(find_references("blazepose-heavy", "litert-cpu")))
    assert "53 ms  gpu" in text
    assert "(2021-05-10)" in text
    assert "https://github.com/google/mediapipe/blob/" in text
    undated = "\n".join(describe_references(find_references("lraspp-mobilenet-v3-large")))
    assert "no date, read 2026-11-21" in undated


def test_figures_are_written_as_the_source_writes_them():
    assert "latency_ms = 0.627 }" in DATA.read_text(encoding="utf-8")
