"""Real servers on one machine without containers: fetched and built under `.stack/`, started, stopped, killed."""
