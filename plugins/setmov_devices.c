/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Remembered labels and filter results of devices: see setmov_devices.h. */
#include "setmov_devices.h"

static struct device *device_new(struct device_list *list, size_t place)
{
    if (place < list->count)
        return list->devices[place];
    if (place != list->count ||
        array_reserve(&list->devices, &list->capacity, place + 1, sizeof(*list->devices)) < 0)
        return NULL;
    list->devices[place] = calloc(1, sizeof(**list->devices));
    if (list->devices[place] != NULL)
        list->count++;
    return list->devices[place];
}

static void warn_of_double(const char *vm, const char *label)
{
    char name[VM_NAME_BYTES];

    string_copy(name, sizeof(name), vm);
    text_make_one_line(name);
    WARNING(PLUGIN_NAME " plugin: two devices of `%s' are called `%s'; only the first is collected",
            name, label);
}

static bool label_is_taken(const struct device_list *list, size_t place, const char *label)
{
    for (size_t i = 0; i < place; i++) {
        if (list->devices[i]->selected && strcmp(list->devices[i]->text, label) == 0)
            return true;
    }
    return false;
}

static void device_make(struct device_list *list, size_t place, const struct device_query *query)
{
    struct device *device = list->devices[place];

    string_copy(device->key, sizeof(device->key), query->key);
    device->label.text = device->text;
    device->label.length = identity_device_label(query->key, query->basename, device->text);
    if (query->key[0] == '\0')
        device->selected = false;
    else
        device->selected = query->vm != NULL
                               ? filter_selects_device(query->filter, query->vm, query->key)
                               : filter_selects(query->filter, query->key);
    if (query->vm == NULL)
        return; /* the kernel's names are unique, and there can be thousands */
    for (size_t i = place + 1; i < list->count; i++)
        list->devices[i]->label.text = NULL; /* may have lost its double, or got one */
    if (device->selected && label_is_taken(list, place, device->text)) {
        device->selected = false;
        warn_of_double(query->vm, device->text);
    }
}

struct device *device_list_at(struct device_list *list, size_t place,
                              const struct device_query *query)
{
    struct device *device = device_new(list, place);

    if (device == NULL)
        return NULL;
    if (device->label.text == NULL || strcmp(device->key, query->key) != 0)
        device_make(list, place, query);
    return device->selected ? device : NULL;
}

void device_set_mac(struct device *device, const char *mac)
{
    if (strcmp(device->mac, mac) == 0)
        return;
    meta_data_destroy(device->meta);
    device->meta = NULL;
    string_copy(device->mac, sizeof(device->mac), mac);
    if (mac[0] == '\0')
        return;
    device->meta = meta_data_create();
    if (device->meta != NULL)
        meta_data_add_string(device->meta, "mac", mac);
}

void device_list_release(struct device_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        meta_data_destroy(list->devices[i]->meta);
        free(list->devices[i]);
    }
    free(list->devices);
    memset(list, 0, sizeof(*list));
}
