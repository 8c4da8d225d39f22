"""Sealed packets as pandas frames, for analysts: what was decided, what was deployed, where a digest runs and ran, and where it came from.

Every frame is made of verified packets and nothing else, so the same functions answer from the store and from an exported file. Nothing here
writes to the store, and nothing else in the product needs this room: pandas is only loaded by whoever asks for a frame.
"""
