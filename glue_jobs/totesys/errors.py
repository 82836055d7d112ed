"""Errors sorted by who must act. Each message says what happened, where, and what to do next, and never holds a row's value or a secret."""


class PipelineError(Exception):
    """Any failure that a job explains in one line."""


class RetriableError(PipelineError):
    """Something outside failed that may work at the next tick: a server or a service is not reachable."""


class BadDataError(PipelineError):
    """The data is not what its contract says; a person settles it."""


class FatalError(PipelineError):
    """Configuration or permissions are wrong; no retry helps until a person mends them."""
