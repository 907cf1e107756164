"""JSON objects of photos, faces and people, shared by the command line and the service.

Each function returns a dict for `json.dumps` that follows the schema in this folder; numbers are rounded, and unknown
values are None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from facebank.album.copies import Copies
    from facebank.album.finding import FoundPhoto
    from facebank.album.groups.face_groups import Group
    from facebank.album.groups.naming import NamedGroup
    from facebank.album.videos import SeenVideo
    from facebank.gallery import ForgetReport, MergedPerson
    from facebank.media.shards import Shard
    from facebank.operations.feedback import Feedback
    from facebank.operations.import_compreface import ImportedExample
    from facebank.recognition.audit import Finding
    from facebank.recognition.facts import FactWarning
    from facebank.recognition.settings import Setting
    from facebank.types import Candidate, EnrolledPhoto, Face, Person, Photo, Sample, Verification

Record = dict[str, object]

_DEGREES = 90  # per quarter turn


def photo_record(photo: Photo) -> Record:
    """Return the JSON object of a photo with the identities of its faces."""
    return {
        "image": photo.path,
        "width": photo.width or None,
        "height": photo.height or None,
        "turned": None if photo.error is not None else degrees(photo.quarter_turns),
        "error": photo.error,
        "faces": [face_record(face) for face in photo.faces],
    }


def face_record(face: Face) -> Record:
    """Return the JSON object of a face with its identity."""
    return {
        **found_face_record(face),
        "decision": face.decision,
        "reason": face.reason,
        "person": face.person,
        "similarity": face.similarity,
        "probability": face.probability,
        "candidates": [candidate_record(candidate) for candidate in face.candidates],
        "stranger_probability": face.stranger_probability,
    }


def found_face_record(face: Face) -> Record:
    """Return the JSON object of a detected face, without an identity."""
    return {
        "box": round_coordinates(face.box.tolist()),
        "landmarks": [round_coordinates(point) for point in face.landmarks.tolist()],
        "detection_score": round(face.detection_score, 4),
        "quality": round(face.quality, 4),
    }


def candidate_record(candidate: Candidate) -> Record:
    """Return the JSON object of a candidate of an identity."""
    return {
        "person": candidate.person,
        "similarity": candidate.similarity,
        "probability": candidate.probability,
    }


def verification_record(verification: Verification) -> Record:
    """Return the JSON object of the comparison of two photos."""
    return {
        "a": verification.a,
        "b": verification.b,
        "similarity": verification.similarity,
        "threshold": verification.threshold,
        "same": verification.same,
        "probability": verification.probability,
    }


def enrolled_record(photo: EnrolledPhoto) -> Record:
    """Return the JSON object of the outcome of a photo at enrollment."""
    return {
        "image": photo.path,
        "person": photo.person,
        "accepted": photo.accepted,
        "reason": photo.reason.value,
        "sample_id": photo.sample_id,
        "turned": None if photo.quarter_turns is None else degrees(photo.quarter_turns),
        "masked": photo.masked,
        "detail": photo.detail,
        "warning": photo.warning,
    }


def imported_record(example: ImportedExample) -> Record:
    """Return the JSON object of the outcome of an example imported from a CompreFace service."""
    return {
        "image_id": example.image_id,
        "subject": example.subject,
        "person": example.person,
        "accepted": example.accepted,
        "reason": example.reason,
        "detail": example.detail,
        "sample_id": example.sample_id,
    }


def feedback_record(feedback: Feedback) -> Record:
    """Return the JSON object of the outcome of feedback on a face, without the id of the new sample or stranger."""
    return {
        "image": feedback.path,
        "face": feedback.face_number,
        "box": round_coordinates(feedback.box.tolist()),
        "person": feedback.person,
        "accepted": feedback.accepted,
        "reason": feedback.reason.value,
        "detail": feedback.detail,
    }


def person_record(person: Person) -> Record:
    """Return the JSON object of a person."""
    return {
        "person": person.name,
        "samples": person.sample_count,
        "created_at": person.created_at.isoformat(),
        "born": person.born,
        "note": person.note,
    }


def forgotten_record(person: Person, copies: Copies, forgotten: ForgetReport | None) -> Record:
    """Return the JSON object of the outcome of forgetting a person; `forgotten` is None in a dry run."""
    return {
        "person": person.name,
        "samples": person.sample_count if forgotten is None else forgotten.sample_count,
        "files_with_name": len(copies.files_with_name),
        **_removal(copies, forgotten),
    }


def removed_sample_record(sample_id: int, copies: Copies, forgotten: ForgetReport | None) -> Record:
    """Return the JSON object of the outcome of removing a sample; `forgotten` is None in a dry run."""
    return {"sample_id": sample_id, **_removal(copies, forgotten)}


def _removal(copies: Copies, forgotten: ForgetReport | None) -> Record:
    return {
        "busy_readers": forgotten is not None and forgotten.busy_readers,
        "full_disk": forgotten is not None and forgotten.full_disk,
        "dry_run": forgotten is None,
        "wiped": list(copies.wiped) if forgotten is None else list(map(str, forgotten.wiped)),
        "stays": [{"kind": copy.kind.value, "path": str(copy.path)} for copy in copies.remaining],
        "mirrors": [] if forgotten is None else list(forgotten.mirrors),
    }


def named_group_record(group: NamedGroup) -> Record:
    """Return the JSON object of the outcome of naming a group."""
    return {"person": group.person, "enrolled": list(group.enrolled), "refused": dict(group.refused)}


def sample_record(sample: Sample) -> Record:
    """Return the JSON object of a sample."""
    return {
        "sample_id": sample.id,
        "person": sample.person,
        "image": sample.path,
        "box": round_coordinates(sample.box.tolist()),
        "quality": round(sample.quality, 4),
        "taken_at": _time(sample.taken_at),
        "enrolled_at": sample.enrolled_at.isoformat(),
        "has_thumbnail": sample.has_thumbnail,
        "camera_dated": sample.camera_dated,
        "masked": sample.masked,
    }


def warning_record(warning: FactWarning) -> Record:
    """Return the JSON object of a warning about a person's facts and samples."""
    return {"code": warning.code.value, "message": warning.message}


def merged_record(merged: MergedPerson) -> Record:
    """Return the JSON object of a person who was merged into another."""
    return {"person": merged.name, "samples": merged.sample_count, "merged_at": merged.merged_at.isoformat()}


def group_record(group: Group) -> Record:
    """Return the JSON object of a group of faces without a name."""
    return {
        "group": group.number,
        "faces": len(group.faces),
        "photos": group.photos,
        "first_taken": _time(group.first_taken),
        "last_taken": _time(group.last_taken),
        "camera_dated": group.camera_dated,
    }


def missing_shard_records(missing: Mapping[str, Iterable[Shard]]) -> list[Record]:
    """Return the JSON objects of the shards of each folder that are not in a scan."""
    return [{"folder": folder, "shard": str(shard)} for folder, shards in missing.items() for shard in shards]


def found_video_record(video: SeenVideo, names: Mapping[int, str]) -> Record:
    """Return the JSON object of a found video with the times of each person in `names`, which are by person id."""
    people = {person_id: names[person_id] for person_id in video.person_ids if person_id in names}
    return {
        "video": video.path,
        "seconds": round(video.seconds, 3),
        "people": [
            {
                "person": name,
                "times": [
                    {"start": round(visit.start, 3), "end": round(visit.end, 3), "probability": visit.probability}
                    for visit in video.visits_of(person_id)
                ],
            }
            for person_id, name in sorted(people.items(), key=lambda entry: entry[1])
        ],
    }


def found_photo_record(photo: FoundPhoto) -> Record:
    """Return the JSON object of a photo of an album that shows people."""
    return {
        "image": photo.path,
        "taken_at": _time(photo.taken_at),
        "camera_dated": photo.camera_dated,
        "people": [{"person": person.name, "probability": person.probability} for person in photo.people],
    }


def finding_record(finding: Finding) -> Record:
    """Return the JSON object of a finding of an audit."""
    from facebank.recognition.audit import FindingKind

    value = None if finding.value is None else round(finding.value, 5)
    is_pair = finding.kind is FindingKind.CONFUSABLE
    return {
        "finding": finding.kind.value,
        "people": list(finding.names),
        "samples": list(finding.sample_ids),
        "expected_error": value if is_pair else None,
        "similarity": None if is_pair else value,
        "message": finding.message,
        "commands": list(finding.commands),
    }


def setting_record(setting: Setting) -> Record:
    """Return the JSON object of a decision setting."""
    return {"key": setting.key, "value": setting.value, "default": setting.default, "is_set": setting.is_set}


def degrees(quarter_turns: int) -> int:
    """Return quarter turns in degrees."""
    return _DEGREES * quarter_turns


def round_coordinates(numbers: Iterable[float]) -> list[float]:
    """Return pixel coordinates rounded to two decimals."""
    return [round(number, 2) for number in numbers]


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
