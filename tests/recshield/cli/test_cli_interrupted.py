"""What Ctrl-C leaves on the terminal while a kernel is compiled."""

from __future__ import annotations

import subprocess
import sys

HALF_MADE = """
import sys
from recshield.cli import _unraisable
sys.unraisablehook = _unraisable

class Handle:
    def __del__(self):
        return self._ptr

Handle.__del__.__module__ = sys.argv[1]
Handle()
"""


def said(module: str) -> str:
    made = subprocess.run([sys.executable, "-c", HALF_MADE, module], capture_output=True, text=True, check=True)
    return made.stderr


def test_a_half_made_handle_of_the_compiler_is_no_traceback():
    assert said("llvmlite.binding.ffi") == ""


def test_whatever_else_cannot_be_raised_is_printed():
    assert "AttributeError: 'Handle' object has no attribute '_ptr'" in said("some.plugin")
