"""What tests of streams share with those of the service."""

from tests.app.conftest import silent

__all__ = ["silent"]
