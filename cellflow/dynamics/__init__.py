"""`FlowField` to labels."""
