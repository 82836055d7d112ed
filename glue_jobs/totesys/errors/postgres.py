"""Turn errors of PostgreSQL into the pipeline's own errors. Only this module decides who must act, for all jobs and commands.

An error is judged by its SQLSTATE. libpq has no SQLSTATE when a connection is refused or breaks. Only then is the error's text read, to
find the failures that a person must fix. The server's message is repeated only if it cannot contain a value of a row.

This module runs on Python 3.9, and imports neither PySpark nor SQLAlchemy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import psycopg2

from totesys.errors import BadDataError, FatalError, PipelineError, RetriableError

_REFUSED, _UNREACHED, _BROKEN = "28000", "08001", "08006"  # the SQLSTATEs that we give to failures for which libpq has none


class _Rule(NamedTuple):
    """What a failure means.

    what           continues a sentence that begins with the server's name
    cure           what to do, unless a caller's hint replaces it
    repeats_words  whether the server's message may be shown, since it cannot contain a value of a row
    """

    error: type[PipelineError]
    what: str
    cure: str
    repeats_words: bool = True


_AGAIN = "the next run tries again"
_RAISE = "the next run tries again; if it repeats, raise that limit for user {user}, or set it to 0"
_SECRET = "correct its secret"

# By SQLSTATE or its beginning; the longest match counts. https://www.postgresql.org/docs/current/errcodes-appendix.html
_RULES = {
    "": _Rule(FatalError, "refuses a statement", "look at its server log", repeats_words=False),
    "08": _Rule(RetriableError, "broke off the session", _AGAIN),
    _UNREACHED: _Rule(RetriableError, "cannot be reached", "check that it runs, and that the network allows the connection"),
    "0A": _Rule(FatalError, "does not support a statement", "look at its server log"),
    "22": _Rule(BadDataError, "cannot hold a value", "compare its columns with the contract", repeats_words=False),
    "2200H": _Rule(
        FatalError,
        "has a sequence that is exhausted",
        "ALTER SEQUENCE … AS bigint, and ALTER TABLE … ALTER COLUMN … TYPE bigint for the column that it numbers",
    ),
    "23": _Rule(BadDataError, "refuses a row that breaks a rule of its tables", "compare the table with its contract"),
    "25": _Rule(FatalError, "refuses a statement in this state of the transaction", "look at its server log"),
    "25006": _Rule(FatalError, "is read-only", "name a server that accepts writes in its secret"),
    "25P03": _Rule(RetriableError, "ended the session by its limit idle_in_transaction_session_timeout", _RAISE),
    "25P04": _Rule(RetriableError, "ended the session by its limit transaction_timeout", _RAISE),
    "28": _Rule(FatalError, "refuses user {user}", _SECRET),
    "3D": _Rule(FatalError, "refuses user {user}", f"create the database and run scripts/deploy.sh, or {_SECRET}"),
    "3F": _Rule(FatalError, "refuses a statement", "compare its tables with the contracts"),
    "40": _Rule(RetriableError, "ended a statement because of a conflict with another transaction or a standby's replay", _AGAIN),
    "42": _Rule(FatalError, "refuses a statement", "compare its tables with the contracts"),
    "42501": _Rule(FatalError, "forbids user {user} a statement", "grant the right"),
    "53": _Rule(RetriableError, "lacks memory, disk or connections", "the next run tries again; if it repeats, give the server more"),
    "54": _Rule(FatalError, "cannot hold something that large", "look at its server log", repeats_words=False),
    "55": _Rule(FatalError, "refuses a statement in this state of the object", "look at its server log"),
    "55006": _Rule(RetriableError, "has an object in use", _AGAIN),
    "55P03": _Rule(RetriableError, "did not grant a lock in time", "the next run tries again, or end the session that holds the lock"),
    "57": _Rule(RetriableError, "is starting, stopping or not available", _AGAIN),
    "57014": _Rule(RetriableError, "cancelled a statement, at a user's request or by its limit statement_timeout", _RAISE),
    "57P05": _Rule(RetriableError, "ended the session by its limit idle_session_timeout", _RAISE),
    "58": _Rule(RetriableError, "has trouble with its disk or its system", "look at its server log; the next run tries again"),
    "XX": _Rule(FatalError, "had an internal error", "look at its server log"),
    "XX001": _Rule(FatalError, "has damaged data", "restore it, or delete the damaged row; its server log says where"),
    "XX002": _Rule(FatalError, "has a damaged index", "REINDEX it; its server log says which"),
}

# libpq's texts for refusals that a person must resolve. All other refusals pass (starting up, too many clients, a broken TLS session) or
# have no clear text. A message in another language matches nothing here, so it counts as a refusal that passes.
_REFUSALS = re.compile(
    r"authentication failed|no password supplied|does not exist|pg_hba\.conf|permission denied|not permitted to log in"
    r"|does not support SSL|certificate"
)
_NO_DATABASE = re.compile(r'database ".*" does not exist')
_NO_SESSION = re.compile(r"connection to server|could not translate host name")  # decides only between "cannot be reached" and "broke off"
# The server's last words before it closes a session. libpq keeps them apart from the error, and without their SQLSTATE.
_LAST_WORDS = {"idle-in-transaction timeout": "25P03", "transaction timeout": "25P04", "idle-session timeout": "57P05"}


@dataclass(frozen=True)
class Server:
    """A database as its errors name it.

    place  what it is and where: "warehouse totesys on db.example:5432"
    hints  what to do, by SQLSTATE or its beginning; hints replace the cures of the rules above
    """

    place: str
    user: str
    hints: Mapping[str, str] = field(default_factory=dict)

    def error(self, error: psycopg2.Error, doing: str = "") -> PipelineError:
        """Return the pipeline's own error for an error of psycopg2. `doing` says what was tried, for example "reading payment"."""
        return self.error_of(*_state_and_words(error), doing)

    def error_of(self, state: str, words: str, doing: str = "") -> PipelineError:
        """Return the pipeline's own error for a SQLSTATE and the server's primary message."""
        prefix = _longest_prefix(_RULES, state)
        rule = _RULES[prefix]
        hint = _longest_prefix(self.hints, state)
        cure = self.hints[hint] if hint and len(hint) >= len(prefix) else rule.cure
        shown = [" ".join(words.split())] if words and rule.repeats_words else []
        if state not in ("", _REFUSED, _UNREACHED, _BROKEN):
            shown.append(f"SQLSTATE {state}")
        what = " ".join([self.place, rule.what.format(user=self.user), *([f"while {doing}"] if doing else [])])
        return rule.error(f"{what} ({', '.join(shown)})" if shown else what, cure.format(user=self.user))


def _longest_prefix(prefixes: Iterable[str], state: str) -> str:
    return max((prefix for prefix in prefixes if state.startswith(prefix)), key=len, default="")


def _state_and_words(error: psycopg2.Error) -> tuple[str, str]:
    if error.pgcode:
        return error.pgcode, error.diag.message_primary or ""
    if isinstance(error, (psycopg2.ProgrammingError, psycopg2.DataError, psycopg2.NotSupportedError)):
        return "", ""  # raised by psycopg2 itself, before the server: a fault of our code
    if last_words := _last_words(error):
        return next((state for text, state in _LAST_WORDS.items() if text in last_words), _BROKEN), last_words
    # libpq writes one paragraph per address that it tried. The reason in the last paragraph is enough.
    text = str(error).strip()
    reason = (text.rpartition("failed: ")[2].splitlines() or [type(error).__name__])[0]
    if _NO_DATABASE.search(reason):
        return "3D000", reason
    if _REFUSALS.search(reason):
        return _REFUSED, reason
    return (_UNREACHED if _NO_SESSION.match(text) else _BROKEN), reason


def keep_last_words(error: psycopg2.Error, connection: psycopg2.extensions.connection) -> None:
    """Store the server's last message in the error. libpq loses that message when the session is closed."""
    error.last_words = connection.info.error_message or ""  # type: ignore[attr-defined]  # an attribute of ours


def _last_words(error: psycopg2.Error) -> str:
    if not hasattr(error, "last_words") and error.cursor is not None:
        keep_last_words(error, error.cursor.connection)
    text = getattr(error, "last_words", "")
    return text.partition("FATAL:")[2].strip().partition("\n")[0]
