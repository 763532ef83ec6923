/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a move asks of other hosts: the VM as it is here, and what a candidate
 * says to it. Stage vm/, owner of libvirt; calls may hang, see vm_peer.h.
 */
#ifndef SETMOV_VM_MOVE_H
#define SETMOV_VM_MOVE_H

#include "setmov/base_uuid.h"
#include "setmov/vm_peer.h"

struct vm_lines {
    char **lines; /* one line of text each */
    size_t count, capacity;
};
int vm_lines_add(struct vm_lines *lines, const char *format, ...) PRINTF_LIKE(2, 3); /* -ENOMEM */
void vm_lines_release(struct vm_lines *lines);

/* A disk that would have to go along: not a CD-ROM, a floppy, nor one that is shared or read-only. */
struct vm_move_disk {
    char *target;             /* "vda" */
    char *path;               /* of its file or block device, absolute, as the domain has it */
    char *format;             /* "raw", "qcow2" ... */
    uint64_t capacity_bytes;  /* virtual size */
    uint64_t allocated_bytes; /* of the whole backing chain's files, as far as libvirt says */
    size_t layers;            /* files of the chain, 1 for a standalone image */
};

struct vm_move {
    struct uuid uuid;
    char *name;
    bool active;
    char *xml;             /* active: the migratable one; else the inactive one */
    uint64_t memory_bytes; /* most that it may have */
    uint32_t vcpus;
    char *type, *arch, *machine; /* "kvm", "x86_64", "pc-q35-7.2": as XML has them */
    /*
     * What a host's CPU must have, as XML: that of the VM, or of its host where
     * it runs on the host's own CPU. NULL: nothing is asked.
     */
    char *cpu;
    bool cpu_is_of_host;      /* the latter */
    struct vm_lines networks; /* libvirt networks that its interfaces are on */
    struct vm_lines bridges;  /* bridges, and devices of direct interfaces */
    struct vm_lines
        files; /* that must be there already: media, read-only disks, kernel, firmware */
    struct vm_move_disk *disks;
    size_t disk_count, disk_capacity;
    /*
     * Why it cannot move at all, a line each: internal snapshots ("it has 2
     * internal snapshots (virsh snapshot-list)"), external ones that it cannot
     * move, a running block job, a job, a passed-through device, a disk that is
     * no local file or device, NVRAM or TPM state while it is off, a managed
     * save image ...
     */
    struct vm_lines obstacles;
    size_t passing; /* so many of them are jobs, which end */
};

/*
 * The domain of that name or UUID (a name wins). -ENOENT: there is none. The
 * caller releases.
 */
int vm_move_read(struct vm_peer *peer, const char *name_or_uuid, struct vm_move *ret_vm,
                 struct error *err);
void vm_move_release(struct vm_move *vm);

/*
 * What stands against the VM on that host, a line each, for `ret_obstacles`
 * (released by the caller): its CPU (virConnectCompareHypervisorCPU, with the
 * CPU of the VM's XML; where the driver lacks it, virConnectCompareCPU, else
 * nothing is said), virtualization type, architecture and machine type
 * (virConnectGetDomainCapabilities), networks and bridges that it lacks or that
 * are not active, files that it lacks, another domain of the name or the UUID; the same host
 * (`own_host_uuid`; "" if not known). Facts: vm_peer_facts().
 * A question that cannot be answered is a line in `ret_unknown`, no obstacle.
 */
int vm_move_ask(struct vm_peer *peer, const struct vm_move *vm, const char *own_host_uuid,
                struct vm_lines *ret_obstacles, struct vm_lines *ret_unknown, struct error *err);

/*
 * Moves it, by libvirt alone, disks included (VIR_MIGRATE_NON_SHARED_DISK), the
 * definition too: it is persistent there and no longer defined here, if it was
 * persistent. A VM that is off moves only if it has no disks (-ENOTSUP).
 * `migrate_uri` may be NULL; `bandwidth_bits_per_s` 0: no limit. -EIO with
 * libvirt's message, in one line (a hook's refusal among it). -ENOENT.
 */
int vm_move_plain(struct vm_peer *from, struct vm_peer *to, const struct uuid *uuid,
                  const char *migrate_uri, uint64_t bandwidth_bits_per_s, struct error *err);

/* ---- every domain of a host, for manifest and gc ------------------------------------- */

struct vm_domain_disk {
    char *target, *path;     /* absolute path; of the top layer */
    uint64_t capacity_bytes; /* UNKNOWN_U64 */
};

struct vm_domain {
    struct uuid uuid;
    char *name;
    bool active;
    uint64_t memory_bytes;
    uint32_t vcpus;
    struct vm_domain_disk *disks; /* with a file or device of this host, volumes looked up */
    size_t disk_count, disk_capacity;
};

struct vm_domains {
    struct vm_domain *domains; /* by UUID */
    size_t count, capacity;
    struct vm_lines problems; /* domains that could not be asked */
};

int vm_domains_read(struct vm_peer *peer, struct vm_domains *ret_domains, struct error *err);
void vm_domains_release(struct vm_domains *domains);

enum vm_file_kind {
    VM_FILE_PLAIN,    /* lies on no other: a kernel, NVRAM, what a device writes to */
    VM_FILE_ARGUMENT, /* of QEMU's command line: may be anything */
    VM_FILE_IMAGE,    /* a disk, or a layer of one */
};

/* What a guest can write to tells nothing about itself: only the XML has the format. */
struct vm_file {
    char *path; /* of an image it may be relative, to where libvirt's process is ("/") */
    enum vm_file_kind kind;
    char *format; /* of an image, as the XML says; NULL: it does not say */
};

struct vm_files {
    struct vm_file *files;
    size_t count, capacity;
};
void vm_files_release(struct vm_files *files);

/*
 * Every file that a domain names, be it active, defined or saved: disks of the
 * live, the inactive and the managed-save XML with all layers, CD-ROMs, NVRAM,
 * kernels ..., as they are written there; a file more than once where it is said
 * to be different things. -EIO where one domain cannot be asked: what is not
 * known to be unused is in use.
 */
int vm_files_in_use(struct vm_peer *peer, struct vm_files *ret_files, struct error *err);

#endif
