"""Ground floor: clock, ids, codec, backoff. Stdlib and codecs only; a closed list kept by `tests/tidy`."""
