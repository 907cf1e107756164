"""Modules that facebank imports when they are first used, and its files."""

from PyInstaller.utils.hooks import collect_all

datas, binaries, hiddenimports = collect_all("facebank")
