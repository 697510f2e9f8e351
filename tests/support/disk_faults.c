/* A disk that fails on purpose, for tests: loaded with LD_PRELOAD, it counts what a process writes below one directory
 * and disturbs the writes it is told to. Everything is read from, and written to, a control file that the test maps too
 * (tests/support/disk.py), so that it can be told at any time, by anybody, and asked after the process is dead.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

enum action { COUNT_ONLY, FAIL, DIE_BEFORE, DIE_AFTER, DIE_HALFWAY };

struct control {
    int64_t count;     /* writes seen */
    int64_t from;      /* the first write to disturb; 0: none */
    int64_t times;     /* how many in a row */
    int64_t action;
    int64_t error;     /* errno of FAIL */
    int64_t disturbed; /* writes disturbed */
    char directory[512]; /* the real path, with a slash at its end; empty: nothing is counted */
    char only[64];       /* how the name of the file begins; empty: every file */
    char what[256];      /* the last write disturbed */
};

static struct control *control;

__attribute__((constructor)) static void open_control(void) {
    const char *path = getenv("DISK_FAULTS_CONTROL");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) control = mapped;
}

static int is_meant(int file, char *path, size_t size) {
    if (!control || !control->directory[0]) return 0;
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    int before = errno;
    ssize_t length = readlink(link, path, size - 1);
    errno = before;
    if (length <= 0) return 0;
    path[length] = 0;
    size_t prefix = strlen(control->directory);
    if (strncmp(path, control->directory, prefix) != 0) return 0;
    return strncmp(path + prefix, control->only, strlen(control->only)) == 0;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* What to do with this write. A FAIL has set errno. */
static enum action disturbance(const char *function, int file) {
    char path[PATH_MAX];
    if (!is_meant(file, path, sizeof path)) return COUNT_ONLY;
    int64_t number = __sync_add_and_fetch(&control->count, 1);
    if (control->from == 0 || number < control->from || number - control->from >= control->times) return COUNT_ONLY;
    __sync_add_and_fetch(&control->disturbed, 1);
    snprintf(control->what, sizeof control->what, "%s of %.200s", function, path + strlen(control->directory));
    if (control->action == DIE_BEFORE) die();
    errno = (int)control->error;
    return (enum action)control->action;
}

#define NEXT(name) \
    static __typeof__(&name) next; \
    if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define WRITE(name, parameters, whole, half) \
    ssize_t name parameters { \
        NEXT(name); \
        enum action action = disturbance(#name, file); \
        if (action == FAIL) return -1; \
        ssize_t done = action == DIE_HALFWAY ? half : whole; \
        if (action == DIE_HALFWAY || action == DIE_AFTER) die(); \
        return done; \
    }

#define CHANGE(name, parameters, call) \
    int name parameters { \
        NEXT(name); \
        enum action action = disturbance(#name, file); \
        if (action == FAIL) return -1; \
        if (action == DIE_HALFWAY) die(); \
        int done = call; \
        if (action == DIE_AFTER) die(); \
        return done; \
    }

WRITE(write, (int file, const void *data, size_t size), next(file, data, size), next(file, data, size / 2))
WRITE(pwrite, (int file, const void *data, size_t size, off_t at), next(file, data, size, at),
      next(file, data, size / 2, at))
WRITE(pwrite64, (int file, const void *data, size_t size, off64_t at), next(file, data, size, at),
      next(file, data, size / 2, at))
CHANGE(fsync, (int file), next(file))
CHANGE(fdatasync, (int file), next(file))
CHANGE(ftruncate, (int file, off_t size), next(file, size))
CHANGE(ftruncate64, (int file, off64_t size), next(file, size))
