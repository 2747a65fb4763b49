"""SFM's first stage: learn a face model from registered scans, and measure it beside other shape models."""
