"""Waiting for a fact, with a bound, instead of sleeping."""
import time


class Timeout(AssertionError):
    pass


def wait_for(fact, seconds, what, interval=0.02):
    """Poll `fact` until it is true and return what it gave; fail after `seconds`, saying `what`."""
    deadline = time.monotonic() + seconds
    while True:
        found = fact()
        if found:
            return found
        if time.monotonic() >= deadline:
            raise Timeout(f"not within {seconds} s: {what}")
        time.sleep(interval)
