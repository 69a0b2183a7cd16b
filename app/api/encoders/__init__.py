"""Pure encoders of AnswerEvent, one a wire: no I/O and no clock."""
