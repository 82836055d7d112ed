"""Errors sorted by who must act. Each message says what happened, where, and what to do next, and never holds a row's value or a secret."""


class PipelineError(Exception):
    """Any failure that a job explains in one line: the reason, which says what happened and where, and the cure, which says what to do."""

    def __init__(self, reason: str, cure: str = "") -> None:
        super().__init__(f"{reason}: {cure}" if cure else reason)
        self.reason = reason
        self.cure = cure


class RetriableError(PipelineError):
    """Something outside failed that may work at the next tick: a server or a service is not reachable."""


class BadDataError(PipelineError):
    """The data is not what its contract says; a person settles it."""


class FatalError(PipelineError):
    """Configuration or permissions are wrong; no retry helps until a person mends them."""
