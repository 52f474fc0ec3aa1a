from __future__ import annotations

import pytest

from gb28181 import manscdp
from gb28181.manscdp.codec import decode


@pytest.mark.parametrize("name", manscdp.__all__)
def test_each_public_name_is_there(name: str) -> None:
    assert name in dir(manscdp)
    assert getattr(manscdp, name).__name__ == name


def test_a_public_name_is_the_one_of_its_module() -> None:
    assert manscdp.decode is decode


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = manscdp.no_such_name  # type: ignore[attr-defined]  # the point of the test
