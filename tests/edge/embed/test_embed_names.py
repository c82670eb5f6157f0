"""Any name becomes an identifier that compiles, and no two names the same one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.embed.names import _KEYWORDS, check_package, comment, identifiers, quoted, slug
from edge.errors import UsageError

NAMES = st.lists(
    st.one_of(st.text(max_size=90), st.text("ab1_-. A", max_size=6), st.sampled_from(["class", "default"]))
)
LANGUAGES = st.sampled_from(["kotlin", "swift"])
STYLES = st.sampled_from(["Type", "member", "ENTRY"])


@given(NAMES, LANGUAGES, STYLES)
def test_identifiers_are_valid_and_distinct(names, language, style):
    found = identifiers(names, language, style, "name", ("Frame",))
    assert len(found) == len(names)
    for name in found:
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name)
        assert name not in _KEYWORDS[language]
    assert len({name.casefold() for name in (*found, "Frame")}) == len(names) + 1


@given(NAMES, LANGUAGES, STYLES)
def test_identifiers_are_the_same_every_time(names, language, style):
    assert identifiers(names, language, style, "name") == identifiers(list(names), language, style, "name")


@pytest.mark.parametrize(
    ("texts", "style", "expected"),
    [
        (("blazepose-full", "3d-model"), "Type", ("BlazeposeFull", "Model3dModel")),
        (("ld_3d", "Identity_1", "Identity:1", "class"), "member", ("ld3d", "identity1", "identity1_2", "class_")),
        (("potted plant", "n/a", "人", "狗"), "ENTRY", ("POTTED_PLANT", "N_A", "NAME", "NAME_2")),
        (("café", "URL"), "member", ("cafe", "url")),
    ],
)
def test_identifiers_by_example(texts, style, expected):
    fallback = "Model" if style == "Type" else "name"
    assert identifiers(texts, "kotlin", style, fallback) == expected


@given(st.text(), LANGUAGES)
def test_string_literals_are_ascii_and_say_the_text(text, language):
    literal = quoted(text, language)
    assert literal.isascii()
    assert literal.isprintable()
    pattern = r'"(?:[^"\\$]|\\.)*"' if language == "kotlin" else r'"(?:[^"\\]|\\.)*"'
    assert re.fullmatch(pattern, literal)
    inner = re.sub(r"\\u\{([0-9a-f]+)\}|\\u([0-9a-f]{4})|\\(.)", _character, literal[1:-1])
    assert inner.encode("utf-16", "surrogatepass").decode("utf-16", "replace") == text.encode(
        "utf-16", "surrogatepass"
    ).decode("utf-16", "replace")


def _character(found):
    code = found.group(1) or found.group(2)
    return chr(int(code, 16)) if code else found.group(3)


@given(st.text())
def test_comments_stay_on_their_line_and_within_themselves(text):
    line = comment(text)
    assert "\n" not in line
    assert "*/" not in line
    assert "/*" not in line
    assert line.isprintable()


@given(st.text())
def test_slugs_are_names_of_folders_that_every_system_takes(text):
    assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", slug(text))
    assert ".." not in slug(text)


@pytest.mark.parametrize("name", ["com.example.models", "models", "a.b_c.d1"])
def test_package_names(name):
    assert check_package(name) == name


@pytest.mark.parametrize("name", ["", "com..x", "com.class", "1a", "com/x", "com.Ü", "a b", "Com"])
def test_other_package_names_are_refused(name):
    with pytest.raises(UsageError, match="not the name of a package"):
        check_package(name)
