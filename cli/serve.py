"""``facebank serve``: serves the web page and the HTTP API, and manages their keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facebank.errors import MissingDependencyError, UsageError
from facebank.storage.text import printable

from .global_options import global_options
from .help_layout import CommandApp
from .options import AsJson, example
from .output import say, write_json, write_line, write_table

if TYPE_CHECKING:
    from facebank.service.keys import KeyFile
    from facebank.service.options import ServiceOptions

EXAMPLES = """\b
Examples:
  facebank serve --album ~/Pictures --open
  facebank serve --host 0.0.0.0 --token-file token.txt
  facebank serve keys add doorbell --role read

Exit codes: 0 stopped with Ctrl-C or SIGTERM; 2 wrong usage, or the address cannot be used."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    service = CommandApp(invoke_without_command=True, epilog=EXAMPLES)
    service.callback()(serve)
    keys = CommandApp(
        help="Add, list and revoke keys of the service.",
        no_args_is_help=True,
        epilog=example("serve keys list"),
    )
    for name, command, arguments in (
        ("add", add, "add doorbell --role read"),
        ("list", list_keys, "list"),
        ("revoke", revoke, "revoke doorbell"),
    ):
        keys.command(name, epilog=example(f"serve keys {arguments}"))(command)
    service.add_typer(keys, name="keys")
    app.add_typer(service, name="serve")


def serve(
    ctx: typer.Context,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; any but a loopback address needs a key.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="Port to listen on; 0 for any that is free.")
    ] = 8470,
    album: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="A folder whose photos the page shows and scans; may be repeated."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Host name to accept, such as that of a proxy; needs a key."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A file with an admin key; created with a new key if it does not exist."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=256, help="Photos analyzed at once. Default: one for each core."),
    ] = None,
    requests_a_minute: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Maximum number of requests a minute per key, or per address without a key."
        ),
    ] = 1200,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Allow requests for embeddings; faces can be reconstructed from them.")
    ] = False,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Return exact similarities; faces can be reconstructed from many of them."),
    ] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in your browser.")] = False,
) -> int:
    """Serve the web page and the HTTP API.

    Runs until Ctrl-C. By default only this machine can connect, without a key; --host and --allow-host admit others.
    The service connects to no other machine.
    """
    if ctx.invoked_subcommand is not None:
        return 0
    options = _service_options(
        host=host,
        port=port,
        albums=tuple(album or ()),
        hosts=tuple(allow_host or ()),
        embeddings=embeddings,
        exact=exact,
        requests_a_minute=requests_a_minute,
        **({} if workers is None else {"workers": workers}),
    )
    from facebank.service.application import make_app
    from facebank.service.server import Server, address_of, listen

    token = None if token_file is None else _read_token(token_file)
    with global_options(ctx).open_bank(long_running=True) as bank, listen(options) as listener:
        app = make_app(bank, options, token)
        if not options.is_local and token is None:
            _create_first_key(bank.path)
        address = address_of(options, listener.getsockname()[1])

        def report_start() -> None:
            say(f"serving {address} (Ctrl-C stops it)")
            if open_page:
                import webbrowser

                webbrowser.open(address)

        Server(app, report_start).run([listener])
    return 0


def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The name of the key.")],
    role: Annotated[
        str, typer.Option(metavar="ROLE", help="Role: read, teach (enroll and correct, too) or admin (everything).")
    ] = "read",
    as_json: AsJson = False,
) -> int:
    """Create a key and print it.

    The key is shown only once. It is valid immediately, even for a running service.
    """
    from facebank.service.keys import Role

    key = _keys(ctx).add(name, Role.from_name(role))
    if as_json:
        write_json({"name": name, "role": role.lower(), "key": key})
    else:
        write_line(key)
        say("save the key now: it is not stored and cannot be shown again")
    return 0


def list_keys(ctx: typer.Context, as_json: AsJson = False) -> int:
    """List the keys with their roles and dates."""
    keys = _keys(ctx).keys()
    if as_json:
        for key in keys:
            write_json({"name": key.name, "role": key.role, "created_at": key.created_at})
    else:
        write_table(("key", "role", "created"), [(key.name, key.role, key.created_at[:10]) for key in keys])
    return 0


def revoke(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The name of the key.")],
    as_json: AsJson = False,
) -> int:
    """Revoke a key immediately."""
    _keys(ctx).revoke(name)
    if as_json:
        write_json({"name": name, "revoked": True})
    else:
        write_line(f"{name} is revoked")
    return 0


def _service_options(*, requests_a_minute: int, **values: object) -> ServiceOptions:
    """Return the options of the service; raises MissingDependencyError without the extra ``serve``."""
    try:
        import fastapi  # noqa: F401
        import jinja2  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"the service needs the extra 'serve' ({error.name} is missing): python -m pip install 'facebank[serve]'"
        ) from error
    from facebank.service.options import Limits, ServiceOptions

    limits = Limits(requests_a_minute=requests_a_minute)
    options = ServiceOptions(limits=limits, **values)  # type: ignore[arg-type]  # as the command's options are typed
    for folder in options.albums:
        if not folder.is_dir():
            raise UsageError(f"{printable(str(folder))} is not a folder: --album takes a folder of photos")
    return options


def _keys(ctx: typer.Context) -> KeyFile:
    from facebank.gallery import default_gallery_path
    from facebank.service.keys import KeyFile

    return KeyFile.of_gallery(global_options(ctx).gallery or default_gallery_path())


def _create_first_key(gallery: Path) -> None:
    """Create and print an admin key if the gallery has no keys yet."""
    from facebank.service.keys import KeyFile, Role

    keys = KeyFile.of_gallery(gallery)
    if not keys.keys():
        key = keys.add("first", Role.ADMIN)
        say(f"other machines need a key; this admin key is shown only once: {key}")


def _read_token(path: Path) -> str:
    """Return the key in a file, which is created with a new key if it does not exist."""
    from facebank.service.keys import create_token_file, read_token_file

    token = read_token_file(path)
    if token is None:
        token = create_token_file(path)
        say(f"{path} was created with a new admin key")
    return token
