"""Every error that facebank raises on purpose, in one tree.

::

    FacebankError
    +-- UsageError                   arguments that make no sense together
    |   +-- ClosedError              a gallery, scan or bank that was closed, perhaps by another thread
    +-- MissingDependencyError       an optional package (an extra) is not installed
    +-- DeviceError                  the device asked for cannot run the networks
    +-- StorageError                 disk full, no permission, a file that cannot be written
    +-- PhotoError                   something is wrong with one photo
    |   +-- PhotoNotFoundError
    |   +-- UnreadablePhotoError     no image, or a broken one
    |   +-- UnsupportedPhotoError    a format that is not read, or not without an extra
    |   +-- PhotoTooLargeError       more bytes or pixels than the limits allow
    |   +-- NoFaceError              shows no face where one is needed
    |   +-- XmpError                 its XMP cannot be read, or not be changed safely
    +-- VideoError                   something is wrong with one video
    |   +-- VideoNotFoundError
    |   +-- UnreadableVideoError     no video, or none of its frames can be read
    |   +-- VideoTooLargeError       more pixels, frames or hours than the limits allow
    |   +-- StreamError              a camera or a stream that cannot be opened
    +-- PackError                    something is wrong with a pack
    |   +-- PackNotFoundError
    |   +-- ManifestError            pack.toml is missing or says something wrong
    |   +-- PackIntegrityError       a file is missing, partial or altered
    |   +-- DownloadError
    |   +-- LicenceNotAcceptedError
    +-- ScanError                    something is wrong with a scan file
    |   +-- ScanNotFoundError
    |   +-- ScanFormatError          no scan file, a damaged one, or a newer facebank's
    |   +-- ScanBusyError            another process is scanning into it
    +-- GalleryError                 something is wrong with a gallery
        +-- GalleryNotFoundError
        +-- GalleryFormatError       no gallery, or a damaged one
        +-- GalleryVersionError      written by a newer facebank
        +-- GalleryBusyError         another process is using it
        +-- PackMismatchError        its embeddings were made by another pack
        +-- PersonNotFoundError
        +-- PersonExistsError
        +-- InvalidNameError
        +-- ExchangeError            an export that cannot be imported

A message says what is wrong, with which file or person, and what to do about it, in one line.
"""

from __future__ import annotations


class FacebankError(Exception):
    """Base of all errors raised on purpose.

    Examples
    --------
    >>> try:
    ...     report = bank.enroll("Ada", "absent.jpg")
    ... except FacebankError as error:
    ...     print(error)
    there is no such file or folder: absent.jpg
    """


class UsageError(FacebankError):
    """The arguments of a call or a command make no sense together.

    Examples
    --------
    >>> bank.identify(None)
    Traceback (most recent call last):
    facebank.errors.UsageError: a photo is a path, bytes, ..., not None
    """


class ClosedError(UsageError):
    """What is used was closed, perhaps by another thread meanwhile: open it anew.

    Examples
    --------
    >>> bank.close()
    >>> bank.people()
    Traceback (most recent call last):
    facebank.errors.ClosedError: The bank of people.facebank was closed: open it anew.
    """


class MissingDependencyError(FacebankError):
    """An optional package is needed and not installed; the message names the extra.

    Examples
    --------
    >>> try:
    ...     photos = list(bank.identify("party.jpg"))
    ... except MissingDependencyError as error:
    ...     print(error)  # names the extra to install
    """


class DeviceError(FacebankError):
    """The device that was asked for cannot run the networks.

    Examples
    --------
    >>> try:
    ...     photos = list(bank.identify("party.jpg"))
    ... except DeviceError:
    ...     print("use device='cpu'")
    """


class StorageError(FacebankError):
    """A file cannot be written: disk full, no permission, read-only medium.

    Examples
    --------
    >>> try:
    ...     forgotten = bank.forget("Joe")
    ... except StorageError as error:
    ...     print(error)  # names the file, and says whether the disk is full
    """


class PhotoError(FacebankError):
    """Something is wrong with one photo; the others can go on.

    Examples
    --------
    >>> try:
    ...     result = bank.verify("broken.jpg", "joe.jpg")
    ... except PhotoError as error:
    ...     print(error)
    broken.jpg is no photo: its bytes are of no format that is read
    """


class PhotoNotFoundError(PhotoError):
    """There is no such file.

    Examples
    --------
    >>> bank.verify("absent.jpg", "joe.jpg")
    Traceback (most recent call last):
    facebank.errors.PhotoNotFoundError: there is no photo absent.jpg; check the path
    """


class UnreadablePhotoError(PhotoError):
    """The file is no image, or a broken one."""


class UnsupportedPhotoError(PhotoError):
    """The format is not read, or only with an extra that is not installed."""


class PhotoTooLargeError(PhotoError):
    """The photo has more bytes or pixels than the limits allow."""


class NoFaceError(PhotoError):
    """The photo shows no face, and one is needed.

    Examples
    --------
    >>> import numpy as np
    >>> bank.verify(np.zeros((99, 99, 3), np.uint8), "joe.jpg")
    Traceback (most recent call last):
    facebank.errors.NoFaceError: <array>: no face was found
    """


class XmpError(PhotoError):
    """The XMP of a photo or of its sidecar cannot be read, or not be changed without a risk for what is in it."""


class VideoError(FacebankError):
    """Something is wrong with one video.

    Examples
    --------
    >>> try:
    ...     report = bank.video("absent.mp4")
    ... except VideoError as error:
    ...     print(error)
    there is no video absent.mp4; check the path
    """


class VideoNotFoundError(VideoError):
    """There is no such file."""


class UnreadableVideoError(VideoError):
    """The file is no video, or none of its frames can be read."""


class VideoTooLargeError(VideoError):
    """The video has more pixels, frames or hours than the limits allow."""


class StreamError(VideoError):
    """A camera or a stream cannot be opened."""


class PackError(FacebankError):
    """Something is wrong with a pack.

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
    """No pack of this name is installed or known."""


class ManifestError(PackError):
    """A ``pack.toml`` is missing or says something that cannot be."""


class PackIntegrityError(PackError):
    """A file of a pack is missing, partial or altered."""


class DownloadError(PackError):
    """A pack could not be downloaded."""


class LicenceNotAcceptedError(PackError):
    """The licence of a pack has not been accepted."""


class ScanError(FacebankError):
    """Something is wrong with a scan file."""


class ScanNotFoundError(ScanError):
    """There is no scan file yet."""


class ScanFormatError(ScanError):
    """The file is no scan file, is damaged, or was written by a newer facebank."""


class ScanBusyError(ScanError):
    """Another process is scanning into the file."""


class GalleryError(FacebankError):
    """Something is wrong with a gallery.

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
    """There is no gallery file yet.

    Examples
    --------
    >>> from facebank import FaceBank
    >>> FaceBank.open("absent.facebank").people()
    Traceback (most recent call last):
    facebank.errors.GalleryNotFoundError: ...
    """


class GalleryFormatError(GalleryError):
    """The file is no gallery, or a damaged one."""


class GalleryVersionError(GalleryError):
    """The gallery was written by a newer facebank."""


class GalleryBusyError(GalleryError):
    """Another process holds the gallery."""


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
    """A person cannot be called that.

    Examples
    --------
    >>> bank.rename("Joe", "")
    Traceback (most recent call last):
    facebank.errors.InvalidNameError: ...
    """


class ExchangeError(GalleryError):
    """An export is incomplete, altered or not an export at all."""


def was_interrupted(error: BaseException) -> bool:
    """Tell whether an error came of Ctrl-C: the import of a compiled module turns an interruption into `ImportError`.

    Parameters
    ----------
    error
        What was raised.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


class DatasetError(FacebankError):
    """A dataset to evaluate on is missing, broken, or lacks what the protocol needs."""
