// SPDX-License-Identifier: GPL-2.0-only
/*
 * orders.ko: what the samples that patch a module patch. Not a patch itself.
 *
 * A number written to /proc/orders is an order over that amount, "drop" takes the oldest away; reading it lists them. Reading
 * /proc/orders_wait waits for the next order. The functions to be patched are global, so that the compiler keeps them as
 * they are.
 */
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

struct order {
	struct list_head link;
	int amount;
};

void order_made(struct order *order);
void order_gone(struct order *order);
void order_show(struct seq_file *out, const struct order *order);
int order_wait(void);

static LIST_HEAD(orders);
static unsigned int orders_made;
static DEFINE_MUTEX(orders_lock);
static DECLARE_WAIT_QUEUE_HEAD(orders_waiters);

/* A new order, complete but not on the list yet. */
noinline void order_made(struct order *order)
{
	barrier();
}

/* An order that is on no list any more, about to be freed. */
noinline void order_gone(struct order *order)
{
	barrier();
}

noinline void order_show(struct seq_file *out, const struct order *order)
{
	seq_printf(out, "%d\n", order->amount);
}

/* Until the next order. */
noinline int order_wait(void)
{
	unsigned int made = READ_ONCE(orders_made);

	return wait_event_interruptible(orders_waiters, READ_ONCE(orders_made) != made);
}

static int orders_show(struct seq_file *out, void *unused)
{
	struct order *order;

	mutex_lock(&orders_lock);
	list_for_each_entry(order, &orders, link)
		order_show(out, order);
	mutex_unlock(&orders_lock);
	return 0;
}

static void orders_drop(struct order *order)
{
	list_del(&order->link);
	order_gone(order);
	kfree(order);
}

static int orders_open(struct inode *inode, struct file *file)
{
	return single_open(file, orders_show, NULL);
}

static ssize_t orders_write(struct file *file, const char __user *from, size_t size, loff_t *at)
{
	struct order *order;
	int amount, err;

	if (size >= 4) {
		char word[4];

		if (copy_from_user(word, from, sizeof(word)))
			return -EFAULT;
		if (!memcmp(word, "drop", sizeof(word))) {
			mutex_lock(&orders_lock);
			order = list_first_entry_or_null(&orders, struct order, link);
			if (order)
				orders_drop(order);
			mutex_unlock(&orders_lock);
			return size;
		}
	}
	err = kstrtoint_from_user(from, size, 0, &amount);
	if (err)
		return err;
	order = kzalloc(sizeof(*order), GFP_KERNEL);
	if (!order)
		return -ENOMEM;
	order->amount = amount;
	order_made(order);
	mutex_lock(&orders_lock);
	list_add_tail(&order->link, &orders);
	WRITE_ONCE(orders_made, orders_made + 1);
	mutex_unlock(&orders_lock);
	wake_up_all(&orders_waiters);
	return size;
}

static ssize_t orders_wait_read(struct file *file, char __user *to, size_t size, loff_t *at)
{
	/* The end of the file: nothing to read but the wait. */
	return order_wait();
}

static const struct proc_ops orders_ops = {
	.proc_open = orders_open,
	.proc_read = seq_read,
	.proc_lseek = seq_lseek,
	.proc_release = single_release,
	.proc_write = orders_write,
};

static const struct proc_ops orders_wait_ops = {
	.proc_read = orders_wait_read,
};

static int __init orders_init(void)
{
	if (!proc_create("orders", 0600, NULL, &orders_ops))
		return -ENOMEM;
	if (!proc_create("orders_wait", 0400, NULL, &orders_wait_ops)) {
		remove_proc_entry("orders", NULL);
		return -ENOMEM;
	}
	return 0;
}

static void __exit orders_exit(void)
{
	struct order *order, *next;

	remove_proc_entry("orders_wait", NULL);
	remove_proc_entry("orders", NULL);
	list_for_each_entry_safe(order, next, &orders, link)
		orders_drop(order);
}

module_init(orders_init);
module_exit(orders_exit);
MODULE_DESCRIPTION("klp_rs sample: a module to be patched");
MODULE_LICENSE("GPL");
