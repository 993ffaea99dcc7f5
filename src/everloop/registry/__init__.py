"""The registry room: Run -> ModelVersion, its number, its names and where it comes from."""
