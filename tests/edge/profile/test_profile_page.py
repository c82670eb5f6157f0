"""profile.html: what it shows, what it escapes, and that it needs nothing else."""

import re
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest

from bench.profile_page import synthetic
from edge.profile.records import Estimate, Ratio
from edge.report.figures import label
from edge.report.profile_page import PAGE, write_profile_page
from edge.report.profile_plots import DRAWN, roofline, thinned
from edge.report.profile_text import modes, ms, verdict_line
from edge.report.profile_timeline import by_type, timeline

change = msgspec.structs.replace
HOSTILE = "<script>alert('$x_1$')</script>&\"\x00\n\ud7ff$"
VOID = {"meta", "link", "br", "img", "input", "hr"}


@pytest.fixture(scope="module")
def profile():
    return synthetic(operators=40, runs=700, launches=6)


@pytest.fixture(scope="module")
def page(profile, tmp_path_factory):
    return write_profile_page(profile, tmp_path_factory.mktemp("page")).read_text()


class Reader(HTMLParser):
    """Collect tags and check that they close."""

    def __init__(self):
        super().__init__()
        self.open, self.scripts, self.attributes = [], 0, []

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        self.scripts += tag == "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(text):
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


def test_the_page_shows_every_part(page, profile):
    for words in (
        "Synthetic phone", "adb:0123456789", "prefix taskset f0", "thermal gate: passed", "6 launches of every variant",
        "executorch-xnnpack@fp32", "2 modes:", "Which is faster", "Every launch", "Under a load that does not end",
        "10 % above the burst from", "Share of time by unit", "Timeline of one inference", "Roofline", "29.9 mJ",
        "Operators, longest first", "XNNPACK", "PSS 39.0 MB", "Times are of the profiler&#39;s own runs.",
        f"Of longer launches {DRAWN} runs are drawn", "GFLOP/s", "features/0/conv2d_0", "native",
    ):  # fmt: skip
        assert words in page, words
    assert page.count('<tr><td class="num">') == 40 + sum(len(variant.launches) for variant in profile.variants)
    for variant in profile.variants:
        assert f'<span class="big">{ms(variant.estimate.median_ms)}</span>' in page


def test_the_page_is_well_formed_and_needs_nothing_else(page):
    found = read(page)
    assert not re.search(r"https?:|//[a-z]|@import|@font-face", re.sub(r"base64,[A-Za-z0-9+/=\s]*", "", page))
    for name, value in found.attributes:
        if name in ("src", "href", "xlink:href", "action", "srcset"):
            assert value.startswith(("#", "data:image/png;base64,"))
    ids = [value for name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    used = {value[1:] for name, value in found.attributes if name == "xlink:href" and value.startswith("#")}
    used |= set(re.findall(r"url\(#([^)]*)\)", page))
    assert used <= set(ids)


def test_colours_follow_the_page(page):
    assert "var(--ink)" in page
    assert "#1d232b;" not in page.split("</style>", 2)[2]
    assert "prefers-color-scheme: dark" in page


def test_hostile_names_stay_text(profile, tmp_path):
    variant = profile.variants[0]
    operators = change(
        variant.operators,
        tool=HOSTILE, remarks=(HOSTILE,),
        peaks=change(variant.operators.peaks, how=HOSTILE, flops_per_s={HOSTILE: 1e9}),
        operators=tuple(change(item, name=HOSTILE, type=HOSTILE, backend=HOSTILE, source=HOSTILE)
                        for item in variant.operators.operators),
    )  # fmt: skip
    variant = change(
        variant, name=HOSTILE, artifact=HOSTILE, model=HOSTILE, problem=HOSTILE, runtime=HOSTILE, operators=operators
    )
    ratio = Ratio(name=HOSTILE, reference=HOSTILE, ratio=None, verdict="unknown", reason=HOSTILE)
    device = change(profile.device, name=HOSTILE, id=HOSTILE, system=HOSTILE)
    bad = change(
        profile, variants=(variant,), ratios=(ratio,), device=device, problem=HOSTILE, gate_reason=HOSTILE, kit=HOSTILE
    )
    text = write_profile_page(bad, tmp_path).read_text()
    assert "<script>alert" not in text
    assert read(text).scripts == 1
    assert "&lt;script&gt;alert" in text


def test_emulated_times_say_so_first(profile, tmp_path):
    variants = tuple(change(variant, emulated=True) for variant in profile.variants)
    text = write_profile_page(change(profile, variants=variants), tmp_path).read_text()
    assert text.index("Emulated: the processor was emulated in software") < text.index("Latency of one inference")
    assert text.count('<div class="failed small">emulated</div>') == 3


def test_a_profile_with_nothing_in_it_is_a_page(profile, tmp_path):
    empty = change(
        profile.variants[1], launches=(), estimate=None, memory=None, problem="the device vanished", sustained=None
    )
    text = write_profile_page(change(profile, variants=(empty,), ratios=()), tmp_path).read_text()
    read(text)
    assert "not measured" in text
    assert "the device vanished" in text
    assert (tmp_path / PAGE).is_file()


def test_long_launches_are_thinned_evenly():
    where, drawn = thinned(np.arange(20_000.0), 500)
    assert (len(drawn), drawn[0], drawn[-1]) == (500, 0.0, 19_999.0)
    assert 0 < where[0] < where[-1] < 1
    assert len(thinned(np.arange(7.0), 500)[1]) == 7


def test_a_timeline_without_beginnings_is_laid_end_to_end(profile):
    found = profile.variants[0].operators
    bare = change(found, operators=tuple(change(item, start_us=None) for item in found.operators))
    shapes = timeline(bare, by_type(bare))
    assert not shapes.placed
    assert [block.x for block in shapes.blocks] == sorted(block.x for block in shapes.blocks)
    assert timeline(found, by_type(found)).placed
    assert timeline(change(found, operators=()), ()).blocks == ()


def test_no_roofline_without_peaks_or_work(profile):
    found = profile.variants[0].operators
    assert roofline("a", change(found, peaks=None)) == ""
    assert roofline("a", change(found, operators=tuple(change(item, flops=None) for item in found.operators))) == ""


@pytest.mark.parametrize(
    ("ratio", "says"),
    [
        (Ratio(name="a", reference="b", ratio=1.32, ci95=(1.28, 1.37), verdict="slower"),
         "a is 1.32× [1.28, 1.37] slower than b"),
        (Ratio(name="a", reference="b", ratio=0.5, ci95=(0.4, 0.8), verdict="faster"),
         "a is 2.00× [1.25, 2.50] faster than b"),
        (Ratio(name="a", reference="b", ratio=1.0, ci95=(0.99, 1.01), verdict="indistinguishable"),
         "a and b cannot be told apart: 1.00× [0.99, 1.01]"),
        (Ratio(name="a", reference="b", ratio=None, verdict="unknown", reason="other threads"),
         "a and b are not compared: other threads"),
    ],
)  # fmt: skip
def test_verdicts_are_sentences(ratio, says):
    assert verdict_line(ratio) == says


def test_words(profile):
    assert [ms(value) for value in (None, 0, 0.00123, 0.0123, 0.8421, 9.114, 12.345, 123.45, 12345.6)] == [
        "–", "0", "0.00123", "0.0123", "0.842", "9.114", "12.35", "123.5", "12346",
    ]  # fmt: skip
    assert modes(profile.variants[0]) == ""
    assert modes(profile.variants[1]).startswith("2 modes: ")
    assert isinstance(profile.variants[1].estimate, Estimate)
    assert label("a\x1b[31m\n" + "b" * 100, 20) == "a·[31m·" + "b" * 12 + "…"
