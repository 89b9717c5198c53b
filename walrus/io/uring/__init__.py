"""io_uring through liburing. The compiled half is optional: where it was not built, nodes write through mmap."""
