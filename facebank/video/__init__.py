"""Who is seen when: in video files and before live cameras."""
