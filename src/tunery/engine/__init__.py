"""Everything that works with tensors. HTTP, SQL, users and processes belong elsewhere."""

import os

# Threads that share a product wait for each other, by default in a loop. While another program keeps one of two cores
# busy, a prompt of 200 tokens then takes 8.5 s instead of 0.35 s; sleeping costs it 0.05 s on an idle machine.
# OpenMP reads this when torch is loaded, and child processes inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
