// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/klp_rs: directories and files with the names, modes and formats of
 * Documentation/ABI/testing/sysfs-kernel-livepatch, plus uevents. What a file says is klp_rs_attr_show()'s answer.
 *
 * Invariant: after klp_rs_dir_remove() nothing of this module is used for the directory: kobject_del() drains readers and
 * writers of its files (fs/kernfs), after which nobody can reach those or the owner. The kobject itself may live longer, and
 * its release runs in whoever drops the last reference, at any time (CONFIG_DEBUG_KOBJECT_RELEASE: in a work item, seconds
 * later). A release in this module could be counted, and the unloading could wait for the count, but not for the rest of
 * the function that counts. So the release is the kernel's, and so are the memory of the kobject and its type.
 */
#include <linux/kobject.h>
#include <linux/kstrtox.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "klp_rs_glue.h"

struct klp_rs_file {
	struct kobj_attribute attr;
	const void *owner;
	unsigned int which;
};

struct klp_rs_dir {
	struct kobject *kobj;
	struct klp_rs_file files[];
};

static struct kset *klp_rs_kset;

static ssize_t klp_rs_file_show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	struct klp_rs_file *file = container_of(attr, struct klp_rs_file, attr);
	ssize_t value = klp_rs_attr_show(file->owner, file->which);

	return value < 0 ? value : sysfs_emit(page, "%zd\n", value);
}

static ssize_t klp_rs_file_store(struct kobject *kobj, struct kobj_attribute *attr, const char *text, size_t size)
{
	struct klp_rs_file *file = container_of(attr, struct klp_rs_file, attr);
	bool value;
	int err = kstrtobool(text, &value);

	if (!err)
		err = klp_rs_attr_store(file->owner, file->which, value);
	return err ? err : size;
}

static const struct klp_rs_form {
	const char *name;
	umode_t mode;
	unsigned int kind;
} klp_rs_forms[] = {
	[KLP_RS_ENABLED] = { "enabled", 0644, KLP_RS_DIR_PATCH },
	[KLP_RS_TRANSITION] = { "transition", 0444, KLP_RS_DIR_PATCH },
	[KLP_RS_FORCE] = { "force", 0200, KLP_RS_DIR_PATCH },
	[KLP_RS_REPLACE] = { "replace", 0444, KLP_RS_DIR_PATCH },
	[KLP_RS_STACK_ORDER] = { "stack_order", 0444, KLP_RS_DIR_PATCH },
	[KLP_RS_PATCHED] = { "patched", 0444, KLP_RS_DIR_OBJECT },
};

static unsigned int klp_rs_count_files(unsigned int kind)
{
	unsigned int which, count = 0;

	for (which = 0; which < ARRAY_SIZE(klp_rs_forms); which++)
		count += klp_rs_forms[which].kind == kind;
	return count;
}

static int klp_rs_add_files(struct klp_rs_dir *dir, unsigned int kind, const void *owner)
{
	struct klp_rs_file *file = dir->files;
	unsigned int which;
	int err = 0;

	for (which = 0; which < ARRAY_SIZE(klp_rs_forms) && !err; which++) {
		const struct klp_rs_form *form = &klp_rs_forms[which];

		if (form->kind != kind)
			continue;
		sysfs_attr_init(&file->attr.attr);
		file->attr.attr.name = form->name;
		file->attr.attr.mode = form->mode;
		file->attr.show = klp_rs_file_show;
		file->attr.store = klp_rs_file_store;
		file->owner = owner;
		file->which = which;
		err = sysfs_create_file(dir->kobj, &file->attr.attr);
		file++;
	}
	return err;
}

struct klp_rs_dir *klp_rs_dir_add(struct klp_rs_dir *parent, unsigned int kind, const char *name, const void *owner)
{
	struct klp_rs_dir *dir = kzalloc(struct_size(dir, files, klp_rs_count_files(kind)), GFP_KERNEL);
	struct kobject *kobj = kzalloc(sizeof(*kobj), GFP_KERNEL);
	int err;

	if (!dir || !kobj) {
		kfree(kobj);
		kfree(dir);
		return ERR_PTR(-ENOMEM);
	}
	/* Uevents need a kset: only the patch itself is announced. */
	if (kind == KLP_RS_DIR_PATCH)
		kobj->kset = klp_rs_kset;
	/* The type of all that kobject_create_and_add() makes (kernel/ksysfs.c): calls kobj_attribute's functions, frees @kobj. */
	err = kobject_init_and_add(kobj, get_ktype(kernel_kobj), parent ? parent->kobj : NULL, "%s", name);
	if (err) {
		kobject_put(kobj);
		kfree(dir);
		return ERR_PTR(err);
	}
	dir->kobj = kobj;
	err = klp_rs_add_files(dir, kind, owner);
	if (err) {
		klp_rs_dir_remove(dir);
		return ERR_PTR(err);
	}
	return dir;
}

/* Not from inside one of its own files: it waits for them. */
void klp_rs_dir_remove(struct klp_rs_dir *dir)
{
	kobject_del(dir->kobj);
	kobject_put(dir->kobj);
	kfree(dir);
}

void klp_rs_dir_event(struct klp_rs_dir *dir, unsigned int event)
{
	static const enum kobject_action actions[] = { KOBJ_ADD, KOBJ_CHANGE, KOBJ_REMOVE };

	if (event < ARRAY_SIZE(actions))
		kobject_uevent(dir->kobj, actions[event]);
}

void klp_rs_dir_changed(struct klp_rs_dir *dir, const char *attribute)
{
	sysfs_notify(dir->kobj, NULL, attribute);
}

int klp_rs_sysfs_start(void)
{
	int err;

	klp_rs_kset = kset_create_and_add("klp_rs", NULL, kernel_kobj);
	if (!klp_rs_kset)
		return -ENOMEM;
	err = klp_rs_task_states_start();
	if (err)
		kset_unregister(klp_rs_kset);
	return err;
}

void klp_rs_sysfs_stop(void)
{
	klp_rs_task_states_stop();
	kset_unregister(klp_rs_kset);
}
