"""The command lines, run within the process of the tests."""

import pytest


def run(main, capsys, *arguments, code=0):
    """Run a command; return what it printed, once its exit status is ``code``."""
    if code:
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        assert stop.value.code == code
    else:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured
