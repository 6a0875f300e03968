# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The companion of mod_pmcapture: document in, lists and reports out; it parses no binary."""


class Trouble(Exception):
    """A sentence for the user, and the exit code that goes with it: 2 usage, 3 cannot be read."""

    def __init__(self, sentence, code=3):
        super().__init__(sentence)
        self.code = code
