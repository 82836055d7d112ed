"""Errors, sorted by who must act. Each message says what happened, where, and what to do. It never contains a row's value or a secret."""


class PipelineError(Exception):
    """A failure that a job explains in one line. The reason says what happened and where; the cure says what to do."""

    def __init__(self, reason: str, cure: str = "") -> None:
        super().__init__(f"{reason}: {cure}" if cure else reason)
        self.reason = reason
        self.cure = cure


class RetriableError(PipelineError):
    """Something outside the pipeline failed that may work at the next tick: a server or a service is not reachable."""


class BadDataError(PipelineError):
    """The data does not match its contract. A person must settle it."""


class FatalError(PipelineError):
    """Configuration or permissions are wrong. No retry helps until a person corrects them."""
