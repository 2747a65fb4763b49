"""Methods that are not ours, on the same photos, face model and landmarks: what tables compare the networks with."""

from recface.baselines.method import METHODS, Peer, build_peer, check_settings

__all__ = ["METHODS", "Peer", "build_peer", "check_settings"]
