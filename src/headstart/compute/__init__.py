"""The machine: device, precision, threads, allocator, randomness, time."""
