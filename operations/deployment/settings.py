"""The settings of a deployment: the file that TOTESYS_CONFIG names, and the environment, which wins.

A key of the file is a variable's name in lower case: `log_days` is TOTESYS_LOG_DAYS. The file never holds a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import tomllib
from totesys.errors import FatalError

CONFIG = "TOTESYS_CONFIG"
_PREFIX = "TOTESYS_"
_SECRETIVE = ("password", "passwd", "pwd", "token", "credential")


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return all settings as variables. The environment wins over the file. FatalError when the file cannot be used."""
    path = environment.get(CONFIG)
    return {**(read_config(Path(path)) if path else {}), **environment}


def read_config(path: Path) -> dict[str, str]:
    """Return the file's settings as variables."""
    try:
        chosen = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise FatalError(f"config file {path} cannot be read: {_reason(error)}") from error
    for key, value in chosen.items():
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise FatalError(f"{key} in {path} is neither text nor a number: a key takes one of these")
        if any(word in key.lower() for word in _SECRETIVE) or _has_password(str(value)):
            raise FatalError(f"{key} in {path} holds a secret: take it out, change it, and give it to the environment or at the prompt")
    return {variable(key): str(value) for key, value in chosen.items()}


def variable(key: str) -> str:
    """Return the variable of a key: TOTESYS_LOG_DAYS for log_days."""
    return _PREFIX + key.upper()


def key(variable: str) -> str:
    """Return the key of a variable: log_days for TOTESYS_LOG_DAYS."""
    return variable.removeprefix(_PREFIX).lower()


def _has_password(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False  # not a URL: whoever uses the value refuses it
    return parts.password is not None or any(word in name.lower() for name in parse_qs(parts.query) for word in _SECRETIVE)


def _reason(error: OSError | ValueError) -> str:
    """Return the error without the file's text, which may contain a secret."""
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else f"it is no TOML ({error})"
