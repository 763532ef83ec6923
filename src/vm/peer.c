/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opens and closes a connection to the libvirt of some host, and words its errors. */
#include "vm/peer.h"

#include "vm/lifecycle.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A line that is silent for (KEEP_ALIVE_COUNT + 1) times this long is dead. */
#define KEEP_ALIVE_S 5
/* What is sent on a thin line waits in the kernel, and a ping waits behind it. */
#define KEEP_ALIVE_COUNT 11

#define URI_BYTES 4096

/* ---- errors -------------------------------------------------------------------- */

const char *peer_last_message(void)
{
    const char *message = virGetLastErrorMessage();

    return message && message[0] != '\0' ? message : "unknown libvirt error";
}

static int errno_of_last(void)
{
    switch (virGetLastErrorCode()) {
    case VIR_ERR_NO_STORAGE_VOL:
    case VIR_ERR_NO_STORAGE_POOL:
    case VIR_ERR_NO_DOMAIN:
        return -ENOENT;
    case VIR_ERR_ACCESS_DENIED:
    case VIR_ERR_OPERATION_DENIED:
    case VIR_ERR_AUTH_FAILED:
    case VIR_ERR_AUTH_CANCELLED:
    case VIR_ERR_AUTH_UNAVAILABLE:
        return -EACCES;
    case VIR_ERR_NO_MEMORY:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

int peer_error(struct error *err, const char *format, ...)
{
    struct error what;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what.text, sizeof(what.text), format, arguments);
    va_end(arguments);
    return error_set(err, errno_of_last(), "%s: %s", what.text, peer_last_message());
}

void vm_peer_prepare(void)
{
    signal(SIGPIPE, SIG_IGN);
    peer_remember_children();
    if (!getenv("LIBVIRT_DEBUG"))
        setenv("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null", 0);
}

/* ---- open and close --------------------------------------------------------------- */

/* ssh would ask for a password at the terminal, if there is one: nobody sits there. */
static bool never_asks(const char *uri, char *buffer, size_t size)
{
    const char *scheme_end = strstr(uri, "://");
    const char *transport = strchr(uri, '+');
    bool ssh = scheme_end && transport && transport < scheme_end &&
               (size_t)(scheme_end - transport) == strlen("+ssh") &&
               strncmp(transport, "+ssh", strlen("+ssh")) == 0;

    if (!ssh || strstr(uri, "no_tty=") || strchr(uri, '#'))
        return string_copy(buffer, size, uri);
    return string_format(buffer, size, "%s%sno_tty=1", uri, strchr(uri, '?') ? "&" : "?");
}

int vm_peer_open(const char *uri, struct vm_peer **ret_peer, struct error *err)
{
    char whole_uri[URI_BYTES];
    struct vm_peer *peer;

    if (uri[0] == '\0') /* libvirt would take the one that it likes best */
        return error_set(err, -EINVAL, "the URI is empty");
    if (!never_asks(uri, whole_uri, sizeof(whole_uri)))
        return error_set(err, -EINVAL, "%.64s...: the URI is too long", uri);
    peer = calloc(1, sizeof(*peer));
    if (!peer)
        return error_set(err, -ENOMEM, "%s: out of memory", uri);
    lifecycle_start_event_loop();
    /* Streams and their aborts need a connection that may write; what it may is polkit's to say. */
    peer->connection = virConnectOpenAuth(whole_uri, NULL, 0);
    if (!peer->connection) {
        free(peer);
        return peer_error(err, "%s", uri);
    }
    virConnectSetKeepAlive(peer->connection, KEEP_ALIVE_S,
                           KEEP_ALIVE_COUNT); /* not every driver has it */
    *ret_peer = peer;
    return 0;
}

void vm_peer_close(struct vm_peer *peer)
{
    if (!peer)
        return;
    virConnectClose(peer->connection);
    free(peer);
}

/* ---- for CLEANUP() ---------------------------------------------------------------- */

void cleanup_pool(virStoragePoolPtr *pool)
{
    if (*pool)
        virStoragePoolFree(*pool);
}

void cleanup_volume(virStorageVolPtr *volume)
{
    if (*volume)
        virStorageVolFree(*volume);
}
