"""What kind of thing an event tells of: rules, then examples, then a model, then a person. Pure; refuses I/O."""
