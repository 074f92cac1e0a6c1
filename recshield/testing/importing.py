"""Checks of a plugin's module as a whole: importing it does no work, and its hooks return what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

from recshield.testing.failures import need

#: Runs in a process of its own: imports what any plugin may import, watches, then imports the module.
_WATCHER = """
import json, os, random, sys
sys.dont_write_bytecode = True
import numpy as np, torch, recshield.core, recshield.data, recshield.evaluation, recshield.training.loop
import recshield.matrix, recshield.audit, recshield.report
seen = []
def watch(event, given):
    if event == "open" and isinstance(given[1], str) and set(given[1]) & set("wax+"):
        seen.append(f"opens {given[0]!s} for writing")
    elif event in ("os.mkdir", "os.remove", "os.rename", "shutil.rmtree", "subprocess.Popen", "os.system",
                   "socket.connect", "socket.getaddrinfo"):
        seen.append(f"calls {event} on {given[0]!s}")
def state():
    return [torch.get_rng_state().tolist(), str(np.random.get_state()), str(random.getstate()),
            torch.get_num_threads(), str(torch.get_default_dtype()), sorted(os.environ.items())]
names = ("torch's generator", "numpy's generator", "random's generator", "torch's threads", "torch's default dtype",
         "the environment")
before = state()
sys.addaudithook(watch)
import importlib, io, contextlib
said = io.StringIO()
with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
    importlib.import_module(sys.argv[1])
found = list(seen)
found += [f"changes {name}" for name, one, two in zip(names, before, state()) if one != two]
if torch.cuda.is_available() and torch.cuda.is_initialized():
    found.append("starts CUDA")
if said.getvalue():
    found.append(f"prints {said.getvalue()[:80]!r}")
print("FOUND" + json.dumps(found))
"""


def check_import_does_no_work(module: str) -> None:
    """Importing the module writes nothing, prints nothing, asks no network and changes no global state.

    Prevents: a `recshield --help` that trains something; a seed set here that shifts every draw after it.
    """
    seen = os.environ | {"PYTHONPATH": os.pathsep.join(one for one in sys.path if one)}
    command = [sys.executable, "-c", _WATCHER, module]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=seen)  # noqa: S603
    reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    need(done.returncode == 0, f"module '{module}' cannot be imported on its own: {reason}")
    found = json.loads(done.stdout.rsplit("FOUND", 1)[1])
    need(
        not found,
        f"importing '{module}' {'; '.join(found[:3])}; move that into the function that needs it",
    )


#: Checks of the module behind an entry point.
MODULE_CHECKS: tuple[Callable[[str], None], ...] = (check_import_does_no_work,)
