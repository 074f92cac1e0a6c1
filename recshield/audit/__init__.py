"""Credibility checks on finished results."""

from recshield.audit.check import Check, Finding
from recshield.audit.judgement import judge, needs, summarise

__all__ = ["Check", "Finding", "judge", "needs", "summarise"]
