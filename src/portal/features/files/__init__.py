"""Files: intake (upload), delivery (download), catalog (list, patch, delete), maintenance (sweep, fsck)."""
