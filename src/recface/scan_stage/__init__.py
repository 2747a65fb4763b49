"""SFM's stage on scans: a shape model learned from registered scans of people, and its measurement."""
