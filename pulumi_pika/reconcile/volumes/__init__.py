"""Create, change, snapshot, restore and delete custom volumes."""
