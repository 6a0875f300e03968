"""Where things are. BUILD names the build folder, as it does to make."""
import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
BUILD = (PROJECT / os.environ.get("BUILD", "build")).resolve()
MODULE = BUILD / "mod_pmcapture.so"
RECORDER = BUILD / "libexec/pmrecorder"
HARNESS = Path(__file__).resolve().parent
PMDUMP = BUILD / "pmdump"
PMCAPTURE = PROJECT / "scripts/pmcapture"
SCHEMA = PROJECT / "scripts/pmcapture.v1.schema.json"
APACHE = "/usr/sbin/apache2"
MODULES = "/usr/lib/apache2/modules"
