"""The file that type checkers read as a user's runs too: a signature that nothing calls shows little."""

import pytest

from tests import typed_user


def test_what_the_type_checkers_read_runs(capsys: pytest.CaptureFixture[str]) -> None:
    typed_user.main()
    assert capsys.readouterr().out.count("backward is the derivative of forward") == 3
