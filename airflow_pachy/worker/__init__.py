"""What runs beside the user's code: stage a datum's inputs, run it, collect its outputs, record the result."""
