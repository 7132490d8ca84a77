"""One model of several finished ones: which of them, and with what weights. A job of the built-in trainer."""
