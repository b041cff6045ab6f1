"""Text out of files: one file a format, each dependency imported in its file alone and only when it is needed."""
