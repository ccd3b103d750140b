// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/klp_rs: directories and files with the names, modes and formats of
 * Documentation/ABI/testing/sysfs-kernel-livepatch, plus uevents. What a file says is klp_rs_attr_show()'s answer.
 * Invariant: after klp_rs_dir_remove() no file of the directory touches its owner (fs/kernfs drains readers and writers).
 */
#include <linux/kobject.h>
#include <linux/kstrtox.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/wait.h>

#include "klp_rs_glue.h"

struct klp_rs_dir {
	struct kobject kobj;
	const void *owner;
};

struct klp_rs_file {
	struct attribute attr;
	unsigned int which;
};

static struct kset *klp_rs_kset;
/* Directories not yet released; the module's text must outlive the last. */
static atomic_t klp_rs_dirs = ATOMIC_INIT(0);
static DECLARE_WAIT_QUEUE_HEAD(klp_rs_dirs_gone);

static ssize_t klp_rs_file_show(struct kobject *kobj, struct attribute *attr, char *page)
{
	struct klp_rs_dir *dir = container_of(kobj, struct klp_rs_dir, kobj);
	struct klp_rs_file *file = container_of(attr, struct klp_rs_file, attr);
	ssize_t value = klp_rs_attr_show(dir->owner, file->which);

	return value < 0 ? value : sysfs_emit(page, "%zd\n", value);
}

static ssize_t klp_rs_file_store(struct kobject *kobj, struct attribute *attr, const char *text, size_t size)
{
	struct klp_rs_dir *dir = container_of(kobj, struct klp_rs_dir, kobj);
	struct klp_rs_file *file = container_of(attr, struct klp_rs_file, attr);
	bool value;
	int err = kstrtobool(text, &value);

	if (!err)
		err = klp_rs_attr_store(dir->owner, file->which, value);
	return err ? err : size;
}

static const struct sysfs_ops klp_rs_file_ops = {
	.show = klp_rs_file_show,
	.store = klp_rs_file_store,
};

static void klp_rs_dir_release(struct kobject *kobj)
{
	kfree(container_of(kobj, struct klp_rs_dir, kobj));
	if (atomic_dec_and_test(&klp_rs_dirs))
		wake_up(&klp_rs_dirs_gone);
}

#define KLP_RS_FILE(_name, _mode, _which) \
	static struct klp_rs_file klp_rs_file_##_name = { { .name = #_name, .mode = _mode }, _which }

KLP_RS_FILE(enabled, 0644, KLP_RS_ENABLED);
KLP_RS_FILE(transition, 0444, KLP_RS_TRANSITION);
KLP_RS_FILE(force, 0200, KLP_RS_FORCE);
KLP_RS_FILE(replace, 0444, KLP_RS_REPLACE);
KLP_RS_FILE(stack_order, 0444, KLP_RS_STACK_ORDER);
KLP_RS_FILE(patched, 0444, KLP_RS_PATCHED);

static struct attribute *klp_rs_patch_attrs[] = {
	&klp_rs_file_enabled.attr, &klp_rs_file_transition.attr,  &klp_rs_file_force.attr,
	&klp_rs_file_replace.attr, &klp_rs_file_stack_order.attr, NULL
};
ATTRIBUTE_GROUPS(klp_rs_patch);

static struct attribute *klp_rs_object_attrs[] = { &klp_rs_file_patched.attr, NULL };
ATTRIBUTE_GROUPS(klp_rs_object);

static const struct kobj_type klp_rs_types[] = {
	[KLP_RS_DIR_PATCH] = { klp_rs_dir_release, &klp_rs_file_ops, klp_rs_patch_groups },
	[KLP_RS_DIR_OBJECT] = { klp_rs_dir_release, &klp_rs_file_ops, klp_rs_object_groups },
	[KLP_RS_DIR_FUNC] = { klp_rs_dir_release, &klp_rs_file_ops },
};

struct klp_rs_dir *klp_rs_dir_add(struct klp_rs_dir *parent, unsigned int kind, const char *name, const void *owner)
{
	struct klp_rs_dir *dir;
	int err;

	if (kind >= ARRAY_SIZE(klp_rs_types))
		return ERR_PTR(-EINVAL);
	dir = kzalloc(sizeof(*dir), GFP_KERNEL);
	if (!dir)
		return ERR_PTR(-ENOMEM);
	dir->owner = owner;
	/* Uevents need a kset: only the patch itself is announced. */
	if (kind == KLP_RS_DIR_PATCH)
		dir->kobj.kset = klp_rs_kset;
	atomic_inc(&klp_rs_dirs);
	err = kobject_init_and_add(&dir->kobj, &klp_rs_types[kind], parent ? &parent->kobj : NULL, "%s", name);
	if (err) {
		kobject_put(&dir->kobj);
		return ERR_PTR(err);
	}
	return dir;
}

/* Not from inside one of its own files: it waits for them. */
void klp_rs_dir_remove(struct klp_rs_dir *dir)
{
	kobject_del(&dir->kobj);
	kobject_put(&dir->kobj);
}

void klp_rs_dir_event(struct klp_rs_dir *dir, unsigned int event)
{
	static const enum kobject_action actions[] = { KOBJ_ADD, KOBJ_CHANGE, KOBJ_REMOVE };

	if (event < ARRAY_SIZE(actions))
		kobject_uevent(&dir->kobj, actions[event]);
}

void klp_rs_dir_changed(struct klp_rs_dir *dir, const char *attribute)
{
	sysfs_notify(&dir->kobj, NULL, attribute);
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
	wait_event(klp_rs_dirs_gone, !atomic_read(&klp_rs_dirs));
}
