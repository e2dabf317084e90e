-- What a trace begins with where it is asked for by a message or event that is not the root of its tree.
CREATE INDEX audit_of_caused ON audit_log (subject)
  WHERE kind IN ('message.published', 'event.accepted') AND subject <> correlation;
