"""Define what instances and volumes share: errors, ownership, progress, undo."""
