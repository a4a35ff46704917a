// Writes that fail as on a full disk: from the n-th on below a folder, whoever writes.
// Preloaded (LD_PRELOAD) into a tool's process, in which `disk_is_full_at` then sets the number.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static long left = -1, counted = 0;
static char folder[4096];

extern "C" void disk_is_full_at(long number, const char *below) {
    left = number;
    counted = 0;
    std::strncpy(folder, below, sizeof folder - 1);
}

extern "C" long writes_counted() { return counted; }

// Whether a write to a descriptor is to fail: it is on the disk, and that is full by now.
static bool fails(int descriptor) {
    if (left < 0) return false;
    char link[64], name[4096];
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, name, sizeof name - 1);
    if (size <= 0) return false;
    name[size] = 0;
    if (std::strncmp(name, folder, std::strlen(folder)) != 0) return false;
    counted++;
    if (left == 0 || counted < left) return false;
    errno = ENOSPC;
    return true;
}

#define REAL(name) ((decltype(&name))dlsym(RTLD_NEXT, #name))

extern "C" ssize_t write(int to, const void *data, size_t size) {
    static auto real = REAL(write);
    return fails(to) ? -1 : real(to, data, size);
}

extern "C" ssize_t pwrite(int to, const void *data, size_t size, off_t at) {
    static auto real = REAL(pwrite);
    return fails(to) ? -1 : real(to, data, size, at);
}

extern "C" ssize_t pwrite64(int to, const void *data, size_t size, off64_t at) {
    static auto real = REAL(pwrite64);
    return fails(to) ? -1 : real(to, data, size, at);
}

extern "C" ssize_t writev(int to, const struct iovec *parts, int count) {
    static auto real = REAL(writev);
    return fails(to) ? -1 : real(to, parts, count);
}

extern "C" ssize_t sendfile(int to, int from, off_t *at, size_t size) {
    static auto real = (ssize_t(*)(int, int, off_t *, size_t))dlsym(RTLD_NEXT, "sendfile");
    return fails(to) ? -1 : real(to, from, at, size);
}

extern "C" ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *into, size_t size,
                                   unsigned flags) {
    static auto real = REAL(copy_file_range);
    return fails(to) ? -1 : real(from, at, to, into, size, flags);
}

// What libc's own streams write does not come through write() above.
extern "C" size_t fwrite(const void *data, size_t size, size_t count, FILE *to) {
    static auto real = REAL(fwrite);
    return fails(fileno(to)) ? 0 : real(data, size, count, to);
}
