"""Credibility checks on finished results."""

from recshield.audit.check import Check, Finding
from recshield.audit.judgement import RUN, WORDS, further_needs, judge, needs, reached, summarise

__all__ = ["RUN", "WORDS", "Check", "Finding", "further_needs", "judge", "needs", "reached", "summarise"]
