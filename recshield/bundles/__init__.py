"""A run as one archive that another machine can check: what it holds, written, opened and verified."""

from recshield.bundles.verifying import Verified, verify
from recshield.bundles.writing import write

__all__ = ["Verified", "verify", "write"]
