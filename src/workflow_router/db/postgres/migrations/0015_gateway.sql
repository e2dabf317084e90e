-- Bodies of calls, redacted, for routes that say so; they are deleted when their time is over.
CREATE TABLE dispatch_bodies (
  dispatch_id text PRIMARY KEY,
  tenant      text NOT NULL,
  request     text,
  answer      text,
  note        text NOT NULL,
  readers     text NOT NULL,
  created_ms  bigint NOT NULL,
  expires_ms  bigint NOT NULL
);
CREATE INDEX dispatch_bodies_due ON dispatch_bodies (expires_ms);
