/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How VMs and devices are called in collectd: its identifiers hold 127 bytes,
 * no slash, and become file names. Pure.
 */
#ifndef SETMOV_PLUGIN_IDENTITY_H
#define SETMOV_PLUGIN_IDENTITY_H

#include "collectd/core/daemon/collectd.h"

#include "setmov_config.h"

/* plugin_instance of the host's metrics and of the plugin's own. */
#define PLUGIN_INSTANCE_HOST "host"
#define PLUGIN_INSTANCE_SELF "self"

/* The two parts of an identifier that tell where values come from. */
struct identity {
    char host[DATA_MAX_NAME_LEN];
    char plugin_instance[DATA_MAX_NAME_LEN];
};

/*
 * The identity of a VM as HostnameFormat and PluginInstanceFormat say. Slashes
 * and what cannot be seen (control characters, broken UTF-8) become '_'. A part that is too long is cut and ends
 * with the first 8 characters of the UUID, so that two cut names stay two.
 */
void identity_of_vm(const struct setmov_config *config, const char *hostname, const char *name,
                    const char *uuid, struct identity *ret_identity);

/*
 * Appends "-" and `uuid_bytes` characters of the UUID to the part that names
 * the VM (the plugin instance, or the host where that is empty): for an
 * identity that something else has already.
 */
void identity_distinguish(struct identity *identity, const char *uuid, size_t uuid_bytes);

bool identity_equals(const struct identity *one, const struct identity *other);

/*
 * The type instance of a device: a leading slash goes, others become '_'
 * (vda; var_lib_libvirt_images_a.qcow2), or only what follows the last slash
 * where `basename` is true. Too long ones end with a hash. Returns the length.
 */
size_t identity_device_label(const char *device, bool basename, char label[DATA_MAX_NAME_LEN]);

#endif
