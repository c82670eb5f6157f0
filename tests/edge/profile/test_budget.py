"""Budgets: how they are written, and what a profile makes of them."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.profile_page import synthetic
from edge.errors import Refused, UsageError
from edge.profile.budget import FIELDS, Budget, judge, judge_profile, parse_budget

FEW = settings(deadline=None, max_examples=60)
TIMES = [name for name, kind in FIELDS.items() if kind == "time"]
NUMBERS = st.decimals(min_value="0.001", max_value=10**6, places=3, allow_nan=False)


@pytest.fixture(scope="module")
def profile():
    return synthetic(operators=5, runs=40, launches=6)


@FEW
@given(
    st.sampled_from(TIMES), NUMBERS, st.sampled_from(["us", "µs", "μs", "ms", "s"]), st.sampled_from(["", " ", "\t"])
)
def test_a_time_is_read_in_any_unit(field, number, unit, gap):
    found = parse_budget(f"{gap}{field}{gap}<={gap}{number}{gap}{unit}{gap}")
    scale = {"ms": 1.0, "s": 1e3}.get(unit, 1e-3)
    assert found.field == field
    assert found.limit == pytest.approx(float(number) * scale)


@FEW
@given(st.sampled_from(sorted(FIELDS)), NUMBERS)
def test_a_budget_reads_itself(field, number):
    budget = Budget(field, float(number))
    again = parse_budget(str(budget))
    assert again.field == field
    assert again.limit == pytest.approx(budget.limit, rel=1e-9)


@FEW
@given(st.text(max_size=30))
def test_any_other_text_is_refused_with_one_line(text):
    try:
        found = parse_budget(text)
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert found.limit > 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("p90<25ms", "is no budget"),
        ("p90<=25", "p90 has us or µs or ms or s, not 'none'"),
        ("p90<=25MB", "not 'MB'"),
        ("p95<=25ms", "nothing is called 'p95'"),
        ("ratio<=1.05ms", "ratio has no unit"),
        ("median<=0ms", "more than 0"),
        ("median<=٣ms", "is no budget"),
        ("median<=1e3ms", "is no budget"),
        ("median<=-1ms", "is no budget"),
        (f"median<={'9' * 400}ms", "finite"),
        ("energy<=5", "energy has mJ"),
    ],
)
def test_what_is_wrong_with_a_budget_is_said(text, says):
    with pytest.raises(UsageError, match=says.replace("(", r"\(")):
        parse_budget(text)


def test_a_figure_is_judged_by_the_lower_end_of_its_interval():
    budget = parse_budget("p90<=10ms")
    assert judge("x", budget, 10.5, (9.9, 11.0), "").met
    assert "the interval reaches below it" in judge("x", budget, 10.5, (9.9, 11.0), "").reason
    missed = judge("x", budget, 12.0, (10.1, 13.0), "")
    assert not missed.met
    assert missed.reason == "p90 is 12 ms [10.1, 13], 2 ms (20 %) above 10 ms"


def test_a_figure_without_an_interval_is_judged_itself():
    budget = parse_budget("p99<=10ms")
    assert judge("x", budget, 10.0, None, "").met
    assert not judge("x", budget, 10.01, None, "").met


def test_what_was_not_measured_meets_no_budget(profile):
    found = {item.name: item for item in judge_profile(profile, [parse_budget("energy<=40mJ")])}
    assert found["executorch-xnnpack@fp32"].met
    assert found["onnx-cpu@fp32"].reason == "energy was not measured: asked of one variant only"
    assert not found["onnx-cpu@fp32"].met


@pytest.mark.parametrize("field", sorted(set(FIELDS) - {"ratio"}))
def test_every_field_is_read_from_a_profile(profile, field):
    unit = {"time": "ms", "memory": "MB", "energy": "mJ"}[FIELDS[field]]
    (loose, *_), (tight, *_) = (
        judge_profile(profile, [parse_budget(f"{field}<={n}{unit}")]) for n in ("99999", "0.001")
    )
    assert (loose.met, tight.met) == (True, False)
    assert loose.value == tight.value > 0


def test_emulated_times_are_not_judged(profile):
    variant = msgspec.structs.replace(profile.variants[0], emulated=True)
    emulated = msgspec.structs.replace(profile, variants=(variant,))
    with pytest.raises(Refused, match="ran emulated"):
        judge_profile(emulated, [parse_budget("p90<=25ms")])
    assert judge_profile(emulated, [parse_budget("peak_memory<=500MB")])[0].met  # memory is not a matter of speed


def test_a_ratio_needs_two_profiles(profile):
    with pytest.raises(UsageError, match="edge compare OLD NEW"):
        judge_profile(profile, [parse_budget("ratio<=1.05")])
