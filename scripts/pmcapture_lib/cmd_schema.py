# Licensed under the Apache License, Version 2.0; see LICENSE.
"""pmcapture schema: the JSON Schema of the document, as it is installed."""
import sys

from . import Trouble
from .output import home

HELP = "print the JSON Schema of the document"
EXAMPLES = """\
  pmcapture schema                                  to read; pmcapture-document(5) explains it
  pmcapture schema > pmcapture.v1.schema.json       for a validator
  pmcapture schema | grep -A 2 '"error_ratio"'      what a field may be"""


def add_arguments(parser):
    del parser


def run(session):
    del session
    try:
        text = (home() / "pmcapture.v1.schema.json").read_text(encoding="utf-8")
    except OSError:
        raise Trouble("the JSON Schema is missing: this installation is not whole; install it again") from None
    sys.stdout.write(text)
    return 0
