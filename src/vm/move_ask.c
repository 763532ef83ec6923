/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks another host what stands against a VM there. */
#include "vm/domain.h"
#include "vm/files_xml.h"
#include "vm/move_xml.h"

#include <errno.h>
#include <libvirt/virterror.h>

struct asking {
    struct vm_peer *peer;
    const struct vm_move *vm;
    struct vm_lines *obstacles, *unknown;
    struct vm_files known; /* files that the host says it has */
    bool has_no_machine;   /* to ask of a CPU for */
    bool is_lost;          /* the connection: no further answer will come */
};

/* The question ended without an answer. */
static int note_unknown(struct asking *asking, const char *question)
{
    int code = virGetLastErrorCode();
    int r = vm_lines_add(asking->unknown, "%s: %s", question, peer_last_message());

    /* This forgets libvirt's error. */
    if (code == VIR_ERR_RPC || code == VIR_ERR_SYSTEM_ERROR || code == VIR_ERR_NO_CONNECT ||
        code == VIR_ERR_INVALID_CONN)
        asking->is_lost = virConnectIsAlive(asking->peer->connection) != 1;
    return r;
}

/* Says the host that what was asked for is not to be had there, or that it cannot say? */
static bool is_refusal(void)
{
    switch (virGetLastErrorCode()) {
    case VIR_ERR_INVALID_ARG:
    case VIR_ERR_CONFIG_UNSUPPORTED:
    case VIR_ERR_CPU_INCOMPATIBLE:
    case VIR_ERR_OPERATION_UNSUPPORTED:
        return true;
    default:
        return false;
    }
}

/* ---- the same host, the same VM -------------------------------------------------------------- */

static int ask_host(struct asking *asking, const char *own_host_uuid)
{
    CLEANUP(cleanup_free) char *xml = NULL, *cpu = NULL;
    char uuid[UUID_TEXT_BYTES];
    struct error err = {""};
    int r;

    if (own_host_uuid[0] == '\0')
        return 0;
    xml = virConnectGetCapabilities(asking->peer->connection);
    if (!xml)
        return note_unknown(asking, "whether it is this same host");
    r = move_capabilities_read(text_of(xml, strlen(xml)), uuid, &cpu, &err);
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        return vm_lines_add(asking->unknown, "whether it is this same host: %s", err.text);
    if (strcasecmp(uuid, own_host_uuid) != 0)
        return 0;
    return vm_lines_add(asking->obstacles, "it is this same host (UUID %s)", uuid);
}

static const char *state_of(virDomainPtr domain)
{
    return virDomainIsActive(domain) == 1 ? "running" : "defined";
}

static int ask_clash(struct asking *asking)
{
    const struct vm_move *vm = asking->vm;
    CLEANUP(cleanup_domain) virDomainPtr by_uuid = NULL, by_name = NULL;
    struct uuid uuid;

    by_uuid = virDomainLookupByUUID(asking->peer->connection, vm->uuid.bytes);
    if (!by_uuid && virGetLastErrorCode() != VIR_ERR_NO_DOMAIN)
        return note_unknown(asking, "whether a VM of its UUID is there");
    if (by_uuid)
        return vm_lines_add(asking->obstacles, "a VM of the same UUID is %s there, '%.200s'",
                            state_of(by_uuid), virDomainGetName(by_uuid));
    by_name = virDomainLookupByName(asking->peer->connection, vm->name);
    if (!by_name && virGetLastErrorCode() != VIR_ERR_NO_DOMAIN)
        return note_unknown(asking, "whether a VM of its name is there");
    if (by_name && domain_uuid(by_name, &uuid) == 0)
        return vm_lines_add(asking->obstacles, "another VM called '%.200s' is %s there", vm->name,
                            state_of(by_name));
    return 0;
}

/* ---- machine and CPU --------------------------------------------------------------------------- */

static int ask_machine(struct asking *asking)
{
    const struct vm_move *vm = asking->vm;
    CLEANUP(cleanup_free) char *xml = NULL;
    struct error err = {""};
    uint32_t most = 0;
    int r;

    xml = virConnectGetDomainCapabilities(asking->peer->connection, NULL, vm->arch, vm->machine,
                                          vm->type, 0);
    asking->has_no_machine = !xml && is_refusal();
    if (asking->has_no_machine)
        return vm_lines_add(asking->obstacles, "its machine (%s %s, %s) cannot run there: %s",
                            vm->arch ? vm->arch : "?", vm->machine ? vm->machine : "?",
                            vm->type ? vm->type : "?", peer_last_message());
    if (!xml)
        return note_unknown(asking, "whether its machine can run there");
    r = move_domain_capabilities_read(text_of(xml, strlen(xml)), &most, &err);
    if (r == 0)
        r = files_xml_add(text_of(xml, strlen(xml)), "domain capabilities", "domainCapabilities",
                          &asking->known, &err);
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        return vm_lines_add(asking->unknown, "whether its machine can run there: %s", err.text);
    if (most == 0 || vm->vcpus <= most)
        return 0;
    return vm_lines_add(asking->obstacles, "it has %u CPUs, and a VM there can have %u at most",
                        vm->vcpus, most);
}

/*
 * The CPU of a VM is held against what the hypervisor there offers; where the
 * driver cannot do that, and that of a host (of which no hypervisor offers all),
 * against the CPU there.
 */
static int compare(struct asking *asking)
{
    const struct vm_move *vm = asking->vm;
    virConnectPtr connection = asking->peer->connection;
    int result = VIR_CPU_COMPARE_ERROR;

    if (!vm->cpu_is_of_host)
        result = virConnectCompareHypervisorCPU(connection, NULL, vm->arch, vm->machine, vm->type,
                                                vm->cpu, VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE);
    if (vm->cpu_is_of_host ||
        (result == VIR_CPU_COMPARE_ERROR && virGetLastErrorCode() == VIR_ERR_NO_SUPPORT))
        result =
            virConnectCompareCPU(connection, vm->cpu, VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE);
    return result;
}

static int ask_cpu(struct asking *asking)
{
    int result = asking->vm->cpu ? compare(asking) : VIR_CPU_COMPARE_IDENTICAL;
    int code = result == VIR_CPU_COMPARE_ERROR ? virGetLastErrorCode() : VIR_ERR_OK;

    if (code == VIR_ERR_CPU_INCOMPATIBLE || result == VIR_CPU_COMPARE_INCOMPATIBLE)
        return vm_lines_add(asking->obstacles, "its CPU cannot be had there: %s",
                            code != VIR_ERR_OK ? peer_last_message() : "incompatible");
    if (result != VIR_CPU_COMPARE_ERROR || code == VIR_ERR_NO_SUPPORT)
        return 0;
    return note_unknown(asking, "whether its CPU can be had there");
}

/* ---- networks and bridges ------------------------------------------------------------------------ */

static int ask_network(struct asking *asking, const char *name)
{
    virNetworkPtr network = virNetworkLookupByName(asking->peer->connection, name);
    int r = 0, active;

    if (!network && virGetLastErrorCode() == VIR_ERR_NO_NETWORK)
        return vm_lines_add(asking->obstacles, "it has no libvirt network '%.200s'", name);
    if (!network)
        return note_unknown(asking, "whether its networks are there");
    active = virNetworkIsActive(network);
    if (active == 0)
        r = vm_lines_add(asking->obstacles,
                         "its libvirt network '%.200s' is not active there "
                         "(virsh net-start)",
                         name);
    else if (active < 0)
        r = note_unknown(asking, "whether its networks are active");
    virNetworkFree(network);
    return r;
}

/* Bridges that libvirt's own networks made; where hosts' interfaces cannot be listed. */
static bool is_bridge_of_network(struct asking *asking, const char *name)
{
    virNetworkPtr *networks = NULL;
    int count = virConnectListAllNetworks(asking->peer->connection, &networks,
                                          VIR_CONNECT_LIST_NETWORKS_ACTIVE);
    bool found = false;

    for (int i = 0; i < count; i++) {
        CLEANUP(cleanup_free) char *bridge = virNetworkGetBridgeName(networks[i]);

        found = found || (bridge && strcmp(bridge, name) == 0);
        virNetworkFree(networks[i]);
    }
    free(networks);
    return found;
}

static int ask_bridge(struct asking *asking, const char *name)
{
    virInterfacePtr interface = virInterfaceLookupByName(asking->peer->connection, name);

    if (interface) {
        virInterfaceFree(interface);
        return 0;
    }
    if (virGetLastErrorCode() == VIR_ERR_NO_INTERFACE)
        return is_bridge_of_network(asking, name)
                   ? 0
                   : vm_lines_add(asking->obstacles, "it has no bridge or device '%.200s'", name);
    if (is_bridge_of_network(asking, name))
        return 0;
    return vm_lines_add(asking->unknown,
                        "whether the bridge or device '%.200s' is there: libvirt does not say",
                        name);
}

/* ---- files --------------------------------------------------------------------------------------- */

/* libvirt tells of files in pools, and of the firmware that it offers. */
static int ask_file(struct asking *asking, const char *path)
{
    CLEANUP(cleanup_volume) virStorageVolPtr volume = NULL;

    if (files_have(&asking->known, path))
        return 0;
    if (!volume_look(asking->peer, path, &volume))
        return vm_lines_add(asking->unknown,
                            "whether it has the file %.300s: that lies in no pool there", path);
    if (volume)
        return 0;
    return vm_lines_add(asking->obstacles,
                        "it has no file %.300s, which the VM uses and which does not go along",
                        path);
}

/* ---- all of it ------------------------------------------------------------------------------------ */

static int ask_all(struct asking *asking, const char *own_host_uuid)
{
    const struct vm_move *vm = asking->vm;
    int r = ask_host(asking, own_host_uuid);

    if (asking->obstacles->count > 0)
        return r; /* all else would be said of the VM itself */
    if (r == 0 && !asking->is_lost)
        r = ask_clash(asking);
    if (r == 0 && !asking->is_lost)
        r = ask_machine(asking);
    if (r == 0 && !asking->is_lost && !asking->has_no_machine)
        r = ask_cpu(asking);
    for (size_t i = 0; i < vm->networks.count && r == 0 && !asking->is_lost; i++)
        r = ask_network(asking, vm->networks.lines[i]);
    for (size_t i = 0; i < vm->bridges.count && r == 0 && !asking->is_lost; i++)
        r = ask_bridge(asking, vm->bridges.lines[i]);
    for (size_t i = 0; i < vm->files.count && r == 0 && !asking->is_lost; i++)
        r = ask_file(asking, vm->files.lines[i]);
    return r;
}

int vm_move_ask(struct vm_peer *peer, const struct vm_move *vm, const char *own_host_uuid,
                struct vm_lines *ret_obstacles, struct vm_lines *ret_unknown, struct error *err)
{
    CLEANUP(vm_lines_release) struct vm_lines obstacles = {NULL, 0, 0}, unknown = {NULL, 0, 0};
    struct asking asking = {.peer = peer, .vm = vm, .obstacles = &obstacles, .unknown = &unknown};
    int r = ask_all(&asking, own_host_uuid);

    vm_files_release(&asking.known);
    if (r < 0)
        return error_set(err, r, "out of memory");
    if (asking.is_lost)
        return error_set(err, -EIO, "the connection is lost: %s", unknown.lines[unknown.count - 1]);
    *ret_obstacles = obstacles;
    *ret_unknown = unknown;
    obstacles = unknown = (struct vm_lines){NULL, 0, 0};
    return 0;
}
