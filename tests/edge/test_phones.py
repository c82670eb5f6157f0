"""The phones' data: complete, consistent, strictly read; and the commands that show and use them."""

import json
import re

import pytest
from click.testing import CliRunner

from convert.choice import NPU
from convert.targets import TARGETS
from edge.artifact import Source, encode_json
from edge.cli import cli
from edge.errors import ContractError, UnknownName
from edge.phones import DATA, Considered, PhoneChoice, find_phone, phones, read_phones, socs
from edge.report.html import phone as phone_line
from edge.report.html import write_html
from edge.report.records import Report, environment, read_report

# Hexagon versions as ExecuTorch 1.5.1 and the compiler of QNN 2.50 name them, and those without float16.
HTP_ARCHS = {
    "QCM6490": 68, "SM6475": 73, "SM7325": 68, "SM7435": 73, "SM7450": 69, "SM7475": 69, "SM7550": 73, "SM7635": 73,
    "SM7675": 73, "SM7750": 73, "SM8250": 66, "SM8350": 68, "SM8450": 69, "SM8475": 69, "SM8550": 73, "SM8635": 73,
    "SM8650": 75, "SM8735": 73, "SM8750": 79, "SM8845": 81, "SM8850": 81,
}  # fmt: skip
WITH_FP16 = {"SM7450", "SM8450", "SM8475", "SM8550", "SM8650", "SM8750", "SM8845", "SM8850"}
GOOD = """
[soc]
SM1 = { name = "One", vendor = "qualcomm", npu = "Hexagon" }
[phone]
one = { name = "One", year = 2024, soc = "SM1", ram_gb = 8, android = 34 }
"""


def test_there_are_enough_phones_of_every_year_and_maker():
    found = phones().values()
    assert len(found) >= 100
    assert {phone.year for phone in found} == set(range(2021, 2027))
    assert {phone.soc.vendor for phone in found} == {"qualcomm", "mediatek", "samsung", "google", "apple"}
    assert len({phone.name for phone in found}) == len(found)


@pytest.mark.parametrize("name", list(phones()))
def test_a_phone_is_plausible(name):
    phone = phones()[name]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", phone.id)
    assert 4 <= phone.ram_gb <= 16
    if phone.android is not None:
        newest = {2021: 31, 2022: 33, 2023: 34, 2024: 35, 2025: 36, 2026: 37}[phone.year]
        assert newest - 3 < phone.android <= newest
    assert ("exynos" in phone.id) <= (phone.soc.vendor == "samsung")


@pytest.mark.parametrize("name", list(socs()))
def test_a_chip_is_used_named_and_consistent(name):
    soc = socs()[name]
    assert any(phone.soc is soc for phone in phones().values())
    pattern = {
        "qualcomm": r"(SM|QCM)\d{4}",
        "mediatek": r"MT\d{4}",
        "samsung": r"E\d{4}",
        "google": r"G\d",
        "apple": r"A1\d(-Pro)?",
    }[soc.vendor]
    assert re.fullmatch(pattern, soc.id)
    assert (soc.htp_arch is not None) <= (soc.vendor == "qualcomm")
    if soc.vendor == "qualcomm":
        assert soc.npu == f"Hexagon v{soc.htp_arch}"
        assert soc.htp_arch == HTP_ARCHS[soc.id]
        assert soc.npu_fp16 == (soc.id in WITH_FP16)


def test_model_numbers_stand_for_one_chip():
    names = [name.casefold() for soc in socs().values() for name in soc.names]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", [name for name, soc in socs().items() if soc.vendor == "qualcomm"])
def test_a_qualcomm_chip_has_a_target_or_the_reason_why_not(name):
    families = {target.family for target in TARGETS.values()}
    registered = {target.chip for target in TARGETS.values() if target.family in NPU["qualcomm"]}
    whole = families >= set(NPU["qualcomm"])
    known = name in (registered if whole else set(HTP_ARCHS) - {"SM8250"})
    assert known != bool(socs()[name].no_npu_target), "edit no_npu_target in phones.toml"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("ram_gb = 8", "ram_gb = 8, colour = 'red'", "one: Object contains unknown field `colour`"),
        ("ram_gb = 8, ", "", "one: Object missing required field `ram_gb`"),
        ("year = 2024", "year = 1999", "one: Expected `int` >= 2021 - at `$.year`"),
        ('soc = "SM1"', 'soc = "SM2"', "one: its chip 'SM2' is not in the soc table"),
        ("android = 34", "ios = '17.0'", "one: iOS 17.0 on a chip of qualcomm (SM1)"),
        (", android = 34", "", "one: exactly one of android and ios is needed"),
        ('vendor = "qualcomm"', 'vendor = "intel"', "SM1: Invalid enum value 'intel' - at `$.vendor`"),
        ("[phone]", "[phones]", "unknown table 'phones'; expected soc and phone"),
        ("[soc]", "[soc", "(at line 2, column 5)"),
    ],
)
def test_a_mistake_in_the_data_is_one_clear_error(old, new, words):
    assert read_phones(GOOD, "x.toml")[1]["one"].os_floor == "Android API 34"
    with pytest.raises(ContractError) as caught:
        read_phones(GOOD.replace(old, new), "x.toml")
    assert str(caught.value).startswith("x.toml: ")
    assert words in str(caught.value)


def test_the_data_are_one_line_a_phone():
    text = DATA.read_text(encoding="utf-8")
    assert all(f"\n{name} = {{" in text for name in (*phones(), *socs()))


def test_an_unknown_phone_is_answered_with_close_ones_and_the_command():
    with pytest.raises(UnknownName, match=r"unknown phone 'galaxy s24': did you mean galaxy-s24 .*`edge phones`"):
        find_phone("galaxy s24")
    with pytest.raises(UnknownName, match=r"unknown phone 'nokia': none of \d+ is like it \(`edge phones` lists them"):
        find_phone("nokia")


def call(*arguments):
    return CliRunner().invoke(cli, arguments, standalone_mode=False)


def test_the_list_has_every_phone_with_its_ordered_targets():
    rows = json.loads(call("phones", "--json").stdout)
    assert [row["id"] for row in rows] == list(phones())
    for row in rows:
        assert {"name", "year", "soc", "soc_name", "npu", "ram_gb", "os", "os_floor"} <= row.keys()
        assert all(target["id"] in TARGETS for target in row["targets"])
        assert row["targets"][-1]["unit"] == "cpu"
    text = call("phones").stdout
    assert all(name in text for name in phones())


@pytest.mark.parametrize("soc", ["SM8650", "sm8650", "8 gen 3"])
def test_the_list_can_be_cut_to_a_chip(soc):
    rows = json.loads(call("phones", "--soc", soc, "--json").stdout)
    assert {row["soc"] for row in rows} == {"SM8650"}
    assert "galaxy-s24" in {row["id"] for row in rows}


def test_another_name_of_a_chip_finds_it():
    assert {row["soc"] for row in json.loads(call("phones", "--soc", "s5e9945", "--json").stdout)} == {"E9945"}


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (["phones", "--soc", "SM9999"], UnknownName, "unknown chip 'SM9999'"),
        (["deploy", "selfie-segmentation", "--phone", "galaxy", "--out", "o"], UnknownName, "did you mean galaxy-a34"),
        (
            ["deploy", "selfie-segmentation", "--phone", "galaxy-s24", "--precision", "fp61", "--out", "o"],
            UnknownName,
            "unknown precision 'fp61'",
        ),
    ],
)
def test_bad_input_is_one_clear_error(arguments, kind, words):
    done = call(*arguments)
    assert isinstance(done.exception, kind)
    assert words in str(done.exception)


def test_the_report_says_what_was_chosen_and_why(tmp_path):
    choice = PhoneChoice(
        phone="galaxy-s24",
        soc="SM8650",
        chosen="executorch-qnn:SM8650@fp16",
        fallback="executorch-xnnpack@fp32",
        considered=(Considered(target="onnx-qnn:SM8650", verdict="needs <QNN>"),),
    )
    alone = PhoneChoice(phone="poco-f3", soc="SM8250", chosen="litert-cpu@fp32", fallback="litert-cpu@fp32")
    report = Report(
        model="m", task="tensors", source=Source(sha256="0" * 64), environment=environment(), targets=(),
        inputs="real: 3", phones=(choice, alone),
    )  # fmt: skip
    (tmp_path / "report.json").write_bytes(encode_json(report))
    assert read_report(tmp_path) == report
    page = write_html([tmp_path], tmp_path).read_text()
    assert "galaxy-s24 (SM8650): executorch-qnn:SM8650@fp16, else executorch-xnnpack@fp32" in page
    assert "needs &lt;QNN&gt;" in page
    assert phone_line(alone) == "poco-f3 (SM8250): litert-cpu@fp32"


@pytest.mark.slow
def test_a_deploy_for_a_phone_builds_what_it_explains(tmp_path):
    done = call("deploy", "selfie-segmentation", "--phone", "galaxy-a53", "--launches", "0", "--out", str(tmp_path))
    assert "phone    galaxy-a53: Samsung Galaxy A53 5G, Exynos 1280 (E8825)" in done.stderr
    report = read_report(tmp_path)
    (choice,) = report.phones
    built = [f"{row.id}@{row.precision}" for row in report.targets]
    assert built == list(dict.fromkeys((choice.chosen, choice.fallback)))
    assert all(row.status == "ok" for row in report.targets)
    assert f"{phone_line(choice)}\n" in done.stdout
    assert f"{choice.chosen.split('@')[0]}: taken" in done.stderr
