"""Events that the router takes in by itself: messages of its topics, and the lifecycle of its own runs."""
