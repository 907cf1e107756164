"""A sort journal is trusted only if the user's gallery signed it, and never outside its folders."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from facebank.album.sort.entries import Entry, SortMode
from facebank.album.sort.journal import (
    JOURNAL,
    SortJournal,
    adopt_journal,
    ensure_journal_key,
    journal_key,
    lock_journal,
    read_journal,
)
from facebank.album.sort.undo import undo_sorting
from facebank.errors import StorageError
from facebank.gallery import Gallery, PackIdentity
from facebank.storage.concurrency import try_flock

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
HASH = "ab" * 32


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The folder for the people's folders."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def entry(out: Path, number: int = 1, **changes: str) -> Entry:
    """Return a valid entry of a photo."""
    album = out.parent / "album"
    valid = Entry(SortMode.MOVE, str(album / f"{number}.jpg"), str(out / "Ada" / f"{number}.jpg"), HASH, "Ada", HASH)
    return Entry(**{**asdict(valid), **changes})


def write_journal(out: Path, count: int = 4, key: bytes = KEY) -> list[str]:
    """Write a journal; return its lines."""
    with SortJournal.open(out, out.parent / "album", key) as journal:
        for number in range(count):
            journal.write([entry(out, number)])
    return (out / JOURNAL).read_text().splitlines(keepends=True)


def test_entries_are_read_back(out: Path) -> None:
    write_journal(out)
    journal = read_journal(out, KEY)
    assert [row.source for row in journal.entries] == [entry(out, number).source for number in range(4)]
    assert set(journal.folders) == {out.parent / "album"}
    assert (journal.untrusted_reason, journal.refused, journal.unfinished, journal.is_signed) == (None, (), 0, True)
    assert (out / JOURNAL).stat().st_mode & 0o777 == 0o600


def test_a_world_readable_journal_becomes_private(out: Path) -> None:
    write_journal(out)
    (out / JOURNAL).chmod(0o644)
    write_journal(out)
    assert (out / JOURNAL).stat().st_mode & 0o777 == 0o600
    assert len(read_journal(out, KEY).entries) == 8


def test_entries_that_a_kill_may_have_interrupted_are_unfinished(out: Path) -> None:
    lines = write_journal(out)
    (out / JOURNAL).write_text("".join(lines[:-1]))
    assert read_journal(out, KEY).unfinished == 1
    (out / JOURNAL).write_text("".join(lines[:-1]) + '{"way": "mo')
    assert read_journal(out, KEY).unfinished == 1
    write_journal(out, 0)
    assert read_journal(out, KEY).unfinished == 0


def strip_signature(line: str) -> str:
    """Return a line without its signature."""
    return line.partition(', "mac')[0] + "}\n"


TamperLines = Callable[[list[str], list[str]], list[str]]
TAMPERINGS: dict[str, TamperLines] = {
    "a line is missing": lambda lines, _: [*lines[:2], *lines[3:]],
    "the first line is missing": lambda lines, _: lines[1:],
    "two lines are swapped": lambda lines, _: [*lines[:2], lines[3], lines[2], *lines[4:]],
    "a line occurs twice": lambda lines, _: [*lines[:3], lines[2], *lines[3:]],
    "a line comes from another journal": lambda lines, other: [*lines[:3], other[3], *lines[4:]],
    "another journal is appended": lambda lines, other: [*lines, *other],
    "a target is changed": lambda lines, _: [lines[0], lines[1], lines[2].replace("Ada", "Bob"), *lines[3:]],
    "a signature is missing": lambda lines, _: [*lines[:2], strip_signature(lines[2]), *lines[3:]],
    "a signature is no text": lambda lines, _: [*lines[:2], '{"done": true, "mac": 7}\n', *lines[3:]],
    "no line is signed": lambda lines, _: [strip_signature(line) for line in lines],
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_tampered_journal_is_refused(out: Path, tampering: str) -> None:
    other = out.parent / "other"
    other.mkdir()
    text = "".join(TAMPERINGS[tampering](write_journal(out), write_journal(other)))
    (out / JOURNAL).write_text(text)
    journal = read_journal(out, KEY)
    assert journal.untrusted_reason is not None
    assert not journal.entries
    with pytest.raises(StorageError, match="--undo --dry-run"):
        undo_sorting(journal)
    with pytest.raises(StorageError, match="--undo --dry-run"):
        SortJournal.open(out, out.parent, KEY)
    assert (out / JOURNAL).read_text() == text


@pytest.mark.parametrize("key", [None, OTHER_KEY])
def test_a_journal_of_another_gallery_is_refused(out: Path, key: bytes | None) -> None:
    write_journal(out)
    assert "was not written with this gallery" in (read_journal(out, key).untrusted_reason or "")


def test_advised_commands_can_be_pasted_into_a_shell(out: Path) -> None:
    spaced = out.with_name("sorted photos")
    spaced.mkdir()
    write_journal(spaced)
    doubt = read_journal(spaced, OTHER_KEY).untrusted_reason or ""
    preview, trust = (shlex.split(command) for command in re.findall(r"`([^`]+)`", doubt))
    assert preview == ["facebank", "sort", str(spaced), "--undo", "--dry-run"]
    assert trust == ["facebank", "sort", "DIR", str(spaced), "--trust-journal"]


def test_any_changed_character_is_refused(out: Path) -> None:
    text, rng = "".join(write_journal(out)), random.Random(5)
    for _ in range(200):
        position = rng.randrange(len(text) - 1)
        (out / JOURNAL).write_text(text[:position] + rng.choice('x0"}') + text[position + 1 :])
        try:
            journal = read_journal(out, KEY)
        except StorageError:
            continue
        original = "".join(json.dumps(json.loads(line), sort_keys=True) for line in text.splitlines())
        changed = "".join(
            json.dumps(json.loads(line), sort_keys=True) for line in (out / JOURNAL).read_text().splitlines()
        )
        assert journal.untrusted_reason is not None or original == changed


def test_a_journal_belongs_to_its_folder(out: Path) -> None:
    write_journal(out)
    elsewhere = out.parent / "elsewhere"
    elsewhere.mkdir()
    (out / JOURNAL).rename(elsewhere / JOURNAL)
    assert "is about" in (read_journal(elsewhere, KEY).untrusted_reason or "")


def test_a_folder_may_be_named_by_a_link(out: Path) -> None:
    write_journal(out)
    (out.parent / "link").symlink_to(out)
    first, *_ = read_journal(out.parent / "link", KEY).entries
    assert first.target == str(out.parent / "link" / "Ada" / "0.jpg")


@pytest.mark.parametrize("is_signed", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {"target": "{out}/../y.jpg"},
        {"target": "{out}/y.jpg"},
        {"target": "{out}/Ada/more/y.jpg"},
        {"target": "{out}/../out/Ada/y.jpg"},
        {"target": "{out}/.hidden/y.jpg"},
        {"target": "{out}/Ada./y.jpg"},
        {"target": "Ada/y.jpg"},
        {"target": "/etc/passwd"},
        {"target": "{out}/Ada/y.jpg\0"},
        {"target": "{out}/Ada/" + "y" * 40_000},
        {"target": "{out}/Ada/\ud800.jpg"},
        {"source": "/home/ada/.config/autostart/evil.desktop"},
        {"source": "{out}/../album/../x.jpg"},
        {"source": "{out}/../album"},
        {"source": "album/x.jpg"},
        {"source": "{out}/../album/evil.xmp"},
        {"target": "{out}/Ada/evil.xmp"},
        {"mode": "remove"},
        {"content_hash": "AB" * 32},
        {"content_hash": ""},
        {"picture_hash": "1"},
    ],
)
def test_an_invalid_entry_is_refused_even_if_signed(out: Path, changes: dict[str, str], is_signed: bool) -> None:
    album = out.parent / "album"
    invalid = entry(out, 1, **{name: value.replace("{out}", str(out)) for name, value in changes.items()})
    if is_signed:
        with SortJournal.open(out, album, KEY) as written:
            written.write([invalid])
        journal = read_journal(out, KEY)
    else:
        (out / JOURNAL).write_text(json.dumps(invalid.line) + "\n")
        journal = read_journal(out, KEY, album)
    assert not journal.entries
    with pytest.raises(StorageError, match="is not valid"):
        undo_sorting(journal)


@pytest.mark.parametrize(
    "data",
    [
        b"[1, 2]\n",
        b"\xff\xfe\n",
        b"null\n",
        b'{"journal": 2\n',
        b"[" * 100_000 + b"\n",
        b'{"journal": ' + b"1" * 5000 + b"}\n",
        b'{"way": "' + b"x" * (1 << 18) + b'"}\n',
    ],
)
def test_a_file_that_is_no_journal_is_reported_as_damaged(out: Path, data: bytes) -> None:
    (out / JOURNAL).write_bytes(data)
    with pytest.raises(StorageError, match="is damaged"):
        read_journal(out, KEY)


@pytest.mark.parametrize(
    "line", ['{"way": {}, "source": [[]]}', "{}", '{"folder": "\\u0000"}', '{"folder": "\\ud800", "journal": 9}']
)
def test_an_invalid_line_is_shown_and_refused(out: Path, line: str) -> None:
    (out / JOURNAL).write_text(f"{line}\n")
    journal = read_journal(out, KEY, out)
    assert not journal.entries
    assert read_journal(out, KEY).untrusted_reason is not None


def test_links_pipes_and_devices_are_refused_as_journals(out: Path) -> None:
    path = out / JOURNAL
    makers: list[Callable[[], object]] = [
        lambda: path.symlink_to("/dev/zero"),
        lambda: path.symlink_to(out / "none"),
        lambda: os.mkfifo(path),
        path.mkdir,
    ]
    for make in makers:
        make()
        with pytest.raises(StorageError):
            read_journal(out, KEY)
        with pytest.raises(StorageError):
            SortJournal.open(out, out, KEY)
        path.rmdir() if path.is_dir() else path.unlink()
    assert not list(out.iterdir())


def test_a_journal_above_the_size_limit_is_not_read(out: Path) -> None:
    with (out / JOURNAL).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(StorageError, match="is damaged"):
        read_journal(out, KEY)


def test_only_one_process_can_sort_or_undo(out: Path) -> None:
    with SortJournal.open(out, out.parent, KEY):
        with pytest.raises(StorageError, match="another process"):
            SortJournal.open(out, out.parent, KEY)
        with pytest.raises(StorageError, match="another process"), lock_journal(read_journal(out, KEY)):
            pass


def test_a_journal_removed_before_it_was_locked_is_not_written(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_journal(out)

    def remove_and_lock(handle: int) -> bool | None:
        (out / JOURNAL).unlink(missing_ok=True)
        return try_flock(handle)

    monkeypatch.setattr("facebank.album.sort.journal.try_flock", remove_and_lock)
    with pytest.raises(StorageError, match="another process"):
        SortJournal.open(out, out.parent, KEY)


def test_a_journal_that_grew_since_it_was_read_is_not_undone(out: Path) -> None:
    write_journal(out, 1)
    journal = read_journal(out, KEY)
    write_journal(out, 2)
    with pytest.raises(StorageError, match="another process"):
        undo_sorting(journal)
    assert len(read_journal(out, KEY).entries) == 3


def test_an_unsigned_journal_is_signed_if_the_user_trusts_it(out: Path) -> None:
    (out / JOURNAL).write_text(json.dumps(entry(out).line) + "\n")
    assert read_journal(out, KEY).untrusted_reason is not None
    album = out.parent / "album"
    adopt_journal(read_journal(out, KEY, album), album, KEY)
    assert read_journal(out, KEY).entries == (entry(out),)


def test_a_trusted_journal_cannot_name_hidden_files(out: Path) -> None:
    hidden = entry(out, 1, source=str(out.parent / ".config" / "autostart" / "evil.jpg"))
    (out / JOURNAL).write_text(json.dumps(hidden.line) + "\n")
    ((_, message),) = read_journal(out, KEY, out.parent).refused
    assert "hidden" in message


def test_the_key_stays_in_the_gallery(tmp_path: Path) -> None:
    pack = PackIdentity("made up", "00" * 32, 4)
    with Gallery.open(tmp_path / "a.facebank", pack, create=True) as gallery:
        assert journal_key(gallery) is None
        key = ensure_journal_key(gallery)
        assert key == ensure_journal_key(gallery) == journal_key(gallery)
        assert len(key) == 32
        gallery.write_setting("sort_journal_key", "short")
        with pytest.raises(StorageError, match="damaged"):
            ensure_journal_key(gallery)
