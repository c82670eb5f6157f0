import inspect
import re

import pytest

from edge import errors
from edge.errors import EdgeError, UnknownName


def tree():
    return [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, EdgeError)]


@pytest.mark.parametrize("cls", tree(), ids=lambda cls: cls.__name__)
def test_every_error_stands_in_the_drawn_tree_with_its_exit_code(cls):
    line = re.search(rf"\b{cls.__name__}\s+(\d)", errors.__doc__)
    assert line, f"{cls.__name__} is missing from the tree at the top of edge/errors.py"
    assert int(line[1]) == cls.exit_code


def test_an_unknown_name_offers_the_closest():
    error = UnknownName("model", "blazepose-ful", ["blazepose-full", "selfie"], "edge models")
    assert str(error) == "unknown model 'blazepose-ful': did you mean blazepose-full? (`edge models` lists them)"
    assert "known: a, b" in str(UnknownName("model", "zzzzzz", ["b", "a"]))
