"""``python -m ppl`` prints what a bug report needs."""

from importlib.metadata import version

import torch

from ppl import plugins
from ppl.__main__ import main

from .test_plugins import entry
from .test_plugins import install as install


def test_the_report_names_versions_plugins_and_conflicts(capsys, install):
    install(
        entry("broken", "no_such_module:Thing", "acme"),
        entry("twice", "math:sqrt", "ours"),
        entry("twice", "math:exp", "theirs"),
    )
    main()
    report = capsys.readouterr().out
    assert f"torch {torch.__version__}" in report
    assert f"ppl-core {version('ppl-core')}" in report
    assert all(f"\n{group}:\n" in report for group in plugins.GROUPS)
    assert "  broken  (acme)\n" in report
    assert "  twice  (ours, theirs)  <- registered twice: refused\n" in report
