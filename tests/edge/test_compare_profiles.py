"""`edge compare` of two latency profiles: slower is worse, budgets, and what must not be compared."""

import json

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.profile_page import synthetic
from edge.artifact import encode_json
from edge.cli import cli
from edge.errors import EdgeError, InputError, Refused, UsageError
from edge.profile.reading import PROFILE, profile_schema, read_profile
from edge.profile.records import Profile
from edge.profile.regression import compare_profiles
from edge.profile.statistics import unpaired_ratio_interval

FEW = settings(deadline=None, max_examples=80)
change = msgspec.structs.replace


@pytest.fixture(scope="module")
def before():
    found = synthetic(operators=3, runs=60, launches=8)
    return change(found, variants=tuple(variant for variant in found.variants if variant.name != "litert-cpu@fp32"))


def times(profile, factor):
    """Return a profile whose runs took so many times as long."""

    def slower(launch):
        return change(launch, runs_ns=tuple(int(value * factor) for value in launch.runs_ns))

    def of(variant):
        return change(variant, launches=tuple(map(slower, variant.launches)))

    return change(profile, variants=tuple(map(of, profile.variants)))


def first(profile, **fields):
    return change(profile, variants=(change(profile.variants[0], **fields), *profile.variants[1:]))


def write(path, profile):
    path.write_bytes(encode_json(profile))
    return path


def call(*arguments):
    return CliRunner().invoke(cli, ["compare", *map(str, arguments)], standalone_mode=False)


@pytest.mark.parametrize(("factor", "verdict", "worse"), [(1.0, "indistinguishable", False), (1.1, "slower", True),
                                                          (0.9, "faster", False)])  # fmt: skip
def test_verdicts_follow_the_runs(before, factor, verdict, worse):
    found = compare_profiles(before, times(before, factor))
    assert {row.verdict for row in found.rows} == {verdict}
    assert found.worse is worse
    assert all(row.ci95[0] <= factor <= row.ci95[1] for row in found.rows)
    assert all(row.ratio == pytest.approx(factor, rel=1e-4) for row in found.rows)


def test_the_command_compares_files_and_ends_with_4_if_slower(before, tmp_path):
    old, new = write(tmp_path / "old.json", before), write(tmp_path / "new.json", times(before, 1.2))
    done = call(old, new)
    assert done.return_value == 4
    assert "WORSE     it is slower by more than the band of 2 %" in done.output
    assert call(new, old).return_value == 0
    answer = json.loads(call(old, new, "--json").output)
    assert (answer["worse"], answer["rows"][0]["verdict"]) == (True, "slower")


def test_a_folder_with_a_profile_is_found(before, tmp_path):
    write(tmp_path / PROFILE, before)
    assert call(tmp_path, tmp_path).return_value == 0


def test_a_ratio_budget_takes_the_place_of_the_band(before, tmp_path):
    old, new = write(tmp_path / "old.json", before), write(tmp_path / "new.json", times(before, 1.04))
    assert call(old, new).return_value == 4
    assert call(old, new, "--budget", "ratio<=1.10").return_value == 0
    done = call(old, new, "--budget", "ratio<=1.01")
    assert done.return_value == 4
    assert "MISSED ratio<=1.01" in done.output


def test_other_budgets_judge_the_later_profile(before, tmp_path):
    old = write(tmp_path / "old.json", before)
    done = call(old, old, "--budget", "p90<=1ms", "--budget", "median<=1s")
    assert done.return_value == 4
    assert "MISSED p90<=1ms" in done.output
    assert "met    median<=1000ms" in done.output


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"harness": "python"}, "harness native and python"),
        ({"inputs": "random"}, "inputs real and random"),
        ({"threads": 1}, "threads 4 and 1"),
        ({"emulated": True}, "ran emulated"),
    ],
)
def test_what_was_measured_otherwise_is_refused(before, fields, says, tmp_path):
    other = first(before, **fields)
    with pytest.raises(Refused, match=says):
        compare_profiles(before, other)
    done = call(write(tmp_path / "old.json", before), write(tmp_path / "new.json", other))
    assert isinstance(done.exception, Refused)
    assert done.exception.exit_code == 2


@pytest.mark.parametrize("fields", [{"name": "Other"}, {"soc": "SM8750"}, {"cores": 4}, {"emulated": True}])
def test_other_devices_are_refused(before, fields):
    with pytest.raises(Refused):
        compare_profiles(before, change(before, device=change(before.device, **fields)))


def test_another_specimen_and_another_system_are_remarked(before):
    device = change(before.device, id="adb:9", system="Android 16")
    found = compare_profiles(before, change(before, device=device, thermal_gate="timeout"))
    assert [remark.split()[0] for remark in found.remarks] == ["two", "system", "thermal"]


def test_a_variant_that_is_gone_or_failed_is_worse_and_a_new_one_is_not(before):
    fewer = change(before, variants=before.variants[:1])
    found = compare_profiles(before, fewer)
    assert found.worse
    assert found.rows[1].worse == ("it was measured and is not in the later profile",)
    assert not compare_profiles(fewer, before).worse
    failed = compare_profiles(before, first(before, launches=(), estimate=None, problem="killed by signal 9"))
    assert failed.rows[0].worse == ("it was measured and is not any more: killed by signal 9",)


def test_nothing_in_common_is_refused(before):
    one, two = (change(before, variants=(variant,)) for variant in before.variants)
    with pytest.raises(Refused, match="no variant is in both"):
        compare_profiles(one, two)


def test_few_launches_give_no_verdict(before):
    found = compare_profiles(before, first(before, launches=before.variants[0].launches[:4]))
    assert (found.rows[0].verdict, found.rows[0].ci95) == ("unknown", None)
    assert "4 launches, and an interval needs 5" in found.rows[0].reason
    assert not found.worse


def test_two_kinds_and_budgets_without_profiles_are_refused(before, tmp_path):
    old = write(tmp_path / "old.json", before)
    other = tmp_path / "delegation.json"
    other.write_text('{"schema": 1, "target": "t", "operators": []}')
    assert isinstance(call(old, other).exception, UsageError)
    assert "budgets judge latency profiles" in str(call(other, other, "--budget", "p90<=1ms").exception)


def test_the_unpaired_interval_covers_a_true_ratio():
    generator = np.random.default_rng(7)
    hits = 0
    for seed in range(100):
        sides = [
            [level * generator.normal(1, 0.03) * generator.normal(1, 0.01, 40) for _ in range(10)]
            for level in (1.2, 1.0)
        ]
        low, high = unpaired_ratio_interval(*sides, seed=seed, bootstraps=400)
        hits += low <= 1.2 <= high
    assert hits >= 88


def test_a_profile_is_read_back_and_fits_its_schema(before, tmp_path):
    import jsonschema

    path = write(tmp_path / "p.json", before)
    assert read_profile(path) == before
    jsonschema.validate(json.loads(path.read_text()), profile_schema())


@pytest.mark.parametrize(
    "broken",
    [
        lambda p: change(p, variants=p.variants + p.variants[:1]),
        lambda p: first(p, launches=(change(p.variants[0].launches[0], runs_ns=(-1,)),)),
        lambda p: first(p, launches=(change(p.variants[0].launches[0], cold_load_ns=10**30),)),
        lambda p: first(p, launches=(change(p.variants[0].launches[0], starts_ns=(1,)),)),
    ],
)
def test_a_profile_that_contradicts_itself_is_refused(before, broken, tmp_path):
    with pytest.raises(InputError, match="make it again with"):
        read_profile(write(tmp_path / "p.json", broken(before)))


@FEW
@given(st.data())
def test_a_broken_profile_ends_in_one_line(before, tmp_path_factory, data):
    """Cut or overwrite bytes of a real file, or put any value at any place of it."""
    small = first(change(before, variants=before.variants[:1]), launches=before.variants[0].launches[:1])
    small = first(small, launches=(change(small.variants[0].launches[0], runs_ns=(1000, 2000)),), sustained=None)
    raw = msgspec.json.encode(small)
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(raw)))
        raw = raw[:at] + data.draw(st.binary(max_size=6)) + raw[at + data.draw(st.integers(0, 9)) :]
    else:
        tree = msgspec.json.decode(raw)
        _overwrite(tree, data)
        raw = json.dumps(tree).encode()
    path = tmp_path_factory.getbasetemp() / "broken.json"
    path.write_bytes(raw)
    try:
        found = read_profile(path)
        assert isinstance(found, Profile)
        compare_profiles(found, found)
    except EdgeError as error:
        assert str(error)


def _overwrite(tree, data):
    """Put a drawn value somewhere into nested lists and objects."""
    keys = sorted(tree) if isinstance(tree, dict) else range(len(tree))
    if not keys:
        return
    key = data.draw(st.sampled_from(keys))
    if isinstance(tree[key], dict | list) and data.draw(st.booleans()):
        _overwrite(tree[key], data)
        return
    tree[key] = data.draw(
        st.one_of(st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.text(max_size=5), st.just([]),
                  st.floats(allow_nan=False, allow_infinity=False))
    )  # fmt: skip
