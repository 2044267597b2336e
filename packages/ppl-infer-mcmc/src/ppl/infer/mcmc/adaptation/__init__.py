"""What warm-up learns: the step size by dual averaging, the metric in growing windows."""
