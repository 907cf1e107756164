"""Jobs on a cluster, without Ray."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from facebank.album.scan.scan_plan import state_of
from facebank.cluster.pack_files import PackName
from facebank.cluster.ray_cluster import connect_ray
from facebank.cluster.ray_job import RayJob, _Worker
from facebank.cluster.worker import Job, PreparationResult
from facebank.errors import ClusterError
from facebank.storage.progress import SILENT


class PreparedActor:
    """Records the jobs for which it is prepared."""

    def __init__(self) -> None:
        self.jobs = list[Job]()
        self.prepare = SimpleNamespace(remote=self._prepare)

    def _prepare(self, job: Job, _: object) -> str:
        self.jobs.append(job)
        return "pending"


def test_a_machine_is_not_refused_for_a_file_that_changed_since_the_job_began(tmp_path: Path) -> None:
    paths = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for path in paths:
        path.write_bytes(b"photo")
    job = Job(PackName("test", "0" * 64), "onnxruntime", "", tuple((str(path), state_of(str(path))) for path in paths))
    cluster: Any = SimpleNamespace(ray=None)
    pack: Any = None
    ray_job = RayJob(cluster, job, pack, lambda _: None, time_limit=1, progress=SILENT)
    ray_job._references = []
    actor = PreparedActor()
    worker = _Worker(actor, "pending", is_first=True)
    paths[0].write_bytes(b"another photo")
    ray_job._finish_preparation(worker, PreparationResult("other", 1, "it does not see a.jpg as this machine does"))
    assert worker.preparation == "pending"
    assert [prepared_job.probe_files for prepared_job in actor.jobs] == [job.probe_files[1:]]
    with pytest.raises(ClusterError, match="other cannot be used: it does not see b"):
        ray_job._finish_preparation(worker, PreparationResult("other", 1, "it does not see b.jpg as this machine does"))


def test_a_cluster_that_does_not_start_in_time_is_reported(tmp_path: Path) -> None:
    def start(**_: object) -> None:
        raise Exception("The current node timed out during startup.")  # noqa: TRY002 - as Ray does

    with pytest.raises(ClusterError, match="Ray on this machine cannot be used: The current node timed out"):
        connect_ray(SimpleNamespace(init=start), "local", tmp_path)
