"""Scanning on many machines with Ray (extra ``cluster``)."""

from __future__ import annotations

from facebank.cluster.ray_scan import ClusterNote, default_shards_folder, ray_scan

__all__ = ["ClusterNote", "default_shards_folder", "ray_scan"]
