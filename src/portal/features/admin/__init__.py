"""Administration: keys and jobs. Next: `cli`, and the routes for administrators."""
