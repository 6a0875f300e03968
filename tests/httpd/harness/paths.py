"""Where things are. PM_BUILD names another build folder than the project's own."""
import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("PM_BUILD", PROJECT / "build")).resolve()
MODULE = BUILD / "mod_pmcapture.so"
PMDUMP = BUILD / "pmdump"
PMCAPTURE = PROJECT / "scripts/pmcapture"
SCHEMA = PROJECT / "tests/pmcapture.v1.schema.json"
APACHE = "/usr/sbin/apache2"
MODULES = "/usr/lib/apache2/modules"
