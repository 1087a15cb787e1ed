"""Labels to `FlowTarget`."""
