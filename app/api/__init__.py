"""The HTTP face: routes, wire schemas, encoders of the answer events."""
