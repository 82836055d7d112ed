"""One config file: what it sets, what wins over it, and what it must not hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tomllib
from totesys.errors import FatalError

from operations.deployment.deployment import project_name
from operations.deployment.settings import settings
from operations.deployment.stacks import STACKS
from operations.deployment.templates import DECIDED, Template, check_config, variable
from operations.deployment.urls import parse_url

EXAMPLE = Path(__file__).parents[3] / "totesys.example.toml"
Write = Callable[[str], Path]


@pytest.fixture
def config(tmp_path: Path) -> Write:
    """A config file with this text."""

    def write(text: str) -> Path:
        path = tmp_path / "totesys.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def test_a_key_is_a_variable_that_the_environment_does_not_set(config: Write) -> None:
    path = config('project = "mine"\nworkers = 3\nlog_days = 30\n')
    chosen = settings({"TOTESYS_CONFIG": str(path), "TOTESYS_WORKERS": "5"})
    assert (chosen["TOTESYS_WORKERS"], chosen["TOTESYS_LOG_DAYS"], project_name(chosen)) == ("5", "30", "mine")


def test_no_file_is_needed() -> None:
    assert settings({"TOTESYS_CONFIG": "", "TOTESYS_WORKERS": "5"}) == {"TOTESYS_CONFIG": "", "TOTESYS_WORKERS": "5"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('password = "secret-word"', "password in .* holds a secret: take it out"),
        ('source_password = "secret-word"', "source_password in .* holds a secret"),
        ('source_url = "postgresql://owner:secret-word@db.example/totesys"', "source_url in .* holds a secret"),
        ('source_url = "postgresql://owner@db.example/totesys?password=secret-word"', "source_url in .* holds a secret"),
        ('workers = ["secret-word"]', "workers in .* is neither text nor a number"),
        ("workers = secret-word", r"cannot be read: it is no TOML \(Invalid value \(at line 1, column 11\)\)"),
    ],
)
def test_a_file_with_a_secret_or_another_shape_is_refused_without_showing_it(config: Write, line: str, said: str) -> None:
    path = config(line)
    with pytest.raises(FatalError, match=said) as caught:
        settings({"TOTESYS_CONFIG": str(path)})
    assert "secret-word" not in str(caught.value)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(FatalError, match=r"config file nowhere\.toml cannot be read: No such file or directory"):
        settings({"TOTESYS_CONFIG": "nowhere.toml"})


@pytest.mark.parametrize("key", ["worker", "load_script", "accept_breaking"])
def test_an_unknown_key_is_an_error_that_names_the_known_ones(config: Write, key: str) -> None:
    with pytest.raises(FatalError, match=f"has {key}; known keys are alert_email, .*, worker_type$"):
        check_config(config(f'{key} = "x"'))


def test_the_example_explains_every_key_with_its_default() -> None:
    lines = EXAMPLE.read_text("utf-8").splitlines()
    keys = tomllib.loads("\n".join(line.removeprefix("# ") if " = " in line else "" for line in lines))
    defaults = {key: value for name in STACKS for key, value in Template.read(name).parameters.items() if key not in DECIDED}
    databases = {f"TOTESYS_{name}_{what}" for name in ("SOURCE", "WAREHOUSE") for what in ("URL", "CA")}
    assert {*map(variable, defaults), *databases} == {f"TOTESYS_{key.upper()}" for key in keys}
    commented = tomllib.loads("\n".join(line.removeprefix("# ") for line in lines if line.startswith("# ") and " = " in line))
    for parameter, default in defaults.items():
        key = variable(parameter).removeprefix("TOTESYS_").lower()
        if default and key in commented:
            assert str(commented[key]) == default, key


def test_the_example_is_a_file_that_a_deploy_takes() -> None:
    check_config(EXAMPLE)
    chosen = settings({"TOTESYS_CONFIG": str(EXAMPLE)})
    assert parse_url(chosen["TOTESYS_SOURCE_URL"], "TOTESYS_SOURCE_URL").place == "totesys on totesys.example.com:5432"
