// LD_PRELOAD for musterd in a drill: a disk whose syncs take long, and memory nobody planned for.
//   MUSTER_FAULT_FILE        holds two numbers: so many milliseconds longer does every sync of the
//                            spool take, and of the control store; read before each sync
//   MUSTER_FAULT_BALLAST_MIB memory that is taken at start and touched
//   MUSTER_FAULT_GPU         set: there is the device file of a GPU
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char *volatile ballast;  // kept, or the compiler sees that nobody needs it

__attribute__((constructor)) static void take_ballast(void) {
  const char *text = getenv("MUSTER_FAULT_BALLAST_MIB");
  const size_t bytes = text == NULL ? 0 : (size_t)atol(text) << 20;
  ballast = bytes == 0 ? NULL : malloc(bytes);
  if (ballast != NULL) memset(ballast, 1, bytes);
}

static void be_slow(int descriptor) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return;
  path[length] = '\0';
  const char *name = getenv("MUSTER_FAULT_FILE");
  FILE *file = name == NULL ? NULL : fopen(name, "r");
  if (file == NULL) return;
  long spool = 0, store = 0, delay = 0;
  const int read = fscanf(file, "%ld %ld", &spool, &store);
  fclose(file);
  if (read != 2) return;
  if (strstr(path, "/spool/") != NULL) delay = spool;
  if (strstr(path, "/control.db") != NULL) delay = store;
  const struct timespec pause = {delay / 1000, delay % 1000 * 1000000};
  if (delay > 0) nanosleep(&pause, NULL);
}

int fdatasync(int descriptor) {
  static int (*real)(int);
  if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  be_slow(descriptor);
  return real(descriptor);
}

int fsync(int descriptor) {
  static int (*real)(int);
  if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  be_slow(descriptor);
  return real(descriptor);
}

int stat(const char *restrict path, struct stat *restrict result) {
  static int (*real)(const char *, struct stat *);
  if (real == NULL) real = (int (*)(const char *, struct stat *))dlsym(RTLD_NEXT, "stat");
  const int gpu = getenv("MUSTER_FAULT_GPU") != NULL && strcmp(path, "/dev/nvidia0") == 0;
  return real(gpu ? "/dev/null" : path, result);
}
