"""Layout of help texts: options under headings, no Python types, no line breaks after hyphens.

``rich_help_panel`` of an option or argument is its heading; those without one come first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_CHOICES = re.compile(r"<([\w.|-]+)>$")
_RANGE = re.compile(r"([\d.]+)<=x<=([\d.]+)(?=[^\[]*\]$)")
_MINIMUM = re.compile(r"x>=([\d.]+)(?=[^\[]*\]$)")
_HYPHEN, _UNBROKEN_HYPHEN = "-", "\N{NON-BREAKING HYPHEN}"

_Context: Any = TyperCommand.context_class
_Formatter: Any = _Context.formatter_class


class _HelpFormatter(_Formatter):  # type: ignore[misc]  # a class of click, which Typer may bundle
    """A formatter that does not break lines after hyphens, so that options, paths and URLs can be copied."""

    def write(self, string: str) -> None:
        super().write(string.replace(_UNBROKEN_HYPHEN, _HYPHEN))

    def write_text(self, text: str) -> None:
        super().write_text(text.replace(_HYPHEN, _UNBROKEN_HYPHEN))

    def write_dl(self, rows: Iterable[tuple[str, str]], **options: int) -> None:
        super().write_dl([(name, text.replace(_HYPHEN, _UNBROKEN_HYPHEN)) for name, text in rows], **options)


class _HelpContext(_Context):  # type: ignore[misc]  # as above
    formatter_class = _HelpFormatter


class HelpCommand(TyperCommand):
    """A command with this layout of its help."""

    context_class = _HelpContext

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line after the command's name."""
        return _usage(self, ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options."""
        _write_parameters(self, ctx, formatter)


class HelpGroup(TyperGroup):
    """A group of commands with this layout of its help."""

    context_class = _HelpContext

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line after the group's name."""
        return [*_usage(self, ctx), self.subcommand_metavar]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, options and commands."""
        _write_parameters(self, ctx, formatter)
        self.format_commands(ctx, formatter)


class CommandApp(typer.Typer):
    """A Typer application of `HelpCommand` and `HelpGroup`.

    Parameters
    ----------
    group
        Class of the group.
    **options
        Options of `typer.Typer`.
    """

    def __init__(self, *, group: type[HelpGroup] = HelpGroup, **options: Any) -> None:
        super().__init__(cls=group, rich_markup_mode=None, **options)

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """Return a decorator that adds a command."""
        return super().command(name, cls=HelpCommand, **options)


def _usage(command: Any, ctx: Any) -> list[str]:
    """Return ``[OPTIONS]`` and the arguments, optional ones in brackets."""
    arguments = [parameter for parameter in command.get_params(ctx) if parameter.param_type_name == "argument"]
    names = [
        argument.display_name_raw if argument.required else f"[{argument.display_name_raw}]" for argument in arguments
    ]
    return [command.options_metavar, *names]


def _write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    """Write arguments and options under their headings, with ranges and choices in words."""
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is None:
            continue
        name, text = record
        if parameter.param_type_name == "argument":
            title, name = "Arguments", parameter.display_name_raw
            text = text.replace("; required]", "]").replace("  [required]", "")
        else:
            title, name = "Options", _CHOICES.sub(r"\1", name)
        text = _MINIMUM.sub(r"at least \1", _RANGE.sub(r"\1 to \2", text))
        sections.setdefault(parameter.rich_help_panel or title, []).append((name, text))
    for title, rows in sections.items():
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)
