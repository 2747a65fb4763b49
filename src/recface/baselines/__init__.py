"""Third-party baselines on the same photos, face model and landmarks as the networks."""
