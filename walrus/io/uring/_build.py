"""What cffi compiles into ``walrus.io.uring._liburing`` when the package is installed (API mode, over liburing).

It takes a C compiler, Python's headers and liburing's (Debian: ``gcc python3-dev liburing-dev``). ``optional`` makes
a failed build a warning of the installer instead of its end.
"""

from cffi import FFI

DECLARATIONS = """
#define IORING_SETUP_SUBMIT_ALL ...
#define IORING_FSYNC_DATASYNC ...
#define IOSQE_IO_LINK ...
#define IOSQE_ASYNC ...
#define IORING_OP_NOP ...
#define IORING_OP_FSYNC ...
#define IORING_OP_READ ...
#define IORING_OP_WRITE ...

struct io_uring { ...; };
struct io_uring_sqe { uint8_t flags; uint64_t user_data; ...; };
struct io_uring_probe { ...; };

int io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags);
void io_uring_queue_exit(struct io_uring *ring);
struct io_uring_probe *io_uring_get_probe_ring(struct io_uring *ring);
void io_uring_free_probe(struct io_uring_probe *probe);
int io_uring_opcode_supported(const struct io_uring_probe *probe, int op);
int io_uring_register_eventfd(struct io_uring *ring, int fd);

struct io_uring_sqe *io_uring_get_sqe(struct io_uring *ring);
void io_uring_prep_nop(struct io_uring_sqe *sqe);
void io_uring_prep_write(struct io_uring_sqe *sqe, int fd, const void *buffer, unsigned length, uint64_t offset);
void io_uring_prep_read(struct io_uring_sqe *sqe, int fd, void *buffer, unsigned length, uint64_t offset);
void io_uring_prep_fsync(struct io_uring_sqe *sqe, int fd, unsigned flags);
int io_uring_submit(struct io_uring *ring);

unsigned walrus_reap(struct io_uring *ring, int64_t *out, unsigned completions_max);
"""

SOURCE = """
#include <stdint.h>
#include <liburing.h>

#ifndef IORING_SETUP_SUBMIT_ALL /* liburing before 2.2 */
#define IORING_SETUP_SUBMIT_ALL (1U << 7)
#endif

/* Take up to 64 completions off the ring: (user_data, result) pairs into `out`. One call instead of one per entry. */
static unsigned walrus_reap(struct io_uring *ring, int64_t *out, unsigned completions_max)
{
    struct io_uring_cqe *found[64];
    unsigned count = io_uring_peek_batch_cqe(ring, found, completions_max < 64 ? completions_max : 64);
    for (unsigned i = 0; i < count; i++) {
        out[2 * i] = (int64_t)found[i]->user_data;
        out[2 * i + 1] = found[i]->res;
    }
    io_uring_cq_advance(ring, count);
    return count;
}
"""

ffibuilder = FFI()
ffibuilder.cdef(DECLARATIONS)
ffibuilder.set_source("walrus.io.uring._liburing", SOURCE, libraries=["uring"], optional=True)
