import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.contract import Contract, Preprocess, TensorSpec, parse_tensor, takes_image
from edge.errors import ContractError

shapes = st.lists(st.integers(1, 512), min_size=1, max_size=5).map(tuple)


@given(shape=shapes, dtype=st.sampled_from(["float32", "int64", "uint8"]))
def test_a_tensor_is_read_back_as_it_is_written(shape, dtype):
    spec = parse_tensor(f"image={'x'.join(map(str, shape))}:{dtype}")
    assert (spec.name, spec.shape, spec.dtype) == ("image", shape, dtype)


@given(st.text(max_size=40))
def test_any_text_is_a_tensor_or_a_contract_error(text):
    try:
        parse_tensor(text)
    except ContractError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "layout"), [("a=1x3x8x8", "NCHW"), ("a=1x8x8x3", "NHWC"), ("a=1x8x8x8", ""), ("a=1x3", "")]
)
def test_an_image_layout_is_taken_from_the_channels(text, layout):
    assert parse_tensor(text).layout == layout


@pytest.mark.parametrize(
    ("text", "takes"),
    [("a=1x3x8x8", True), ("a=1x8x8x3", True), ("a=2x3x8x8", False), ("a=1x1x8x8", False), ("a=1x3", False)],
)
def test_only_one_colour_picture_is_a_picture(text, takes):
    assert takes_image(Contract(inputs=(parse_tensor(text),))) is takes


def test_names_must_differ():
    spec = TensorSpec(name="x", shape=(1,))
    with pytest.raises(ContractError, match="used twice: x"):
        Contract(inputs=(spec, spec))


def test_preprocess_must_fit_the_input():
    spec = TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW")
    with pytest.raises(ContractError, match="differs from image"):
        Contract(inputs=(spec,), preprocess=Preprocess(size=(9, 8)))


def test_a_contract_needs_an_input():
    with pytest.raises(ContractError, match="at least one input"):
        Contract(inputs=())
