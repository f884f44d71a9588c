"""Every setting as a flag of every command that needs settings."""

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from bootstrap.settings import Settings, SettingsError, load, mistyped

_ALIASES = {"data_dir": ("--data", "--data-dir")}


@contextmanager
def settings_errors(code: int) -> Iterator[None]:
    """End the program with this exit code where a setting is wrong, and say which and what its rule is."""
    try:
        yield
    except SettingsError as error:
        typer.secho(f"settings: {error}", err=True, fg="red")
        raise typer.Exit(code) from error


def with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command whose first parameter is ``settings`` one flag per setting, and ``--config``.

    A flag that is not given leaves the environment, the file and the default to decide; a bad one ends the program with
    the setting's name and rule.
    """
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    flags = [_flag(name, field) for name, field in Settings.model_fields.items()]
    config = inspect.Parameter(
        "config",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[
            Path | None, typer.Option(help="TOML file of settings.", envvar="ERX_CONFIG", rich_help_panel="Settings")
        ],
    )

    def run(**arguments: Any) -> Any:
        given = {name: arguments.pop(name) for name in Settings.model_fields}
        with settings_errors(2):
            settings = load(arguments.pop("config"), **given)
        for name, meant in mistyped(os.environ).items():
            typer.secho(f"settings: {name} is none and has no effect; is {meant} meant?", err=True, fg="yellow")
        return command(settings, **arguments)

    keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    parameters = [*keyword, config, *flags]
    run.__name__ = command.__name__
    run.__doc__ = command.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # read by typer
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _flag(name: str, field: FieldInfo) -> inspect.Parameter:
    kind = _kind(field.annotation)
    dashed = "--" + name.replace("_", "-")
    names = _ALIASES.get(name, (f"{dashed}/--no-{name.replace('_', '-')}",) if kind is bool else (dashed,))
    option = typer.Option(
        *names, help=field.description, show_default=False, rich_help_panel="Settings", hidden=_is_secret(field)
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _kind(annotation: Any) -> Any:
    for kind in (bool, int, float, Path):
        if annotation is kind or kind in get_args(annotation):
            return kind
    return str if get_origin(annotation) is not None or annotation in (str, SecretStr) else annotation


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in get_args(field.annotation)
