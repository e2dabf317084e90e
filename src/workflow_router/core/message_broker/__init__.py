"""Messages between services and runs: publish, deliver, redeliver, dead letters."""
