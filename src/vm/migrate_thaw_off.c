/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Thaws a disk of a VM whose QEMU is gone: qemu-img commits, the definition is written anew. */
#include "vm/migrate_inside.h"
#include "vm/migrate_xml.h"

#include "setmov/image.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM       "qemu-img"
#define MESSAGE_BYTES 400

/* ---- qemu-img ----------------------------------------------------------------------------- */

/* The first line that it says; what follows is read, too, so that it does not wait for us. */
static void read_message(int fd, char message[MESSAGE_BYTES])
{
    char beyond[256] = "";
    size_t length = 0;

    for (;;) {
        bool full = length + 1 >= MESSAGE_BYTES;
        ssize_t got = read(fd, full ? beyond : message + length,
                           full ? sizeof(beyond) : MESSAGE_BYTES - 1 - length);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        if (!full)
            length += (size_t)got;
    }
    message[length] = '\0';
    message[strcspn(message, "\n")] = '\0';
    text_make_one_line(message);
}

static int spawn(const char *const *arguments, int messages, pid_t *ret_pid)
{
    static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                language[] = "LC_ALL=C";
    char *const environment[] = {path, language, NULL};
    posix_spawn_file_actions_t actions;
    int r = posix_spawn_file_actions_init(&actions);

    if (r != 0)
        return -r;
    r = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&actions, 0, 1);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&actions, messages, 2);
    if (r == 0)
        /* It changes none of them, whatever its type says. */
        r = posix_spawnp(ret_pid, PROGRAM, &actions, NULL, (char *const *)arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

/* Its exit status; negative: it has none. */
static int wait_for(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

/* Returns the exit status. -EBUSY: QEMU's locks keep it away from an image that is in use. */
static int run(const char *const *arguments, char message[MESSAGE_BYTES], struct error *err)
{
    CLEANUP(cleanup_close) int reader = -1, writer = -1;
    int ends[2], r;
    pid_t pid = -1;

    message[0] = '\0';
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(err, -errno, "a pipe: %s", strerrordesc_np(errno));
    reader = ends[0];
    writer = ends[1];
    r = spawn(arguments, writer, &pid);
    if (r < 0)
        return error_set(err, r, PROGRAM " cannot be started: %s", strerrordesc_np(-r));
    cleanup_close(&writer);
    writer = -1;
    read_message(reader, message);
    r = wait_for(pid);
    if (r < 0)
        return error_set(err, r, PROGRAM " was ended");
    if (r > 0 && strstr(message, "lock"))
        return error_set(err, -EBUSY, "an image is in use: %.300s", message);
    return r;
}

/* The overlay stays as it is (-d), so that this may be done again. */
static int commit(const char *overlay, struct error *err)
{
    const char *const arguments[] = {PROGRAM, "commit", "-q",    "-d", "-f",
                                     "qcow2", "--",     overlay, NULL};
    char message[MESSAGE_BYTES];
    int r = run(arguments, message, err);

    if (r < 0)
        return error_prefix(err, r, "%.200s", overlay);
    return r > 0 ? error_set(err, -EIO, "%.200s cannot be committed: %s", overlay, message) : 0;
}

/*
 * The definition does not name the overlay. Either all is done already; or it never
 * did, since the live one was another, or since libvirtd died while it froze the disk:
 * then what the guest wrote last is in the overlay alone.
 */
static int check_committed(const char *overlay, const struct vm_layer *top, struct error *err)
{
    const char *const arguments[] = {PROGRAM,     "compare", "-q",    "-f",      "qcow2", "-F",
                                     top->format, "--",      overlay, top->path, NULL};
    char message[MESSAGE_BYTES];
    int r;

    if (faccessat(AT_FDCWD, overlay, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        return 0;
    r = run(arguments, message, err);
    if (r < 0)
        return error_prefix(err, r, "%.200s", overlay);
    if (r == 1)
        return error_set(err, -ESTALE,
                         "the definition has %.200s, but what the guest wrote last is in %.200s: "
                         "commit that one by hand (qemu-img commit), or move it away",
                         top->path, overlay);
    return r > 1 ? error_set(err, -EIO, "%.200s cannot be compared: %s", overlay, message) : 0;
}

/* ---- the definition -------------------------------------------------------------------------- */

static int define(struct vm_peer *peer, virDomainPtr domain, const char *xml,
                  const struct vm_migrate_disk *disk, struct error *err)
{
    CLEANUP(cleanup_free) char *edited = NULL;
    virDomainPtr defined;
    int r = migrate_xml_define(text_of(xml, strlen(xml)), disk, 1, NULL, NULL, &edited, err);

    if (r < 0)
        return r;
    defined = virDomainDefineXML(peer->connection, edited);
    if (!defined)
        return domain_error(err, domain, "it cannot be defined without its overlay");
    virDomainFree(defined);
    return 0;
}

int migrate_no_disk(const struct vm_freeze_disk *disk, struct error *err)
{
    return error_set(err, -ENODEV, "it has no disk '%s' any more, so %.300s stays", disk->target,
                     disk->overlay);
}

int migrate_define_disk(struct vm_peer *peer, virDomainPtr domain,
                        const struct vm_freeze_disk *disk, const struct vm_layer *layers,
                        size_t count, struct error *err)
{
    const struct vm_migrate_disk as = {.target = disk->target, .layers = layers, .count = count};
    CLEANUP(vm_chains_release) struct vm_chains chains = {NULL, 0, 0};
    CLEANUP(cleanup_free) char *xml = NULL;
    const struct vm_chain *chain;
    int r = migrate_read_xml(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE, &xml, err);

    if (r == 0)
        r = migrate_chains_parse(text_of(xml, strlen(xml)), &chains, err);
    if (r < 0)
        return r;
    chain = migrate_chain_of(&chains, disk->target);
    if (!chain || chain->count == 0 || strcmp(chain->layers[0].path, disk->overlay) != 0)
        return 0;
    return define(peer, domain, xml, &as, err);
}

/* ---- both ------------------------------------------------------------------------------------ */

int vm_thaw_off(struct vm_peer *peer, const struct uuid *uuid, const struct vm_freeze_disk *disk,
                struct error *err)
{
    CLEANUP(vm_chains_release) struct vm_chains chains = {NULL, 0, 0};
    CLEANUP(cleanup_domain) virDomainPtr domain = NULL;
    const struct vm_chain *chain = NULL;
    int r = migrate_domain(peer, uuid, &domain, err), active;

    if (r < 0)
        return r;
    active = virDomainIsActive(domain);
    if (active < 0)
        return domain_error(err, domain, NULL);
    if (active)
        return error_set(err, -EBUSY, "'%.200s' runs", virDomainGetName(domain));
    if (!peer_is_local(peer))
        return error_set(err, -ENOTSUP, "disks can be thawed at their own host only");
    r = vm_chains_read(peer, uuid, &chains, err);
    if (r < 0)
        return r;
    chain = migrate_chain_of(&chains, disk->target);
    if (!chain || chain->count == 0)
        return migrate_no_disk(disk, err);
    if (strcmp(chain->layers[0].path, disk->overlay) != 0)
        return check_committed(disk->overlay, &chain->layers[0], err);
    if (chain->count < 2)
        return error_set(err, -EIO, "disk '%s': %.300s lies on nothing", disk->target,
                         disk->overlay);
    r = commit(disk->overlay, err);
    if (r < 0)
        return r;
    return migrate_define_disk(peer, domain, disk, chain->layers + 1, chain->count - 1, err);
}
