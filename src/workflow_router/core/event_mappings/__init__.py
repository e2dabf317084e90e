"""From an event to what it starts: match, plan, take in."""
