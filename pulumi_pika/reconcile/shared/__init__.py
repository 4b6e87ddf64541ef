"""What instances and volumes share: errors, ownership, progress, undo."""
