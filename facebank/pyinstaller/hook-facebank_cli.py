"""Hook for the command line: modules of commands, which are imported when a command runs."""

from PyInstaller.utils.hooks import collect_submodules

hiddenimports = collect_submodules("facebank_cli")
