// SPDX-License-Identifier: GPL-2.0-only
/*
 * The s390 virtio transport of 2008, for current kernels: devices are described
 * in one page right above guest memory, the guest calls with DIAGNOSE 0x500, the
 * host answers with external interruption 0x2603.
 *
 * A descriptor is a row of bytes without padding between its parts; the next one
 * follows at once, a device type of 0 ends the list:
 *
 *	u8  type, queues, feature_bytes, config_bytes, status
 *	24 bytes for each queue: u64 token, u64 ring, u16 entries, 6 unused
 *	u8  features the host offers[feature_bytes]	bit n is bit n % 8 of byte n / 8
 *	u8  features the guest takes[feature_bytes]
 *	u8  config[config_bytes]
 *
 * Numbers are big endian. Status, tokens, the second feature array and parts of
 * config are the guest's to write, everything else is the host's; it may change
 * config at any time and append descriptors.
 *
 * The host is asked for nothing it could not be made to regret: the geometry of a
 * descriptor is read once and checked, a ring has to be memory of its own, and a
 * token is a number, not an address.
 */
#define pr_fmt(fmt) "kvm_virtio: " fmt

#include <linux/console.h>
#include <linux/device.h>
#include <linux/init.h>
#include <linux/interrupt.h>
#include <linux/ioport.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <asm/asm-extable.h>
#include <asm/irq.h>
#include <asm/kvm_para.h>
#include <asm/pgtable.h>
#include <asm/sclp.h>
#include <asm/setup.h>
#include <asm/unaligned.h>

/* Subcodes of DIAGNOSE 0x500. */
#define KVM_VIRTIO_NOTIFY	0	/* of a ring's address */
#define KVM_VIRTIO_RESET	1	/* of a descriptor's address */
#define KVM_VIRTIO_SET_STATUS	2	/* of a descriptor's address */

/* External interruption 0x2603 with this subcode is ours; others use the code too. */
#define SUBCODE_VIRTIO		0x0d00
#define SUBCODE_MASK		0xff00

/* What the interruption says, in the low byte of its 32-bit parameter. */
#define PARAM_CONFIG_CHANGED	1	/* token of any queue of the device */
#define PARAM_DEVICE_ADDED	2	/* anything else: a queue has something */
#define PARAM_MASK		0xff

/* Offsets in a descriptor. */
#define DESC_TYPE		0
#define DESC_QUEUES		1
#define DESC_FEATURE_BYTES	2
#define DESC_CONFIG_BYTES	3
#define DESC_STATUS		4
#define DESC_HEADER_BYTES	5

/* Offsets in the part that belongs to a queue. */
#define SLOT_TOKEN		0
#define SLOT_RING		8
#define SLOT_ENTRIES		16
#define SLOT_BYTES		24

#define RING_ALIGN		4096UL
#define EARLY_TEXT_BYTES	16	/* that a host prints of one call */

struct kvm_device {
	struct virtio_device vdev;
	struct list_head node;
	u8 *desc;
	/* Copies: what the page says later changes nothing. */
	u8 queues;
	u8 feature_bytes;
	u8 config_bytes;
};

struct kvm_queue {
	struct virtqueue *vq;
	u8 *slot;
	unsigned long ring;
	unsigned long bytes;
	u32 id;
};

static u8 *device_page;
static struct device *root_device;
static LIST_HEAD(devices);
static DEFINE_MUTEX(scan_mutex);

/* Queues by id. An id is not used again for long: a late interruption finds none. */
static DEFINE_XARRAY_FLAGS(queues, XA_FLAGS_ALLOC1 | XA_FLAGS_LOCK_IRQ);
static u32 next_id;

static struct kvm_device *to_kvm_device(struct virtio_device *vdev)
{
	return container_of(vdev, struct kvm_device, vdev);
}

static u8 *queue_slot(const struct kvm_device *dev, unsigned int index)
{
	return dev->desc + DESC_HEADER_BYTES + SLOT_BYTES * index;
}

static u8 *host_features(const struct kvm_device *dev)
{
	return queue_slot(dev, dev->queues);
}

static u8 *guest_features(const struct kvm_device *dev)
{
	return host_features(dev) + dev->feature_bytes;
}

static u8 *config_space(const struct kvm_device *dev)
{
	return guest_features(dev) + dev->feature_bytes;
}

static unsigned int desc_bytes(const struct kvm_device *dev)
{
	return config_space(dev) + dev->config_bytes - dev->desc;
}

/*
 * Memory of the host, above that of the guest
 */

/* Is there storage behind this page? The host may say what it likes. */
static bool storage_exists(unsigned long addr)
{
	unsigned int word = 0;
	int rc = -EFAULT;

	asm volatile(
		"0:	lura	%[word],%[addr]\n"
		"1:	lhi	%[rc],0\n"
		"2:\n"
		EX_TABLE(0b, 2b)
		EX_TABLE(1b, 2b)
		: [rc] "+d" (rc), [word] "+d" (word)
		: [addr] "a" (addr)
		: "memory");
	return !rc;
}

/* Takes whole pages into the kernel's address space that nobody else may have. */
static int map_host_memory(unsigned long start, unsigned long bytes, const char *name)
{
	unsigned long offset;
	int rc;

	if (start + bytes < start)
		return -ERANGE;
	for (offset = 0; offset < bytes; offset += PAGE_SIZE) {
		if (!storage_exists(start + offset))
			return -ENODEV;
	}
	/* Refuses what overlaps memory of the guest, the page, or a ring. */
	if (!request_mem_region(start, bytes, name))
		return -EBUSY;
	rc = vmem_add_mapping(start, bytes);
	if (rc)
		release_mem_region(start, bytes);
	return rc;
}

static void unmap_host_memory(unsigned long start, unsigned long bytes)
{
	vmem_remove_mapping(start, bytes);
	release_mem_region(start, bytes);
}

/*
 * Features, config, status
 */

static u64 kvm_get_features(struct virtio_device *vdev)
{
	struct kvm_device *dev = to_kvm_device(vdev);
	const u8 *offered = host_features(dev);
	u64 features = 0;
	unsigned int i;

	/* The transport has no bits above 31: legacy devices only. */
	for (i = 0; i < min_t(unsigned int, dev->feature_bytes, 4); i++)
		features |= (u64)READ_ONCE(offered[i]) << (8 * i);
	return features;
}

static int kvm_finalize_features(struct virtio_device *vdev)
{
	struct kvm_device *dev = to_kvm_device(vdev);
	u8 *taken = guest_features(dev);
	unsigned int i;

	vring_transport_features(vdev);
	if (vdev->features != (u32)vdev->features)
		return -EINVAL;
	/* May be called twice; the host looks when the status changes. */
	for (i = 0; i < dev->feature_bytes; i++)
		WRITE_ONCE(taken[i], i < 4 ? (u8)(vdev->features >> (8 * i)) : 0);
	return 0;
}

static bool config_range_ok(struct kvm_device *dev, unsigned int offset, unsigned int len)
{
	if (offset <= dev->config_bytes && len <= dev->config_bytes - offset)
		return true;
	dev_err_once(&dev->vdev.dev, "no config bytes %u to %u\n", offset, offset + len);
	return false;
}

static void kvm_get(struct virtio_device *vdev, unsigned int offset, void *buf,
		    unsigned int len)
{
	struct kvm_device *dev = to_kvm_device(vdev);
	const u8 *config = config_space(dev) + offset;
	unsigned int tries = 8;

	if (!config_range_ok(dev, offset, len)) {
		memset(buf, 0, len);
		return;
	}
	/*
	 * The host may be writing. An interruption follows and has it read again;
	 * two equal readings keep half a number out of the way until then.
	 */
	do {
		memcpy(buf, config, len);
		barrier();
	} while (memcmp(buf, config, len) && --tries);
}

static void kvm_set(struct virtio_device *vdev, unsigned int offset, const void *buf,
		    unsigned int len)
{
	struct kvm_device *dev = to_kvm_device(vdev);

	if (config_range_ok(dev, offset, len))
		memcpy(config_space(dev) + offset, buf, len);
}

static u8 kvm_get_status(struct virtio_device *vdev)
{
	return READ_ONCE(to_kvm_device(vdev)->desc[DESC_STATUS]);
}

static void call_about_device(struct kvm_device *dev, unsigned long subcode)
{
	long rc = kvm_hypercall1(subcode, __pa(dev->desc));

	if (rc < 0)
		dev_err(&dev->vdev.dev, "the host refuses subcode %lu: %ld\n", subcode, rc);
}

static void kvm_set_status(struct virtio_device *vdev, u8 status)
{
	struct kvm_device *dev = to_kvm_device(vdev);

	WARN_ON_ONCE(!status);	/* that is what reset is for */
	WRITE_ONCE(dev->desc[DESC_STATUS], status);
	call_about_device(dev, KVM_VIRTIO_SET_STATUS);
}

/*
 * The host clears status and taken features, and is done with the rings, on return. It zeroes
 * their indices as well, but shutdown breaks the queues and resets devices whose drivers go on:
 * when one more packet is sent, virtio_net asks a broken queue for used buffers until there are no
 * more. So the used index becomes that of the last buffer that the driver has seen. Nobody on this
 * CPU looks in between.
 */
static void kvm_reset(struct virtio_device *vdev)
{
	struct virtqueue *vq;
	unsigned long flags;
	u16 seen;

	local_irq_save(flags);
	call_about_device(to_kvm_device(vdev), KVM_VIRTIO_RESET);
	list_for_each_entry(vq, &vdev->vqs, list) {
		/* What it returns is that index: the ring is a split one. */
		seen = virtqueue_enable_cb_prepare(vq);
		WRITE_ONCE(virtqueue_get_vring(vq)->used->idx, cpu_to_virtio16(vdev, seen));
	}
	local_irq_restore(flags);
}

static const char *kvm_bus_name(struct virtio_device *vdev)
{
	return dev_name(root_device);
}

/*
 * Queues
 */

static bool kvm_notify(struct virtqueue *vq)
{
	struct kvm_queue *queue = vq->priv;

	return kvm_hypercall1(KVM_VIRTIO_NOTIFY, queue->ring) >= 0;
}

static void del_vq(struct virtqueue *vq)
{
	struct kvm_queue *queue = vq->priv;

	put_unaligned_be64(0, queue->slot + SLOT_TOKEN);
	xa_erase_irq(&queues, queue->id);
	synchronize_rcu();	/* an interruption may have found it */
	vring_del_virtqueue(vq);
	unmap_host_memory(queue->ring, queue->bytes);
	kfree(queue);
}

static void kvm_del_vqs(struct virtio_device *vdev)
{
	struct virtqueue *vq, *next;

	list_for_each_entry_safe(vq, next, &vdev->vqs, list)
		del_vq(vq);
}

static struct virtqueue *new_vq(struct virtio_device *vdev, unsigned int index,
				vq_callback_t *callback, const char *name, bool ctx)
{
	struct kvm_device *dev = to_kvm_device(vdev);
	struct kvm_queue *queue;
	unsigned int entries;
	int rc;

	if (index >= dev->queues)
		return ERR_PTR(-ENOENT);
	queue = kzalloc(sizeof(*queue), GFP_KERNEL);
	if (!queue)
		return ERR_PTR(-ENOMEM);

	queue->slot = queue_slot(dev, index);
	queue->ring = get_unaligned_be64(queue->slot + SLOT_RING);
	entries = get_unaligned_be16(queue->slot + SLOT_ENTRIES);
	rc = -EINVAL;
	if (!is_power_of_2(entries) || !IS_ALIGNED(queue->ring, RING_ALIGN) ||
	    queue->ring < __pa(device_page) + PAGE_SIZE)
		goto free;
	queue->bytes = PAGE_ALIGN(vring_size(entries, RING_ALIGN));
	rc = map_host_memory(queue->ring, queue->bytes, "kvm_virtio ring");
	if (rc)
		goto free;

	/* virtio_ring expects the pages as an allocator would give them. */
	memset(__va(queue->ring), 0, queue->bytes);
	rc = -ENOMEM;
	queue->vq = vring_new_virtqueue(index, entries, RING_ALIGN, vdev, true, ctx,
					__va(queue->ring), kvm_notify, callback, name);
	if (!queue->vq)
		goto unmap;
	queue->vq->num_max = entries;
	queue->vq->priv = queue;

	rc = xa_alloc_cyclic_irq(&queues, &queue->id, queue, XA_LIMIT(1, INT_MAX), &next_id,
				 GFP_KERNEL);
	if (rc < 0)
		goto del;
	/* The lowest bit of a token is reserved. */
	put_unaligned_be64((u64)queue->id << 1, queue->slot + SLOT_TOKEN);
	return queue->vq;

del:
	vring_del_virtqueue(queue->vq);
unmap:
	unmap_host_memory(queue->ring, queue->bytes);
free:
	kfree(queue);
	dev_err(&vdev->dev, "queue %u (%s): error %d\n", index, name, rc);
	return ERR_PTR(rc);
}

static int kvm_find_vqs(struct virtio_device *vdev, unsigned int nvqs, struct virtqueue *vqs[],
			vq_callback_t *callbacks[], const char * const names[],
			const bool *ctx, struct irq_affinity *desc)
{
	unsigned int i, index = 0;
	int rc;

	for (i = 0; i < nvqs; i++) {
		if (!names[i]) {	/* takes no index either */
			vqs[i] = NULL;
			continue;
		}
		vqs[i] = new_vq(vdev, index++, callbacks[i], names[i], ctx && ctx[i]);
		if (IS_ERR(vqs[i])) {
			rc = PTR_ERR(vqs[i]);
			kvm_del_vqs(vdev);
			return rc;
		}
	}
	return 0;
}

/* virtio_synchronize_cbs() falls back to synchronize_rcu(), which is right here. */
static const struct virtio_config_ops kvm_config_ops = {
	.get			= kvm_get,
	.set			= kvm_set,
	.get_status		= kvm_get_status,
	.set_status		= kvm_set_status,
	.reset			= kvm_reset,
	.get_features		= kvm_get_features,
	.finalize_features	= kvm_finalize_features,
	.find_vqs		= kvm_find_vqs,
	.del_vqs		= kvm_del_vqs,
	.bus_name		= kvm_bus_name,
};

/*
 * The list of devices
 */

static void release_device(struct device *dev)
{
	kfree(to_kvm_device(dev_to_virtio(dev)));
}

static struct kvm_device *known_device(const u8 *desc)
{
	struct kvm_device *dev;

	list_for_each_entry(dev, &devices, node) {
		if (dev->desc == desc)
			return dev;
	}
	return NULL;
}

/* The device that the host describes at desc, or an error if it is none. */
static struct kvm_device *read_desc(u8 *desc)
{
	unsigned int room = device_page + PAGE_SIZE - desc;
	struct kvm_device *dev;

	if (room < DESC_HEADER_BYTES)
		return ERR_PTR(-EINVAL);
	dev = kzalloc(sizeof(*dev), GFP_KERNEL);
	if (!dev)
		return ERR_PTR(-ENOMEM);
	dev->desc = desc;
	dev->queues = READ_ONCE(desc[DESC_QUEUES]);
	dev->feature_bytes = READ_ONCE(desc[DESC_FEATURE_BYTES]);
	dev->config_bytes = READ_ONCE(desc[DESC_CONFIG_BYTES]);
	if (desc_bytes(dev) > room) {
		kfree(dev);
		return ERR_PTR(-EINVAL);
	}
	return dev;
}

static void add_device(struct kvm_device *dev, u8 type)
{
	struct virtio_device *vdev = &dev->vdev;
	int rc;

	vdev->id.device = type;
	vdev->config = &kvm_config_ops;
	vdev->dev.parent = root_device;
	vdev->dev.release = release_device;
	list_add_tail(&dev->node, &devices);
	rc = register_virtio_device(vdev);
	if (rc) {
		pr_err("device of type %u at %#lx: error %d\n", type, __pa(dev->desc), rc);
		list_del(&dev->node);
		put_device(&vdev->dev);
	}
}

/* Nothing is ever removed from the page. */
static void scan_devices(void)
{
	u8 *desc = device_page, *end = device_page + PAGE_SIZE;
	struct kvm_device *dev;
	unsigned int bytes;
	u8 type;

	mutex_lock(&scan_mutex);
	while (desc < end) {
		type = READ_ONCE(desc[DESC_TYPE]);
		if (!type)
			break;
		rmb();	/* the host writes the type last */
		dev = known_device(desc);
		if (dev) {
			desc += desc_bytes(dev);
			continue;
		}
		dev = read_desc(desc);
		if (IS_ERR(dev)) {
			pr_err("descriptor at %#lx: error %ld\n", __pa(desc), PTR_ERR(dev));
			break;
		}
		bytes = desc_bytes(dev);
		add_device(dev, type);
		desc += bytes;
	}
	mutex_unlock(&scan_mutex);
}

static void rescan(struct work_struct *work)
{
	scan_devices();
}

static DECLARE_WORK(rescan_work, rescan);

/*
 * Interruptions
 */

static void kvm_virtio_interrupt(struct ext_code ext_code, unsigned int param32,
				 unsigned long token)
{
	struct kvm_queue *queue;

	if ((ext_code.subcode & SUBCODE_MASK) != SUBCODE_VIRTIO)
		return;
	inc_irq_stat(IRQEXT_VRT);

	if ((param32 & PARAM_MASK) == PARAM_DEVICE_ADDED) {
		schedule_work(&rescan_work);
		return;
	}

	rcu_read_lock();
	queue = xa_load(&queues, token >> 1);
	if (queue && (param32 & PARAM_MASK) == PARAM_CONFIG_CHANGED)
		virtio_config_changed(queue->vq->vdev);
	else if (queue)
		vring_interrupt(0, queue->vq);
	rcu_read_unlock();
}

static int __init kvm_virtio_init(void)
{
	/* Right above all memory there is, whatever part of it is in use. */
	unsigned long addr = sclp.rzm * sclp.rnmax;
	int rc;

	if (!MACHINE_IS_KVM || !addr || !storage_exists(addr))
		return -ENODEV;
	rc = map_host_memory(addr, PAGE_SIZE, "kvm_virtio devices");
	if (rc) {
		pr_err("device page at %#lx: error %d\n", addr, rc);
		return rc;
	}
	device_page = __va(addr);

	root_device = root_device_register("kvm_s390");
	rc = PTR_ERR_OR_ZERO(root_device);
	if (rc)
		goto unmap;
	rc = register_external_irq(EXT_IRQ_CP_SERVICE, kvm_virtio_interrupt);
	if (rc)
		goto unregister;
	irq_subclass_register(IRQ_SUBCLASS_SERVICE_SIGNAL);

	pr_info("device page at %#lx\n", addr);
	scan_devices();
	return 0;

unregister:
	root_device_unregister(root_device);
unmap:
	unmap_host_memory(addr, PAGE_SIZE);
	return rc;
}
device_initcall(kvm_virtio_init);

/*
 * Console for the time before the first driver: NOTIFY with the address of a text
 * in guest memory. Used when the SCLP has no console, or with "earlyprintk=kvm".
 *
 * Not virtio_cons_early_init(): it takes hvc0 for virtual terminal 0, and since
 * the first port of a device has been terminal 1, that one would become hvc1.
 */
static void early_write(struct console *con, const char *text, unsigned int len)
{
	/* Not on the stack, which need not have one physical address. */
	static char buf[EARLY_TEXT_BYTES + 1];
	unsigned int n;

	for (; len; text += n, len -= n) {
		n = min_t(unsigned int, len, EARLY_TEXT_BYTES);
		memcpy(buf, text, n);
		buf[n] = '\0';
		kvm_hypercall1(KVM_VIRTIO_NOTIFY, __pa_symbol(buf));
	}
}

/* Enabled from the start: console= on the command line is about later ones. */
static struct console kvm_early_console = {
	.name	= "earlykvm",
	.write	= early_write,
	.flags	= CON_PRINTBUFFER | CON_BOOT | CON_ENABLED,
	.index	= 0,
};

static void __init register_early_console(void)
{
	if (!MACHINE_IS_KVM || early_console)
		return;
	early_console = &kvm_early_console;
	register_console(early_console);
}

static int __init early_console_asked(char *arg)
{
	if (arg && !strcmp(arg, "kvm"))
		register_early_console();
	return 0;
}
early_param("earlyprintk", early_console_asked);

static int __init early_console_default(void)
{
	if (!sclp.has_vt220 && !sclp.has_linemode)
		register_early_console();
	return 0;
}
console_initcall(early_console_default);
