"""The page for the clinician on call."""
