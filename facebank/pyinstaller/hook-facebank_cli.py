"""Commands are imported when they run."""

from PyInstaller.utils.hooks import collect_submodules

hiddenimports = collect_submodules("facebank_cli")
