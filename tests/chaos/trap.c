/* Counts a process's own system calls on one folder, across all of its threads, and makes one of them go wrong.
 *
 * A seccomp filter turns the chosen calls into SIGSYS; the handler decides, and makes the call itself from the one
 * instruction that the filter lets through. So raw calls of Rust and of libc's insides are seen as well, which a preloaded
 * library would miss, and the count is one for all threads, which strace's `when=` is not.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#if !defined(__x86_64__) || !defined(__linux__)
#error "trap.c knows Linux on x86-64 only"
#endif

enum mode { COUNT, KILL, TORN, FAIL, FAIL_ON, SHORT, SHORT_ON };

static atomic_long calls;
static long target;
static int mode, error_number;
static char root[4096];
static size_t root_length;
#define KEPT 65536
static short trace[KEPT];

extern char trap_passed[];
long trap_raw(long number, long a, long b, long c, long d, long e, long f);
__asm__(".text\n.globl trap_raw\ntrap_raw:\n"
        "mov %rdi, %rax\nmov %rsi, %rdi\nmov %rdx, %rsi\nmov %rcx, %rdx\nmov %r8, %r10\nmov %r9, %r8\n"
        "mov 8(%rsp), %r9\nsyscall\n.globl trap_passed\ntrap_passed:\nret\n");

static int below_root(const char *path) {
  return strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

static int descriptor_below_root(int fd) {
  char link[64], path[4097];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n <= 0) return 0;
  path[n] = 0;
  return below_root(path);
}

static int path_below_root(int fd, const char *path) {
  return path[0] == '/' ? below_root(path) : fd != AT_FDCWD && descriptor_below_root(fd);
}

/* Whether the call is about the folder. msync names memory: the only shared maps that are synced are the folder's. */
static int concerns_root(long number, const long *a) {
  switch (number) {
    case SYS_msync: return 1;
    case SYS_rename: case SYS_unlink: case SYS_rmdir: case SYS_mkdir: case SYS_open: case SYS_creat: case SYS_truncate:
      return path_below_root(AT_FDCWD, (const char *)a[0]);
    case SYS_renameat: case SYS_renameat2: case SYS_unlinkat: case SYS_openat: case SYS_mkdirat:
      return path_below_root((int)a[0], (const char *)a[1]);
    default: return descriptor_below_root((int)a[0]);
  }
}

static int moves_bytes(long number) { return number == SYS_write || number == SYS_pwrite64; }

static long perform(long number, const long *a) { return trap_raw(number, a[0], a[1], a[2], a[3], a[4], a[5]); }

static long shortened(long number, const long *a) {
  long less[6];
  memcpy(less, a, sizeof less);
  less[2] = a[2] > 1 ? a[2] / 2 : a[2];
  return perform(number, less);
}

static long decide(long number, const long *a) {
  if (!concerns_root(number, a)) return perform(number, a);
  long n = atomic_fetch_add(&calls, 1) + 1;
  if (n <= KEPT) trace[n - 1] = (short)number;
  int now = n == target, on = target > 0 && n >= target;
  switch (mode) {
    case KILL: if (now) { kill(getpid(), SIGKILL); pause(); } break;
    case TORN:
      if (now) { if (moves_bytes(number)) shortened(number, a); else perform(number, a); kill(getpid(), SIGKILL); pause(); }
      break;
    case FAIL: if (now) return -error_number; break;
    case FAIL_ON: if (on) return -error_number; break;
    case SHORT: if (now && moves_bytes(number)) return shortened(number, a); break;
    case SHORT_ON: if (on && moves_bytes(number)) return shortened(number, a); break;
    default: break;
  }
  return perform(number, a);
}

static void on_trap(int signal, siginfo_t *info, void *context) {
  (void)signal;
  greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
  long a[6] = {r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8], r[REG_R9]};
  int saved = errno;
  r[REG_RAX] = decide(info->si_syscall, a);
  errno = saved;
}

/* Watch `count` system calls by number on the folder `path` from now on, in this process and its threads. 0, or an errno. */
int trap_arm(const char *path, const int *numbers, int count, int how, long at, int error) {
  if (count > 200 || strlen(path) >= sizeof root) return EINVAL;
  strcpy(root, path);
  root_length = strlen(path);
  mode = how; target = at; error_number = error;
  struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_RESTART};
  if (sigaction(SIGSYS, &action, NULL)) return errno;
  unsigned long passed = (unsigned long)trap_passed;
  struct sock_filter code[220];
  int n = 0, last = 6 + count;
  code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer));
  code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)passed, 0, 2);
  code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4);
  code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(passed >> 32), (unsigned char)(last - 5), 0);
  code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (int i = 0; i < count; i++)
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)numbers[i], (unsigned char)(count - i), 0);
  code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
  struct sock_fprog program = {.len = (unsigned short)n, .filter = code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return errno;
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program)) return errno;
  return 0;
}

/* From here on the calls are counted and nothing more happens to them. */
void trap_calm(void) { target = 0; mode = COUNT; }

long trap_count(void) { return atomic_load(&calls); }

int trap_call(long n) { return n >= 1 && n <= KEPT ? trace[n - 1] : -1; }
