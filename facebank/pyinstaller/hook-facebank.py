"""Hook for facebank: its data files, and modules that it imports on first use."""

from PyInstaller.utils.hooks import collect_all

datas, binaries, hiddenimports = collect_all("facebank")
