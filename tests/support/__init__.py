"""What tests of several folders need: imported as `support`, since pytest puts `tests` on the path."""
