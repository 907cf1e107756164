"""The demonstration and its photographs."""
