-- Reserved: flow control.
SELECT 1;
