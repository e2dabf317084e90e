"""What goes on in a router, on one screen: `wr top`."""
