"""The parts of a ward on real servers, each a process of its own: ``teleward run PART``."""
