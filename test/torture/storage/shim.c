/*
 * Stands between SQLite and the C library (LD_PRELOAD): makes calls fail, records them, and moves the wall clock. What it
 * is to do stands in a small file that both sides have: `shim.ts` writes it, and here it is mapped, so that a running
 * process can be told at any moment.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The order is that of `FIELDS` in shim.ts. */
struct control {
  int64_t failing;   /* 0: nothing, 1: one call, 2: it and all after it */
  int64_t countdown; /* the how-manieth call fails */
  int64_t error;     /* with which errno */
  int64_t torn;      /* whether a write that fails has written its first half */
  int64_t calls;     /* so many have been made since it was last set */
  int64_t failed;
  int64_t clock_ms;  /* the wall clock is ahead by so much */
  int64_t recording; /* whether calls are written to the recording */
};

enum { NONE, MAIN, WAL, JOURNAL, SHM, FOLDER };
enum { OPEN = 1, WRITE, TRUNCATE, SYNC, UNLINK };

#define FDS 65536
static unsigned char kinds[FDS];
static struct control nothing;
static struct control *control = &nothing;
static const char *folder;
static int recording = -1;

#define REAL(name) \
  static __typeof__(&name) real; \
  if (real == NULL) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("SHIM_CONTROL");
  folder = getenv("SHIM_FOLDER");
  if (path == NULL) return;
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped != MAP_FAILED) control = mapped;
  const char *record = getenv("SHIM_RECORDING");
  if (record != NULL) recording = open(record, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static int kind_of_path(const char *path) {
  if (folder == NULL || strncmp(path, folder, strlen(folder)) != 0) return NONE;
  size_t length = strlen(path);
  const struct { const char *end; int kind; } ends[] = {
      {".db", MAIN}, {".db-wal", WAL}, {".db-journal", JOURNAL}, {".db-shm", SHM}};
  for (int i = 0; i < 4; i++) {
    size_t end = strlen(ends[i].end);
    if (length > end && strcmp(path + length - end, ends[i].end) == 0) return ends[i].kind;
  }
  return strchr(strrchr(path, '/'), '.') == NULL ? FOLDER : NONE;
}

static int kind_of(int fd) { return fd >= 0 && fd < FDS ? kinds[fd] : NONE; }

/* Whether this call is the one to fail. */
static int fails(int kind) {
  if (kind == NONE || kind == FOLDER) return 0;
  int64_t call = __atomic_add_fetch(&control->calls, 1, __ATOMIC_SEQ_CST);
  if (control->failing == 0 || call < control->countdown) return 0;
  if (control->failing == 1 && call > control->countdown) return 0;
  __atomic_add_fetch(&control->failed, 1, __ATOMIC_SEQ_CST);
  return 1;
}

static int fail(void) {
  errno = (int)control->error;
  return -1;
}

static void record(int op, int kind, int64_t offset, const void *data, int64_t length) {
  if (recording < 0 || !control->recording || kind == NONE || kind == SHM) return;
  REAL(write);
  int64_t head[4] = {op, kind, offset, length};
  char both[sizeof head + 70000];
  memcpy(both, head, sizeof head);
  if (data == NULL) length = 0;
  if (length > 70000) abort();
  if (length > 0) memcpy(both + sizeof head, data, (size_t)length);
  if (real(recording, both, sizeof head + (size_t)length) < 0) abort();
}

int open64(const char *path, int flags, ...) {
  REAL(open64);
  mode_t mode = 0;
  if (flags & (O_CREAT | O_TMPFILE)) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
  }
  int kind = kind_of_path(path);
  int creates = kind != NONE && (flags & O_CREAT) && access(path, F_OK) != 0;
  int fd = real(path, flags, mode);
  if (fd >= 0 && fd < FDS) kinds[fd] = (unsigned char)kind;
  if (fd >= 0 && creates) record(OPEN, kind, 0, NULL, 0);
  return fd;
}

int close(int fd) {
  REAL(close);
  if (fd >= 0 && fd < FDS) kinds[fd] = NONE;
  return real(fd);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
  REAL(pwrite64);
  int kind = kind_of(fd);
  if (fails(kind)) {
    if (control->torn && length > 1) real(fd, data, length / 2, offset);
    return fail();
  }
  ssize_t written = real(fd, data, length, offset);
  if (written > 0) record(WRITE, kind, offset, data, written);
  return written;
}

ssize_t write(int fd, const void *data, size_t length) {
  REAL(write);
  if (fails(kind_of(fd))) return fail();
  return real(fd, data, length);
}

int fsync(int fd) {
  REAL(fsync);
  int kind = kind_of(fd);
  if (fails(kind)) return fail();
  int result = real(fd);
  if (result == 0) record(SYNC, kind, 0, NULL, 0);
  return result;
}

int fdatasync(int fd) {
  REAL(fdatasync);
  int kind = kind_of(fd);
  if (fails(kind)) return fail();
  int result = real(fd);
  if (result == 0) record(SYNC, kind, 0, NULL, 0);
  return result;
}

int ftruncate64(int fd, off64_t length) {
  REAL(ftruncate64);
  int kind = kind_of(fd);
  if (fails(kind)) return fail();
  int result = real(fd, length);
  if (result == 0) record(TRUNCATE, kind, 0, NULL, length);
  return result;
}

int unlink(const char *path) {
  REAL(unlink);
  int result = real(path);
  if (result == 0) record(UNLINK, kind_of_path(path), 0, NULL, 0);
  return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  REAL(gettimeofday);
  int result = real(now, zone);
  int64_t us = (int64_t)now->tv_sec * 1000000 + now->tv_usec + control->clock_ms * 1000;
  now->tv_sec = us / 1000000;
  now->tv_usec = us % 1000000;
  return result;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  REAL(clock_gettime);
  int result = real(clock, now);
  if (result != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return result;
  int64_t ms = control->clock_ms;
  int64_t ns = now->tv_nsec + (ms % 1000) * 1000000;
  now->tv_sec += ms / 1000 + (ns >= 1000000000) - (ns < 0);
  now->tv_nsec = ns >= 1000000000 ? ns - 1000000000 : ns < 0 ? ns + 1000000000 : ns;
  return result;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at != NULL) *at = now.tv_sec;
  return now.tv_sec;
}
