"""What a check has found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .codes import CODES


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a model or guide.

    Attributes:
        code: Its kind: a key of :data:`ppl.checker.codes.CODES`.
        site: The name of the site, parameter or plate, None if it is about the whole program.
        message: What was found.
        fix: What to do about it.
        line: ``file:line`` of the statement in the user's program, None if it is not known.
    """

    code: str
    site: str | None
    message: str
    fix: str
    line: str | None

    def __str__(self) -> str:
        where = f" ({self.line})" if self.line else ""
        about = f"{self.site!r}: " if self.site is not None else ""
        return f"{self.code}{where} {about}{self.message}\n    {self.fix}"


class Report(tuple[Finding, ...]):
    """The findings of a check, the most basic first; printed, it tells them to a reader.

    Args:
        findings: The findings.
        tried: What was looked at, for the reader.
    """

    tried: str

    def __new__(cls, findings: Iterable[Finding] = (), tried: str = "") -> Report:
        report = super().__new__(cls, findings)
        report.tried = tried
        return report

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self

    def __str__(self) -> str:
        where = f" in {self.tried}" if self.tried else ""
        return "\n".join(map(str, self)) if self else f"Nothing was found{where}."

    __repr__ = __str__


def find(code: str, site: str | None, detail: str, line: str | None, fix: str = "") -> Finding:
    """Return a finding with the title, and unless given the cure, of its code."""
    message = CODES[code].title + (f"; {detail}" if detail else "")
    return Finding(code, site, message, fix or CODES[code].fix, line)
