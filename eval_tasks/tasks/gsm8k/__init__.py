"""GSM8K with eight worked examples."""
