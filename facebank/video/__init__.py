"""Identification of people in video files and live cameras."""
