"""Import from a CompreFace service: enrolls its subjects from their example images."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebank.errors import InvalidNameError
from facebank.gallery import normalize_name
from facebank.operations.compreface_client import ImageRefusedError
from facebank.types import EnrollReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from facebank.gallery import Gallery
    from facebank.operations.compreface_client import CompreFaceClient, Example
    from facebank.storage.progress import Progress
    from facebank.types import EnrolledPhoto, EnrollReport, Sample

INVALID_NAME = "invalid_name"
"""Reason code: the subject's name is not valid in a gallery."""

NO_IMAGE = "no_image"
"""Reason code: the service does not return the example's image."""

_MAX_BATCH_IMAGES, _MAX_BATCH_BYTES = 32, 128 << 20  # images of one person that are analyzed together


@dataclass(frozen=True, slots=True)
class ImportedExample:
    """The result of importing an example."""

    image_id: str | None  # the image's id in the service; None for a subject without examples
    subject: str  # the person's name in the service
    person: str | None  # the person's name in the gallery; None if invalid
    accepted: bool  # whether the person has it now, perhaps from an earlier import
    reason: str  # a code of `EnrollReason`, or `INVALID_NAME` or `NO_IMAGE`
    detail: str  # an explanation in one sentence
    sample_id: int | None = None  # None if refused


class _Image(io.BytesIO):
    """An image with a name that is not a file's."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


def import_examples(
    client: CompreFaceClient,
    gallery: Gallery,
    enroll: Callable[[str, Sequence[io.BytesIO]], EnrollReport],
    progress: Progress,
) -> list[ImportedExample]:
    """Enroll all subjects of a service from their example images.

    Examples from an earlier import are not requested again, and are never added twice.

    Parameters
    ----------
    client
        Client of the service.
    gallery
        The gallery that receives the samples.
    enroll
        Function that enrolls images of a person, given the name.
    progress
        Advanced with each example; each `ImportedExample` is reported.

    Returns
    -------
    list[ImportedExample]
        The result of each example, by person.

    Raises
    ------
    ServiceError
        The service cannot be reached; people enrolled until then are kept, and have been reported.
    """
    by_subject: dict[str, list[Example]] = {name: [] for name in client.subjects()}
    for example in client.examples():
        by_subject.setdefault(example.subject, []).append(example)
    imported = {sample.path: sample for samples in gallery.samples_by_person().values() for sample in samples}
    progress.begin("Importing", sum(map(len, by_subject.values())))
    results: list[ImportedExample] = []
    for subject, examples in by_subject.items():
        for result in _import_subject(client, subject, examples, imported, enroll):
            results.append(result)
            progress.report(result)
            if result.image_id is not None:
                progress.advance()
    return results


def _import_subject(
    client: CompreFaceClient,
    subject: str,
    examples: Sequence[Example],
    imported: dict[str, Sample],
    enroll: Callable[[str, Sequence[io.BytesIO]], EnrollReport],
) -> Iterator[ImportedExample]:
    try:
        person = normalize_name(subject)
    except InvalidNameError as error:
        image_ids: list[str | None] = [example.image_id for example in examples]
        for image_id in image_ids or [None]:
            yield ImportedExample(image_id, subject, None, False, INVALID_NAME, str(error))
        return
    if not examples:
        yield ImportedExample(None, subject, person, False, EnrollReason.NO_PHOTOS, "the service has no example")
    new = []
    for example in examples:
        sample = imported.get(_label(example))
        if sample is None:
            new.append(example)
        else:
            detail = "the example was imported before"
            yield ImportedExample(
                example.image_id, subject, sample.person, True, EnrollReason.ALREADY_ENROLLED, detail, sample.id
            )
    for batch in _batches(client, new):
        images = {example.image_id: _Image(data, _label(example)) for example, data in batch if isinstance(data, bytes)}
        report = enroll(person, list(images.values())) if images else None
        results = dict(zip(images, () if report is None else report.photos, strict=True))
        for example, data in batch:
            if isinstance(data, bytes):
                yield _enrolled_example(example, results[example.image_id])
            else:
                yield ImportedExample(example.image_id, subject, person, False, NO_IMAGE, data)


def _batches(client: CompreFaceClient, examples: Iterable[Example]) -> Iterator[list[tuple[Example, bytes | str]]]:
    """Yield batches of examples with their images, or the reason why an image is missing."""
    batch: list[tuple[Example, bytes | str]] = []
    size = 0
    for example in examples:
        try:
            data: bytes | str = client.image(example.image_id)
        except ImageRefusedError as error:
            data = str(error)
        batch.append((example, data))
        size += len(data)
        if len(batch) == _MAX_BATCH_IMAGES or size >= _MAX_BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _enrolled_example(example: Example, enrolled: EnrolledPhoto) -> ImportedExample:
    return ImportedExample(
        example.image_id,
        example.subject,
        enrolled.person,
        enrolled.accepted,
        enrolled.reason,
        enrolled.detail,
        enrolled.sample_id,
    )


def _label(example: Example) -> str:
    """Return the name of an example's image, by which later imports recognize it."""
    return f"compreface:{example.image_id}"
