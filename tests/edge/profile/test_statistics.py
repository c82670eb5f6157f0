"""Intervals hold what they promise on series whose truth is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.profile.statistics import (
    bootstrap_interval,
    course,
    groups,
    interval,
    ratio_interval,
    verdict,
)

TRIALS = 100
PROMISED = 0.90
RUNS, LAUNCHES = 60, 10


def autoregressive(generator, centre, runs=RUNS, memory=0.9):
    """A launch whose runs remember each other: AR(1) around its own centre."""
    values = np.empty(runs)
    values[0] = generator.normal()
    for index in range(1, runs):
        values[index] = memory * values[index - 1] + np.sqrt(1 - memory**2) * generator.normal()
    return centre * np.exp(0.01 * values)


def alike(generator):
    return [autoregressive(generator, np.exp(generator.normal(0, 0.05))) for _ in range(LAUNCHES)]


def bimodal(generator):
    """Six launches of ten are fast: the population's median is the fast mode's upper part."""
    centres = np.where(generator.random(LAUNCHES) < 0.6, 0.34, 0.745) * np.exp(generator.normal(0, 0.02, LAUNCHES))
    return [autoregressive(generator, centre) for centre in centres]


def drifting(generator):
    """A machine that slows down by a tenth over the ten launches, each of them anywhere on the way."""
    return [autoregressive(generator, 1 + 0.1 * generator.random()) for _ in range(LAUNCHES)]


def truth(make, launches=4_000):
    generator = np.random.default_rng(99)
    return float(np.median([np.median(part) for _ in range(launches // LAUNCHES) for part in make(generator)]))


@pytest.mark.parametrize("make", [alike, bimodal, drifting])
def test_the_interval_covers_the_truth_nine_times_of_ten(make):
    expected = truth(make)
    hits = 0
    for trial in range(TRIALS):
        low, high = interval(make(np.random.default_rng(trial)), bootstraps=500)
        hits += low <= expected <= high
    assert hits >= PROMISED * TRIALS, f"covered {hits} of {TRIALS}"


def test_pooling_all_runs_would_not_cover_it():
    """Why launches are the unit: an interval over pooled runs is narrow and wrong."""
    expected = truth(alike)
    hits = 0
    for trial in range(TRIALS):
        pooled = np.concatenate(alike(np.random.default_rng(trial)))
        low, high = bootstrap_interval(pooled)
        hits += low <= expected <= high
    assert hits < 0.7 * TRIALS


def test_the_interval_of_a_quantile_covers_the_truth_nine_times_of_ten():
    generator = np.random.default_rng(7)
    expected = float(np.median([np.quantile(part, 0.9) for _ in range(400) for part in alike(generator)]))
    hits = 0
    for trial in range(100):
        low, high = interval(alike(np.random.default_rng(trial)), 0.9, bootstraps=300)
        hits += low <= expected <= high
    assert hits >= 90, f"covered {hits} of 100"


@pytest.mark.parametrize(("factor", "expected"), [(1.0, "indistinguishable"), (0.8, "faster"), (1.25, "slower")])
def test_two_variants_on_a_busy_machine_are_told_apart(factor, expected):
    verdicts = []
    for trial in range(60):
        generator = np.random.default_rng(trial)
        spells = np.exp(generator.normal(0, 0.1, LAUNCHES))  # they fall on both launches of a round
        reference = [autoregressive(generator, spell * np.exp(generator.normal(0, 0.01))) for spell in spells]
        other = [autoregressive(generator, factor * spell * np.exp(generator.normal(0, 0.01))) for spell in spells]
        verdicts.append(verdict(ratio_interval(other, reference, bootstraps=400)))
    assert verdicts.count(expected) >= 54


def test_fewer_than_five_launches_show_no_interval():
    few = [np.array([1.0, 1.1])] * 4
    assert interval(few) is None
    assert interval(few, 0.9) is None
    assert ratio_interval(few, few) is None
    assert verdict(None) == "unknown"


def test_launches_fall_into_modes_where_a_gap_parts_them():
    assert groups([0.34, 0.75, 0.35, 0.74, 0.345]) == ((0, 4, 2), (3, 1))
    assert groups([1.0, 1.05, 1.1]) == ((0, 1, 2),)
    assert groups([1.0, 2.0, 1.05, 4.0]) == ((0, 2, 1, 3),)  # launches that scatter are no modes
    assert groups([]) == ()


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=30))
def test_modes_are_apart_and_of_several_launches(medians):
    found = groups(medians)
    members = [index for group in found for index in group]
    assert len(set(members)) == len(members)
    assert len(found) > 1 or sorted(members) == list(range(len(medians)))
    for before, after in itertools.pairwise(found):
        assert min(len(before), len(after)) > 1
        assert min(medians[i] for i in after) > 1.1 * max(medians[i] for i in before)


@given(st.lists(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=20), min_size=5, max_size=8))
def test_intervals_lie_within_the_runs(launches):
    parts = [np.array(values) for values in launches]
    low, high = interval(parts, bootstraps=50)
    assert min(map(min, launches)) <= low <= high <= max(map(max, launches))


def times_of(durations):
    return np.concatenate([[0.0], np.cumsum(durations)[:-1]])


def test_throttling_is_found_where_it_begins():
    durations = np.concatenate([np.full(9_000, 0.01), np.full(10_000, 0.015)])  # 90 s at 10 ms, then 15 ms
    found = course(times_of(durations), durations, 30.0)
    assert found.throttled_at_s == 90.0
    assert found.burst == pytest.approx(0.01)
    assert found.steady == pytest.approx(0.015)
    low, high = found.ratio_ci95
    assert low == pytest.approx(1.5)
    assert high == pytest.approx(1.5)
    assert sum(found.counts) == len(durations)


def test_one_slow_window_is_no_throttling():
    durations = np.concatenate([np.full(6_000, 0.01), np.full(1_500, 0.02), np.full(6_000, 0.01)])
    assert course(times_of(durations), durations, 30.0).throttled_at_s is None


def test_the_ratio_of_a_course_covers_the_truth():
    hits = 0
    for trial in range(60):
        generator = np.random.default_rng(trial)
        durations = np.concatenate([autoregressive(generator, 0.05, 1_200), autoregressive(generator, 0.06, 2_400)])
        low, high = course(times_of(durations), durations, 30.0).ratio_ci95
        hits += low <= 1.2 <= high
    assert hits >= 54


def test_a_course_of_one_run_has_no_ratio_interval():
    found = course(np.array([0.0]), np.array([0.02]), 30.0)
    assert found.ratio_ci95 is None
    assert found.medians == (0.02,)
