"""What is built for a phone: properties over made-up sets of targets, and the examples of the documentation."""

import json

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.build import Build
from convert.choice import CPU, GPU, NPU, choose, phone_targets
from convert.targets import TARGETS, Target
from edge.errors import EdgeError, MissingError, Refused
from edge.phones import PhoneChoice, find_phone, phones

FEW = settings(deadline=None, max_examples=60)  # the machine may be busy
PRECISIONS = ("fp32", "fp16", "int8", "w8a16")
FAMILIES = sorted({family for table in (NPU, GPU) for names in table.values() for family in names} | set(CPU))


def make(id, execution="native", precisions=("fp32",), missing="", **changes):
    return Target(
        id=id, runtime="none", summary="made up", precisions=precisions, packages=(), extra="none",
        execution=execution, probe=lambda: missing, compile=lambda *_: None, **changes,
    )  # fmt: skip


QNN = "needs a QNN that this test does not have"
XNNPACK, LITERT = make("executorch-xnnpack", precisions=("fp32", "fp16")), make("litert-cpu")
EXECUTORCH_QNN = make("executorch-qnn:SM8650", "emulated", ("int8", "w8a16", "fp16"))
LITERT_QNN = make("litert-qualcomm:SM8650", "reference", ("int8", "fp16"))


@st.composite
def target_sets(draw):
    phone = draw(st.sampled_from(list(phones().values())))
    found = []
    for family in draw(st.lists(st.sampled_from(FAMILIES), unique=True)):
        of_chip = family.endswith(("qnn", "qualcomm", "mediatek", "samsung", "google-tensor"))
        ids = [f"{family}:{chip}" for chip in ("X1", phone.soc.id.lower(), "X2")] if of_chip else [family]
        precisions = tuple(draw(st.lists(st.sampled_from(PRECISIONS), min_size=1, unique=True)))
        execution = draw(st.sampled_from(("native", "emulated", "reference", "no")))
        missing = draw(st.sampled_from(("", "an SDK: a command")))
        tasks = draw(st.sampled_from(((), ("pose",), ("segmentation",))))
        found += [make(id, execution, precisions, missing, tasks=tasks) for id in ids]
    return phone, found


@FEW
@given(target_sets(), st.sampled_from((None, *PRECISIONS)), st.randoms())
def test_a_choice_is_ready_fits_and_does_not_depend_on_the_order_of_the_targets(made, precision, random):
    phone, targets = made
    try:
        choice = choose(phone, "pose", precision, targets)
    except (MissingError, Refused):
        return
    known = {target.id: target for target in targets}
    for build in choice.builds:
        known[build.target].check(build.precision, "pose")
        assert not known[build.target].chip or known[build.target].chip.upper() == phone.soc.id.upper()
    assert precision in (None, choice.chosen.precision)
    assert choice.fallback is None or choice.fallback.target in CPU
    if choice.chosen.target in NPU[phone.soc.vendor] and not phone.soc.npu_fp16:
        assert choice.chosen.precision != "fp16"
    shuffled = list(targets)
    random.shuffle(shuffled)
    assert choose(phone, "pose", precision, shuffled) == choice


@FEW
@given(target_sets(), st.sampled_from((None, *PRECISIONS)))
def test_a_phone_gets_nothing_only_where_nothing_fits(made, precision):
    phone, targets = made
    fitting = [target for target in targets if target.chip.upper() in ("", phone.soc.id.upper())]
    mine = {*NPU[phone.soc.vendor], *GPU[phone.system], *CPU}
    wanted = PRECISIONS if precision is None else (precision,)
    ready = []
    for target in fitting:
        if target.family in mine and target.tasks in ((), ("pose",)) and target.status() == "ready":
            of_npu = target.family in NPU[phone.soc.vendor] and not phone.soc.npu_fp16
            suited = [name for name in wanted if name in target.precisions and not (of_npu and name == "fp16")]
            ready += [target] * bool(suited)
    try:
        choose(phone, "pose", precision, targets)
    except EdgeError:
        assert not ready
    else:
        assert ready


@FEW
@given(target_sets())
def test_npu_targets_that_can_be_executed_here_come_first(made):
    phone, targets = made
    try:
        choice = choose(phone, "pose", None, targets)
    except (MissingError, Refused):
        return
    known = {target.id: target for target in targets}
    rank = {"native": 0, "emulated": 0, "reference": 1, "no": 2}
    order = [known[item.target] for item in choice.considered if item.target in known]
    npu = [rank[target.execution] for target in order if target.family in NPU[phone.soc.vendor]]
    assert npu == sorted(npu)
    units = [0 if t.family in NPU[phone.soc.vendor] else 1 if t.family in GPU[phone.system] else 2 for t in order]
    assert units == sorted(units)
    before = order[: [target.id for target in order].index(choice.chosen.target)]
    assert all(
        "also possible" not in item.verdict for item in choice.considered if item.target in {t.id for t in before}
    )


def test_the_npu_that_is_emulated_here_and_its_runtimes_cpu_are_taken():
    phone = find_phone("galaxy-s24")
    choice = choose(phone, "pose", "int8", [LITERT, LITERT_QNN, EXECUTORCH_QNN, XNNPACK])
    assert choice.chosen == Build(target="executorch-qnn:SM8650", precision="int8")
    assert choice.fallback == Build(target="executorch-xnnpack", precision="fp32")
    verdicts = {item.target: item.verdict for item in choice.considered}
    assert verdicts["executorch-qnn:SM8650"] == "taken: ready, int8, executed here by an emulator of the chip"
    assert verdicts["litert-qualcomm:SM8650"].startswith("also possible: ready, int8, compared here")
    assert verdicts["executorch-xnnpack"].startswith("taken as the CPU fallback: ready, fp32")
    lines = list(choice.explain())
    assert lines[0] == "phone    galaxy-s24: Samsung Galaxy S24 (Snapdragon), Snapdragon 8 Gen 3 (SM8650), Hexagon v75"
    assert len(lines) == 1 + len(choice.considered)


def test_an_absent_sdk_is_named_with_its_command_and_the_next_target_taken():
    waiting = make("executorch-qnn:SM8650", "emulated", ("fp16",), "Qualcomm QNN 2.49: edge sdk install qnn")
    choice = choose(find_phone("galaxy-s24"), "pose", None, [waiting, LITERT_QNN, XNNPACK, LITERT])
    assert str(choice.chosen) == "litert-qualcomm:SM8650@fp16"
    assert str(choice.fallback) == "litert-cpu@fp32"  # of the chosen target's runtime
    assert choice.considered[0].verdict == "needs Qualcomm QNN 2.49: edge sdk install qnn"


def test_a_chip_that_a_family_does_not_have_is_said_with_what_it_has():
    choice = choose(find_phone("poco-f3"), "pose", None, [EXECUTORCH_QNN, XNNPACK])
    first = choice.considered[0]
    assert first.target == "executorch-qnn"
    assert first.verdict.startswith("has no SM8250: its Hexagon v66 is older than v68")
    assert first.verdict.endswith("; it has SM8650")
    assert choice.builds == (Build(target="executorch-xnnpack", precision="fp32"),)
    assert choice.considered[1].verdict.startswith("taken, and its own fallback")


def test_an_npu_without_float16_gets_integers():
    v68 = make("executorch-qnn:SM8350", "emulated", ("fp16", "int8"))
    choice = choose(find_phone("xperia-1-iii"), "pose", None, [v68, XNNPACK])
    assert str(choice.chosen) == "executorch-qnn:SM8350@int8"
    asked = choose(find_phone("xperia-1-iii"), "pose", "fp16", [v68, XNNPACK])
    assert str(asked.chosen) == "executorch-xnnpack@fp16"
    assert asked.considered[0].verdict == "cannot use fp16: Hexagon v68 has no float16"


def test_vendors_may_write_chips_in_lower_case_and_under_other_names():
    tensor = make("litert-google-tensor:Tensor_G4", "no", ("fp16",))
    mediatek = make("executorch-mediatek:mt6991", "no", ("fp16",))
    assert choose(find_phone("pixel-9"), "pose", None, [tensor, LITERT]).chosen.target == tensor.id
    assert choose(find_phone("xiaomi-15t-pro"), "pose", None, [mediatek, LITERT]).chosen.target == mediatek.id


def test_a_precision_that_nothing_has_is_refused_and_an_absent_sdk_is_missing():
    phone = find_phone("galaxy-s24")
    with pytest.raises(Refused, match="galaxy-s24 in ternary can be built here: executorch-qnn:SM8650 has no"):
        choose(phone, "pose", "ternary", [EXECUTORCH_QNN, XNNPACK])
    absent = make("executorch-qnn:SM8650", "emulated", ("int8",), "QNN: edge sdk install qnn")
    with pytest.raises(MissingError, match="executorch-qnn:SM8650 needs QNN: edge sdk install qnn"):
        choose(phone, "pose", "int8", [absent, XNNPACK])
    with pytest.raises(MissingError, match="the kit has no target for SM8650"):
        choose(phone, "pose", None, [])


def test_the_record_fits_its_schema():
    record = choose(find_phone("galaxy-s24"), "pose", None, [EXECUTORCH_QNN, XNNPACK]).record()
    assert (record.phone, record.soc, record.chosen) == ("galaxy-s24", "SM8650", "executorch-qnn:SM8650@fp16")
    jsonschema.validate(json.loads(msgspec.json.encode(record)), msgspec.json.schema(PhoneChoice))


@pytest.mark.parametrize("name", list(phones()))
def test_every_phone_has_targets_of_the_kit_and_ends_with_the_cpus(name):
    found = phone_targets(phones()[name])
    assert all(candidate.target.id in TARGETS for candidate in found)
    assert [candidate.target.id for candidate in found][-len(CPU) :] == list(CPU)
    units = [("npu", "gpu", "cpu").index(candidate.unit) for candidate in found]
    assert units == sorted(units)
