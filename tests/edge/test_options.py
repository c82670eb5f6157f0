"""Options of the command line that need no process of their own."""

import pytest

from edge.cli.options import MAX_PICTURES, model_request
from edge.errors import InputError


def request(**options):
    kept = {"checkpoint": None, "inputs": (), "contract_file": None, "data": None, "random_weights": False}
    return model_request("selfie-segmentation", **(kept | options))


def test_more_pictures_than_are_used_are_announced(tmp_path, capsys):
    for i in range(MAX_PICTURES + 3):
        (tmp_path / f"{i:02}.png").touch()
    assert [path.name for path in request(data=tmp_path).images] == [f"{i:02}.png" for i in range(MAX_PICTURES)]
    assert f"holds {MAX_PICTURES + 3} pictures; the first {MAX_PICTURES}" in capsys.readouterr().err


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no picture"):
        request(data=tmp_path)
