"""``facebank serve``: the page and the HTTP service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facebank.errors import MissingDependencyError, ServiceError, UsageError
from facebank.storage.text import printable

from .formatting import CommandApp
from .options import AsJson, example
from .output import say, write_json, write_line, write_table
from .settings import settings_of

if TYPE_CHECKING:
    from facebank.service.keys import KeyFile
    from facebank.service.options import ServiceOptions

EXAMPLES = """\b
Examples:
  facebank serve --album ~/Pictures --open
  facebank serve --host 0.0.0.0 --token-file token.txt
  facebank serve keys add doorbell --role read

Exit codes: 0 served until it was told to stop; 2 wrong usage, or the address cannot be used."""

_LONGEST_TOKEN_FILE = 1_000  # bytes
_SHORTEST_TOKEN = 20  # characters


def register(app: typer.Typer) -> None:
    """Add the commands."""
    service = CommandApp(invoke_without_command=True, epilog=EXAMPLES)
    service.callback()(serve)
    keys = CommandApp(
        help="Add, list and revoke keys of the service.",
        no_args_is_help=True,
        epilog=example("serve keys list"),
    )
    for name, command, words in (
        ("add", add, "add doorbell --role read"),
        ("list", list_keys, "list"),
        ("revoke", revoke, "revoke doorbell"),
    ):
        keys.command(name, epilog=example(f"serve keys {words}"))(command)
    service.add_typer(keys, name="keys")
    app.add_typer(service, name="serve")


def serve(
    ctx: typer.Context,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; any address but this machine's own needs a key.")
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
        typer.Option(metavar="NAME", help="Another name of this machine, as behind a proxy; needs a key."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A file with a key that may do everything; made with a new key if it is missing."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=256, help="Photos analyzed at once. Default: one for each core."),
    ] = None,
    requests_a_minute: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Most requests a minute of one key, or of one address without a key."),
    ] = 1200,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Allow requests for embeddings; faces can be rebuilt from them.")
    ] = False,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Answer with exact similarities; faces can be rebuilt from many of them."),
    ] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in your browser.")] = False,
) -> int:
    """Serve the page for the browser and the HTTP API.

    Runs until Ctrl-C. Only this machine can use it, without a key, unless --host or --allow-host say otherwise. Nothing
    is asked of any other machine.
    """
    if ctx.invoked_subcommand is not None:
        return 0
    options = _options(
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
    from facebank.service.running import Server, address_of, listen

    token = None if token_file is None else _token_in(token_file)
    with settings_of(ctx).open_bank(works_long=True) as bank, listen(options) as listening:
        app = make_app(bank, options, token)
        if not options.is_local and token is None:
            _tell_first_key(bank.path)
        address = address_of(options, listening.getsockname()[1])

        def started() -> None:
            say(f"serving {address} (Ctrl-C stops it)")
            if open_page:
                import webbrowser

                webbrowser.open(address)

        Server(app, started).run([listening])
    return 0


def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The name of the key.")],
    role: Annotated[
        str, typer.Option(metavar="ROLE", help="read, teach (enroll and correct, too) or admin (everything).")
    ] = "read",
    as_json: AsJson = False,
) -> int:
    """Make a key, and print it this once.

    It is valid at once, also for a service that is running.
    """
    from facebank.service.keys import Role

    key = _keys(ctx).add(name, Role.named(role))
    if as_json:
        write_json({"name": name, "role": role.lower(), "key": key})
    else:
        write_line(key)
        say("keep it: it is not stored and cannot be told again")
    return 0


def list_keys(ctx: typer.Context, as_json: AsJson = False) -> int:
    """List names, roles and days of the keys."""
    keys = _keys(ctx).keys()
    if as_json:
        for key in keys:
            write_json({"name": key.name, "role": key.role, "created_at": key.created_at})
    else:
        write_table(("key", "role", "made"), [(key.name, key.role, key.created_at[:10]) for key in keys])
    return 0


def revoke(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The name of the key.")],
    as_json: AsJson = False,
) -> int:
    """Make a key invalid at once."""
    _keys(ctx).revoke(name)
    if as_json:
        write_json({"name": name, "revoked": True})
    else:
        write_line(f"{name} is revoked")
    return 0


def _options(*, requests_a_minute: int, **given: object) -> ServiceOptions:
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
    options = ServiceOptions(limits=limits, **given)  # type: ignore[arg-type]  # as the command's options are typed
    for folder in options.albums:
        if not folder.is_dir():
            raise UsageError(f"{printable(str(folder))} is no folder: --album takes a folder of photos")
    return options


def _keys(ctx: typer.Context) -> KeyFile:
    from facebank.gallery import default_gallery_path
    from facebank.service.keys import KeyFile

    return KeyFile.of_gallery(settings_of(ctx).gallery or default_gallery_path())


def _tell_first_key(gallery: Path) -> None:
    from facebank.service.keys import KeyFile, Role

    keys = KeyFile.of_gallery(gallery)
    if not keys.keys():
        key = keys.add("first", Role.ADMIN)
        say(f"other machines need a key; this one may do everything, and is told this once: {key}")


def _token_in(path: Path) -> str:
    from facebank.service.keys import new_token
    from facebank.storage.files import write_file

    try:
        with path.open("rb") as stream:
            token = stream.read(_LONGEST_TOKEN_FILE + 1).decode().strip()
    except FileNotFoundError:
        token = new_token()
        write_file(path, f"{token}\n".encode(), advice="name a file that can be written with --token-file")
        say(f"{path} has a new key, which may do everything")
        return token
    except (OSError, UnicodeDecodeError) as error:
        raise ServiceError(f"{printable(str(path))} cannot be read: name a file with one line, a key") from error
    if not _SHORTEST_TOKEN <= len(token) <= _LONGEST_TOKEN_FILE or not token.isprintable() or " " in token:
        raise ServiceError(
            f"{printable(str(path))} holds no key: it is one line of {_SHORTEST_TOKEN} characters and more, without "
            "spaces; name a missing file to have one made"
        )
    return token
