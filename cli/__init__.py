"""The command line of facebank, with one module per command or group; the logic is in the library."""
