"""``python -m ppl`` prints what a bug report needs."""

from importlib.metadata import version

import numpy
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
    main([])
    report = capsys.readouterr().out
    assert f"\ntorch {version('torch')}\n" in report
    assert f"\nnumpy {numpy.__version__}\n" in report
    assert f"\nppl-core {version('ppl-core')}\n" in report
    assert f"\n{torch.get_num_threads()} threads, " in report
    assert "\ncompiled programs in " in report
    assert all(f"\n{group}: " in report for group in plugins.GROUPS)
    assert "  broken  (acme)\n" in report
    assert "  twice  (ours, theirs)  <- registered twice: refused\n" in report


def test_the_plugins_of_ppl_itself_are_counted_and_listed_on_request(capsys, install):
    install(entry("Ours", "math:sqrt", "ppl-core"), entry("Theirs", "math:exp", "acme"))
    main([])
    short = capsys.readouterr().out
    main(["--all"])
    assert "1 of ppl-core, 1 of acme" in short or "1 of acme, 1 of ppl-core" in short
    assert "  Ours  (ppl-core)\n" not in short
    assert "  Ours  (ppl-core)\n" in capsys.readouterr().out
    assert len(short.splitlines()) < 60
