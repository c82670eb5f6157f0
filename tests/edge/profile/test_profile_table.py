"""The terminal's view of a profile."""

import io

import msgspec
import pytest
from rich.console import Console

from bench.profile_page import synthetic
from edge.cli.profile_table import KEY, launch_sparkline, print_profile, run_histogram

change = msgspec.structs.replace


@pytest.fixture(scope="module")
def profile():
    return synthetic(operators=12, runs=200, launches=10)


def printed(profile, width=100):
    out = io.StringIO()
    print_profile(profile, Console(file=out, width=width))
    return out.getvalue()


def test_a_row_for_every_variant_fits_100_columns(profile):
    text = printed(profile)
    table = text.split(KEY[:20])[0].splitlines()
    assert all(len(line) <= 100 for line in table)
    assert len(table) == 4
    for variant in profile.variants:
        (row,) = [line for line in table if line.startswith(variant.name)]
        assert run_histogram(variant) in row
        assert launch_sparkline(variant) in row
        assert "…" not in row


def test_the_lines_below_say_the_rest(profile):
    text = printed(profile, 200)
    for words in (
        "litert-cpu@fp32: 2 modes:", "slower than executorch-xnnpack@fp32", "under load: ", "10 % above burst from",
        "12 operators (ETDump), time by unit: cpu 100.0 %", "29.9 mJ an inference", "bound by",
        "onnx-cpu@fp32: no operators: asked of one variant only",
    ):  # fmt: skip
        assert words in text


def test_what_is_not_a_terminal_gets_plain_text(profile, capsys):
    print_profile(profile)
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "executorch-xnnpack@fp32 " in text


def test_modes_are_tall_and_noise_is_flat(profile):
    assert set(launch_sparkline(profile.variants[1])) >= {"▁", "█"}
    assert set(launch_sparkline(profile.variants[0])) <= set("▁▂▃")
    many = change(profile.variants[0], launches=profile.variants[0].launches * 4)
    assert len(launch_sparkline(many)) == 12


def test_a_variant_without_runs_and_hostile_names_are_printed(profile):
    bare = change(
        profile.variants[0], name="[red]x[/]\x1b[2J", launches=(), estimate=None, problem="lost", sustained=None
    )
    text = printed(change(profile, variants=(bare,), ratios=()))
    assert "[red]x[/]·[2J" in text
    assert "not measured" in text
    assert "\x1b" not in text
    assert (launch_sparkline(bare), run_histogram(bare)) == ("", "")


def test_emulation_is_said_first(profile):
    emulated = change(profile, device=change(profile.device, emulated=True))
    assert printed(emulated).startswith("Emulated: the processor was emulated in software.")
