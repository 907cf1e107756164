"""Identification of people in video files and live cameras.

`identify` identifies the people in a file, `annotation` draws them, and `scan` adds them to an album. `watch` follows a
camera (`Watch`), and `publishing` sends arrivals and departures to MQTT and webhooks.
"""
