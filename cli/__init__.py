"""The command line of facebank: one module a command, no logic of its own."""
