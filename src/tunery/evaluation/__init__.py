"""Whether tuning helped: answers of contenders beside each other, scored, with honest intervals. No tensors."""
