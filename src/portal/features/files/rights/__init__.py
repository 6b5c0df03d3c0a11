"""Who else may read a file: grants, and broken glass."""
