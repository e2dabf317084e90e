"""The room of limits: how much of what may be used, by whom, within which time. It decides; it stores nothing."""
