/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting and ending qemu-nbd. The listening socket is handed over as
 * systemd does it (LISTEN_FDS), with our connections already waiting in its
 * queue: nothing is polled for, and no socket lies about if we are killed.
 */
#include "image/server.h"

#include "image/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM       "qemu-nbd"
#define LISTEN_FD     3 /* where LISTEN_FDS begin */
#define SOCKET_NAME   "nbd"
#define STOP_MS       5000
#define PID_DIGITS    12
#define MESSAGES_ROOM 8192

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

extern char **environ;

/* ---- the socket --------------------------------------------------------------------------- */

static int new_socket(int *ret_fd)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    fd = image_fd_raise(fd);
    if (fd < 0)
        return fd;
    *ret_fd = fd;
    return 0;
}

/* `directory` is reached by descriptor: a long TMPDIR would not fit a socket's address. */
static int connect_all(int directory, int *ret_listener, int *sockets, size_t connections)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int rc = new_socket(ret_listener);

    if (rc < 0)
        return rc;
    string_format(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" SOCKET_NAME,
                  directory);
    if (bind(*ret_listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(*ret_listener, (int)connections + 1) < 0)
        return -errno;
    for (size_t i = 0; i < connections; i++) {
        rc = new_socket(&sockets[i]);
        if (rc < 0)
            return rc;
        if (connect(sockets[i], (struct sockaddr *)&address, sizeof(address)) < 0)
            return -errno;
    }
    return 0;
}

static int make_sockets(int *ret_listener, int *sockets, size_t connections, struct error *err)
{
    CLEANUP(cleanup_close) int directory = -1;
    const char *parent = getenv("TMPDIR");
    char path[4096];
    int rc;

    if (parent == NULL || parent[0] != '/')
        parent = "/tmp";
    if (!string_format(path, sizeof(path), "%s/setmov-XXXXXX", parent))
        return error_set(err, -ENAMETOOLONG, "TMPDIR is too long");
    if (mkdtemp(path) == NULL)
        return error_set(err, -errno, "directory for a socket, %s: %s", path, strerror(errno));
    directory = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    rc = directory < 0 ? -errno : connect_all(directory, ret_listener, sockets, connections);
    if (directory >= 0)
        (void)unlinkat(directory, SOCKET_NAME, 0);
    (void)rmdir(path);
    return rc < 0 ? error_set(err, rc, "socket for " PROGRAM ": %s", strerror(-rc)) : 0;
}

/* ---- the child ------------------------------------------------------------------------------ */

/*
 * glibc's malloc gives the memory of a finished request back to the kernel,
 * which then has to clear it anew for the next: that halves the speed. Page
 * faults of reading 2.5 GB, in thousands: without these settings 42 to 48, with
 * the mmap threshold alone 120 to 147, the arena 28 to 64, trimming 45 to 54,
 * padding 5 to 74; all but the mmap threshold 5 to 81; all but the arena 5.5,
 * the padding 5.0, trimming 4.8; all 4.4. The threshold and the padding matter,
 * the other two make the last fifth.
 */
static const char *const own_environment[] = {
    "LC_ALL=C",
    "LISTEN_FDS=1",
    "MALLOC_ARENA_MAX=1",
    "MALLOC_MMAP_THRESHOLD_=67108864",
    "MALLOC_TRIM_THRESHOLD_=268435456",
    "MALLOC_TOP_PAD_=33554432",
};

static bool is_own(const char *variable)
{
    static const char *const prefixes[] = {"LC_", "LANG", "LISTEN_", "MALLOC_", "GLIBC_TUNABLES="};

    for (size_t i = 0; i < ARRAY_LENGTH(prefixes); i++) {
        if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    }
    return false;
}

/* Ours, `listen_pid` (which the child fills in), and of the caller's what does not disturb. */
static const char **make_environment(const char *listen_pid)
{
    size_t count = 0, used = 0;
    const char **variables;

    while (environ != NULL && environ[count] != NULL)
        count++;
    variables = calloc(count + ARRAY_LENGTH(own_environment) + 2, sizeof(*variables));
    if (variables == NULL)
        return NULL;
    for (size_t i = 0; i < ARRAY_LENGTH(own_environment); i++)
        variables[used++] = own_environment[i];
    variables[used++] = listen_pid;
    for (size_t i = 0; i < count; i++) {
        if (!is_own(environ[i]))
            variables[used++] = environ[i];
    }
    return variables;
}

struct child {
    const char *const *arguments; /* exec wants both without const and changes neither */
    const char *const *environment;
    char *listen_pid; /* where the digits go */
    const int *fds;
    size_t fd_count;
    int null, messages, listener, status;
    pid_t parent;
};

/* Between fork and exec: only what is safe in a signal handler. */
static _Noreturn void run_child(const struct child *child)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    pid_t pid = getpid();
    sigset_t none;
    int code;

    for (int i = PID_DIGITS - 1; i >= 0; i--, pid /= 10)
        child->listen_pid[i] = (char)('0' + pid % 10);
    for (int number = 1; number < SIGRTMIN; number++)
        (void)sigaction(number, &action, NULL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    /* A Ctrl-C is ours to handle. */
    (void)setsid();
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != child->parent)
        _exit(1);
    if (dup2(child->null, 0) < 0 || dup2(child->null, 1) < 0 || dup2(child->messages, 2) < 0 ||
        dup2(child->listener, LISTEN_FD) < 0)
        _exit(1);
    /* What other parts of the program forgot to mark is none of qemu-nbd's business. */
    (void)syscall(__NR_close_range, LISTEN_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    for (size_t i = 0; i < child->fd_count; i++) {
        if (fcntl(child->fds[i], F_SETFD, 0) < 0)
            _exit(1);
    }
    execvpe(PROGRAM, (char *const *)child->arguments, (char *const *)child->environment);
    code = errno;
    (void)!write(child->status, &code, sizeof(code));
    _exit(127);
}

static int raised_pipe(int *ends, int flags)
{
    if (pipe2(ends, O_CLOEXEC | flags) < 0) {
        ends[0] = ends[1] = -1;
        return -errno;
    }
    ends[0] = image_fd_raise(ends[0]);
    ends[1] = image_fd_raise(ends[1]);
    return ends[0] < 0 ? ends[0] : (ends[1] < 0 ? ends[1] : 0);
}

/* Waits for the exec: 0 or the error that it ended with. */
static int wait_for_exec(int status)
{
    int code = 0;
    ssize_t got;

    do {
        got = read(status, &code, sizeof(code));
    } while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof(code) ? -code : 0;
}

static int spawn(struct child *child, struct server *server)
{
    CLEANUP(cleanup_close) int null = -1, status = -1, status_in = -1, messages_in = -1;
    int ends[2], rc;

    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return -errno;
    null = image_fd_raise(null);
    /* It must not stand still because nobody reads its complaints. */
    rc = raised_pipe(ends, O_NONBLOCK);
    server->messages = ends[0];
    messages_in = ends[1];
    if (rc == 0) {
        rc = raised_pipe(ends, 0);
        status = ends[0];
        status_in = ends[1];
    }
    if (rc < 0 || null < 0)
        return rc < 0 ? rc : null;
    child->null = null;
    child->messages = messages_in;
    child->status = status_in;
    child->parent = getpid();
    server->pid = fork();
    if (server->pid == 0)
        run_child(child);
    if (server->pid < 0) {
        server->pid = 0;
        return -errno;
    }
    cleanup_close(&status_in);
    status_in = -1;
    return wait_for_exec(status);
}

static int start(const char *description, const int *fds, size_t fd_count, int listener,
                 size_t connections, struct server *server, struct error *err)
{
    char shared[32], listen_pid[sizeof("LISTEN_PID=") + PID_DIGITS] = "LISTEN_PID=";
    const char *arguments[] = {PROGRAM, "--read-only", shared, "--", description, NULL};
    CLEANUP(cleanup_free) const char **environment = make_environment(listen_pid);
    struct child child = {.arguments = arguments,
                          .environment = environment,
                          .listen_pid = listen_pid + strlen(listen_pid),
                          .fds = fds,
                          .fd_count = fd_count,
                          .listener = listener};
    int rc;

    if (environment == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    string_format(shared, sizeof(shared), "--shared=%zu", connections);
    rc = spawn(&child, server);
    if (rc == -ENOENT)
        return error_set(err, rc, PROGRAM " is needed for this format and not installed");
    return rc < 0 ? error_set(err, rc, PROGRAM " cannot be started: %s", strerror(-rc)) : 0;
}

int server_start(const char *description, const int *fds, size_t fd_count, int *ret_sockets,
                 size_t connections, struct server *ret_server, struct error *err)
{
    CLEANUP(cleanup_close) int listener = -1;
    struct server server = {.messages = -1};
    int rc;

    for (size_t i = 0; i < connections; i++)
        ret_sockets[i] = -1;
    rc = make_sockets(&listener, ret_sockets, connections, err);
    if (rc == 0)
        rc = start(description, fds, fd_count, listener, connections, &server, err);
    if (rc < 0) {
        for (size_t i = 0; i < connections; i++)
            cleanup_close(&ret_sockets[i]);
        server_stop(&server);
        return rc;
    }
    *ret_server = server;
    return 0;
}

/* ---- the end ----------------------------------------------------------------------------------- */

bool server_has_ended(struct server *server, int *ret_status)
{
    pid_t pid;

    if (server->pid == 0)
        return false;
    do {
        pid = waitpid(server->pid, ret_status, WNOHANG);
    } while (pid < 0 && errno == EINTR);
    if (pid == 0)
        return false;
    if (pid < 0)
        *ret_status = 0; /* somebody else reaped it */
    server->pid = 0;
    return true;
}

void server_stop(struct server *server)
{
    int status;

    if (server == NULL)
        return;
    /* It has nothing to write, so there is nothing to wait for. A disk that hangs may hold it. */
    if (server->pid > 0)
        (void)kill(server->pid, SIGKILL);
    for (int waited = 0; waited < STOP_MS && server->pid > 0; waited++) {
        if (!server_has_ended(server, &status))
            (void)poll(NULL, 0, 1);
    }
    server->pid = 0;
    cleanup_close(&server->messages);
    server->messages = -1;
}

/* ---- what it said ------------------------------------------------------------------------------- */

/* "qemu-nbd: Failed to blk_new_open 'json:{...}': Could not open ...: reason": the reason. */
static struct text reason_of(struct text line)
{
    static const char program[] = PROGRAM ": ", quoted_end[] = "}': ";
    const char *end;

    if (text_starts_with(line, program))
        line.at += sizeof(program) - 1;
    end = memmem(line.at, text_length(line), quoted_end, sizeof(quoted_end) - 1);
    if (end != NULL)
        line.at = end + sizeof(quoted_end) - 1;
    return line;
}

int server_explain(struct server *server, int code, struct error *err)
{
    char bytes[MESSAGES_ROOM], reason[256] = "";
    size_t length = 0;
    struct text all, line;

    while (server->messages >= 0 && length < sizeof(bytes)) {
        ssize_t got = read(server->messages, bytes + length, sizeof(bytes) - length);

        if (got <= 0)
            break;
        length += (size_t)got;
    }
    all = text_of(bytes, length);
    while (text_next_line(&all, &line)) {
        line = reason_of(line);
        if (text_length(line) > 0 && !text_starts_with(line, "Disconnect client"))
            text_copy(line, reason, sizeof(reason));
    }
    if (reason[0] != '\0') {
        struct error message = *err;

        return error_set(err, code, "%s: %s", message.text, reason);
    }
    return code;
}
