"""Exceptions of facebank, in one hierarchy.

::

    FacebankError
    +-- UsageError                   invalid arguments, or a combination that is not allowed
    |   +-- ClosedError              the gallery, scan or bank was closed, or its file was replaced
    |   +-- SampleNotFoundError      a gallery has no sample with this number
    |   +-- GroupNotFoundError       a scan has no group with this number
    |   +-- GroupNamedError          a group of faces already has a name
    +-- MissingDependencyError       an optional package (an extra) is not installed
    +-- DeviceError                  the requested device cannot run the networks
    +-- StorageError                 disk full, no permission, a file that cannot be written
    +-- PhotoError                   a problem with one photo
    |   +-- PhotoNotFoundError
    |   +-- UnreadablePhotoError     not an image, or a damaged one
    |   +-- UnsupportedPhotoError    a format that is not supported, or needs an extra
    |   +-- PhotoTooLargeError       more bytes or pixels than the limits allow
    |   +-- NoFaceError              no face found in a photo that needs one
    |   +-- XmpError                 its XMP cannot be read or changed safely
    +-- VideoError                   a problem with one video
    |   +-- VideoNotFoundError
    |   +-- UnreadableVideoError     not a video, or none of its frames can be read
    |   +-- VideoTooLargeError       more pixels, frames or hours than the limits allow
    |   +-- StreamError              a camera or stream cannot be opened
    +-- ClusterError                 machines cannot be reached, do not match, or are gone
    +-- DatasetError                 an evaluation dataset is missing or damaged
    +-- ServiceError                 a service cannot run or be reached, or refuses a request
    +-- PackError                    a problem with a pack
    |   +-- PackNotFoundError
    |   +-- ManifestError            pack.toml is missing or invalid
    |   +-- PackIntegrityError       a file is missing, partial or altered
    |   +-- DownloadError
    |   +-- LicenceNotAcceptedError
    +-- ScanError                    a problem with a scan file
    |   +-- ScanNotFoundError
    |   +-- ScanFormatError          not a scan file, damaged, or written by a newer facebank
    |   +-- ScanBusyError            another process is scanning into it
    +-- GalleryError                 a problem with a gallery
        +-- GalleryNotFoundError
        +-- GalleryFormatError       not a gallery, or a damaged one
        +-- GalleryVersionError      written by a newer facebank
        +-- GalleryBusyError         another process is using it
        +-- PackMismatchError        its embeddings are from another pack
        +-- PersonNotFoundError
        +-- PersonExistsError
        +-- InvalidNameError
        +-- ExchangeError            an export cannot be imported

A message is one line: what is wrong, with which file or person, and what to do.
"""

from __future__ import annotations


class FacebankError(Exception):
    """Base class of all exceptions of facebank.

    Examples
    --------
    >>> try:
    ...     report = bank.enroll("Ada", "absent.jpg")
    ... except FacebankError as error:
    ...     print(error)
    there is no such file or folder: absent.jpg
    """


class UsageError(FacebankError):
    """The arguments of a call or command are invalid, or not allowed together.

    Examples
    --------
    >>> bank.identify(None)
    Traceback (most recent call last):
    facebank.errors.UsageError: a photo must be a path, bytes, ..., not None
    """


class ClosedError(UsageError):
    """The gallery, scan or bank was closed, perhaps by another thread, or its file was replaced; open it again.

    Examples
    --------
    >>> bank.close()
    >>> bank.people()
    Traceback (most recent call last):
    facebank.errors.ClosedError: The bank of people.facebank was closed: open it again.
    """


class SampleNotFoundError(UsageError):
    """The gallery has no sample with this number.

    Examples
    --------
    >>> bank.gallery.remove_sample(99)
    Traceback (most recent call last):
    facebank.errors.SampleNotFoundError: There is no sample 99 in people.facebank.
    """


class GroupNotFoundError(UsageError):
    """The scan has no group with this number; numbers change whenever faces are grouped again.

    Examples
    --------
    >>> album = bank.album()
    >>> report = album.scan("eileen.jpg")
    >>> album.name_group(7, "Eileen")
    Traceback (most recent call last):
    facebank.errors.GroupNotFoundError: there is no group 7: 'facebank cluster' lists the groups
    """


class GroupNamedError(UsageError):
    """Faces of the group are already samples of a person, and ``only_unnamed=True`` was passed.

    Examples
    --------
    >>> album = bank.album()
    >>> report = album.scan("eileen.jpg")
    >>> grouped = album.cluster(min_faces=1)
    >>> named = album.name_group(1, "Eileen", only_unnamed=True)
    >>> album.name_group(1, "Ellen", only_unnamed=True)
    Traceback (most recent call last):
    facebank.errors.GroupNamedError: group 1 is Eileen already: ...
    """


class MissingDependencyError(FacebankError):
    """A required optional package is not installed; the message names the extra.

    Examples
    --------
    >>> try:
    ...     photos = list(bank.identify("party.jpg"))
    ... except MissingDependencyError as error:
    ...     print(error)  # names the extra to install
    """


class DeviceError(FacebankError):
    """The requested device cannot run the networks.

    Examples
    --------
    >>> try:
    ...     photos = list(bank.identify("party.jpg"))
    ... except DeviceError:
    ...     print("use device='cpu'")
    """


class ServiceError(FacebankError):
    """A service cannot run or be reached, or refuses a request."""


class ClusterError(FacebankError):
    """Machines of a cluster cannot be reached, do not match, or are gone."""


class DatasetError(FacebankError):
    """An evaluation dataset is missing or damaged, or lacks what the protocol requires."""


class StorageError(FacebankError):
    """A file cannot be written: disk full, no permission, read-only medium.

    Examples
    --------
    >>> try:
    ...     report = bank.forget("Joe")
    ... except StorageError as error:
    ...     print(error)  # names the file, and whether the disk is full
    """


class PhotoError(FacebankError):
    """A problem with one photo; other photos are not affected.

    Examples
    --------
    >>> try:
    ...     result = bank.verify("broken.jpg", "joe.jpg")
    ... except PhotoError as error:
    ...     print(error)
    broken.jpg is not a photo: unknown file format
    """


class PhotoNotFoundError(PhotoError):
    """The file does not exist.

    Examples
    --------
    >>> bank.verify("absent.jpg", "joe.jpg")
    Traceback (most recent call last):
    facebank.errors.PhotoNotFoundError: there is no photo absent.jpg; check the path
    """


class UnreadablePhotoError(PhotoError):
    """The file is not an image, or a damaged one.

    Examples
    --------
    >>> bank.verify("broken.jpg", "joe.jpg")
    Traceback (most recent call last):
    facebank.errors.UnreadablePhotoError: broken.jpg is not a photo: unknown file format
    """


class UnsupportedPhotoError(PhotoError):
    """The format is not supported, or needs an extra that is not installed."""


class PhotoTooLargeError(PhotoError):
    """The photo has more bytes or pixels than the limits allow."""


class NoFaceError(PhotoError):
    """No face was found in a photo that needs one.

    Examples
    --------
    >>> import numpy as np
    >>> bank.verify(np.zeros((99, 99, 3), np.uint8), "joe.jpg")
    Traceback (most recent call last):
    facebank.errors.NoFaceError: <array>: no face was found
    """


class XmpError(PhotoError):
    """The XMP of a photo or its sidecar cannot be read, or cannot be changed without risking its content."""


class VideoError(FacebankError):
    """A problem with one video.

    Examples
    --------
    >>> try:
    ...     report = bank.video("absent.mp4")
    ... except VideoError as error:
    ...     print(error)
    there is no video absent.mp4; check the path
    """


class VideoNotFoundError(VideoError):
    """The file does not exist.

    Examples
    --------
    >>> bank.video("absent.mp4")
    Traceback (most recent call last):
    facebank.errors.VideoNotFoundError: there is no video absent.mp4; check the path
    """


class UnreadableVideoError(VideoError):
    """The file is not a video, or none of its frames can be read.

    Examples
    --------
    >>> bank.video("joe.jpg")
    Traceback (most recent call last):
    facebank.errors.UnreadableVideoError: ...
    """


class VideoTooLargeError(VideoError):
    """The video has more pixels, frames or hours than the limits allow."""


class StreamError(VideoError):
    """A camera or a stream cannot be opened.

    Examples
    --------
    >>> bank.watch("rtsp://127.0.0.1:1/front", print)
    Traceback (most recent call last):
    facebank.errors.StreamError: ...
    """


class PackError(FacebankError):
    """A problem with a pack.

    Examples
    --------
    >>> from facebank import load_pack
    >>> try:
    ...     pack = load_pack("no-such-pack")
    ... except PackError as error:
    ...     print(type(error).__name__)
    PackNotFoundError
    """


class PackNotFoundError(PackError):
    """No pack of this name is installed or known.

    Examples
    --------
    >>> from facebank import load_pack
    >>> load_pack("no-such-pack")
    Traceback (most recent call last):
    facebank.errors.PackNotFoundError: ...
    """


class ManifestError(PackError):
    """A ``pack.toml`` is missing or invalid.

    Examples
    --------
    >>> from pathlib import Path
    >>> from facebank import load_pack
    >>> Path("pack").mkdir()
    >>> Path("pack/pack.toml").touch()
    >>> load_pack(Path("pack"))
    Traceback (most recent call last):
    facebank.errors.ManifestError: ...
    """


class PackIntegrityError(PackError):
    """A file of a pack is missing, partial or altered."""


class DownloadError(PackError):
    """A pack could not be downloaded."""


class LicenceNotAcceptedError(PackError):
    """The license of a pack has not been accepted."""


class ScanError(FacebankError):
    """A problem with a scan file."""


class ScanNotFoundError(ScanError):
    """The scan file does not exist yet.

    Examples
    --------
    >>> bank.album().find(["Joe"])
    Traceback (most recent call last):
    facebank.errors.ScanNotFoundError: ...
    """


class ScanFormatError(ScanError):
    """The file is not a scan file, is damaged, or was written by a newer facebank.

    Examples
    --------
    >>> bank.album("joe.jpg").find(["Joe"])
    Traceback (most recent call last):
    facebank.errors.ScanFormatError: ...
    """


class ScanBusyError(ScanError):
    """Another process is scanning into the file."""


class GalleryError(FacebankError):
    """A problem with a gallery.

    Examples
    --------
    >>> from facebank import FaceBank
    >>> try:
    ...     people = FaceBank.open("party.jpg").people()
    ... except GalleryError as error:
    ...     print(type(error).__name__)
    GalleryFormatError
    """


class GalleryNotFoundError(GalleryError):
    """The gallery file does not exist yet.

    Examples
    --------
    >>> from facebank import FaceBank
    >>> FaceBank.open("absent.facebank").people()
    Traceback (most recent call last):
    facebank.errors.GalleryNotFoundError: ...
    """


class GalleryFormatError(GalleryError):
    """The file is not a gallery, or it is damaged.

    Examples
    --------
    >>> from facebank import FaceBank
    >>> FaceBank.open("party.jpg").people()
    Traceback (most recent call last):
    facebank.errors.GalleryFormatError: ...
    """


class GalleryVersionError(GalleryError):
    """The gallery was written by a newer facebank."""


class GalleryBusyError(GalleryError):
    """Another process is using the gallery."""


class PackMismatchError(GalleryError):
    """The gallery's embeddings were made by another pack."""


class PersonNotFoundError(GalleryError):
    """No person of this name is enrolled.

    Examples
    --------
    >>> bank.person("Ada")
    Traceback (most recent call last):
    facebank.errors.PersonNotFoundError: ...
    """


class PersonExistsError(GalleryError):
    """Another person already has this name.

    Examples
    --------
    >>> bank.rename("Joe", "Barack")
    Traceback (most recent call last):
    facebank.errors.PersonExistsError: ...
    """


class InvalidNameError(GalleryError):
    """The text is not a valid name of a person.

    Examples
    --------
    >>> bank.rename("Joe", "")
    Traceback (most recent call last):
    facebank.errors.InvalidNameError: ...
    """


class ExchangeError(GalleryError):
    """An export is incomplete or altered, or the folder is not an export.

    Examples
    --------
    >>> bank.import_people(".")
    Traceback (most recent call last):
    facebank.errors.ExchangeError: ...
    """


def was_interrupted(error: BaseException) -> bool:
    """Return whether an error was caused by Ctrl-C, which some imports of compiled modules turn into `ImportError`.

    Parameters
    ----------
    error
        The raised exception.
    """
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and not isinstance(cause, KeyboardInterrupt) and id(cause) not in seen:
        seen.add(id(cause))  # an error may be its own cause, for example in pymilvus
        cause = cause.__cause__ or cause.__context__
    return isinstance(cause, KeyboardInterrupt)
