"""Made-up bodies, their stories and their devices' faults; and a player of recordings."""
