"""The exit codes of every command, as `totesys --help` tells them."""

DONE = 0
FAILED = 1  # or the answer is no
COULD_NOT_START = 2  # click's own code for options that it does not understand
INTERRUPTED = 130
