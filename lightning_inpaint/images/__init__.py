"""Pictures: known pixels put back, and the gradient-domain blend."""
