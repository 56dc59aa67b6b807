/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotates a LUKS volume's key under random requests, as hull-hv does: the same layers, the same rotation, a real agent in a
 * process of its own and libcryptsetup in that. What the guest was told is kept beside the volume in shared memory and compared
 * with what it reads.
 *   make VOLUME KEY MIB      a volume of so much data, every sector of it known
 *   calm VOLUME KEY          one rotation, with figures; LOAD=0 without requests
 *   storm VOLUME KEY SEED N  rotations until agents and whole processes were killed N times each, at random moments
 *   stuck VOLUME KEY         agents that all end: errors, and a later rotation that goes on
 *   end VOLUME KEY           libcryptsetup alone: one key, no rotation pending, every sector as expected
 *   volume agent             the agent, when HULL_AGENT names this program
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "crypto/luks/agent.h"
#include "crypto/luks/luks.h"
#include "crypto/xts.h"
#include "hv/block/crypt.h"
#include "hv/mgmt/rotate.h"
#include "hv/volume.h"
#include "lib/log.h"
#include "lib/scope.h"

enum { UNIT = 512, DEPTH = 16, SPAN = 64, ZERO = 1u << 31, ZONE = 1 << 20 };
enum { LIFE_DONE = 0, LIFE_WRONG = 3, LIFE_FAILED = 4 };

/* Survives the processes that are killed. */
struct model {
	uint64_t units;
	uint32_t agents_killed, processes_killed, rotations, restarts;
	pid_t orphan;			/* the agent of the process killed last; 0: it had none */
	uint32_t orphans;		/* of which none was left */
	uint64_t requests, longest_ns, longest_zone_ns;
	struct { uint32_t acked, pending; } unit[];	/* versions; pending 0: none */
};

struct op { struct block_req req; struct iovec iov; uint8_t *data; uint64_t unit, count, start_ns; uint32_t version; };

static struct {
	struct model *m;
	struct loop *loop;
	struct block *crypt;
	struct rotate *rotate;
	struct loop_timer *killer;
	struct op op[DEPTH];
	uint8_t *busy;
	uint64_t scan, requests, failed;	/* units looked at since this process began */
	uint32_t version;
	bool stopping, load, kill_agents, stuck;
	unsigned active;		/* ops that have something to do */
	int status;
	struct volume v;
	const char *volume;
} g;

static uint64_t rng;

static uint32_t draw(uint32_t below)
{
	rng = rng * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(rng >> 33) % below;
}

static void fill(uint8_t *data, uint64_t unit, uint32_t version)
{
	uint64_t x = unit << 32 | version;

	if (version & ZERO) {
		memset(data, 0, UNIT);
		return;
	}
	for (unsigned i = 0; i < UNIT; i += 8) {
		x += 0x9e3779b97f4a7c15u;
		uint64_t z = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;

		z = (z ^ z >> 27) * 0x94d049bb133111ebu;
		memcpy(data + i, &(uint64_t){ z ^ z >> 31 }, 8);
	}
}

static bool is(const uint8_t *data, uint64_t unit, uint32_t version)
{
	uint8_t want[UNIT];

	fill(want, unit, version);
	return !memcmp(data, want, UNIT);
}

static void wrong(const char *what, uint64_t unit)
{
	uint64_t boundary = 0;
	bool rotating = g.crypt && block_crypt_rotating(g.crypt, &boundary);

	fprintf(stderr, "driver: %s at byte %" PRIu64 " (%s, boundary %" PRIu64 ")\n", what, unit * UNIT,
		rotating ? "rotating" : "one key",
		boundary);
	_exit(LIFE_WRONG);
}

/* ---- the guest */

static void next(struct op *op);

static void check_unit(const struct op *op, uint64_t i)
{
	uint64_t unit = op->unit + i;
	uint32_t acked = g.m->unit[unit].acked, pending = g.m->unit[unit].pending;
	const uint8_t *data = op->data + i * UNIT;

	if (pending && is(data, unit, pending))
		g.m->unit[unit].acked = pending;
	else if (!is(data, unit, acked))
		wrong(pending ? "neither the old nor the new data" : "not what was written", unit);
	g.m->unit[unit].pending = 0;
}

static void on_done(struct block_req *req, int result)
{
	struct op *op = req->ctx;
	uint64_t took = loop_now_ns() - op->start_ns;

	if (result && !(result == -EIO && block_crypt_zone_frozen(g.crypt))) {
		fprintf(stderr, "driver: request ended with %s\n", strerror(-result));
		_exit(LIFE_WRONG);
	}
	g.failed += !!result;
	if (took > g.m->longest_ns)
		g.m->longest_ns = took;
	for (uint64_t i = 0; i < op->count; i++) {
		if (!result && req->op == BLOCK_READ) {
			check_unit(op, i);
		} else if (!result) {
			g.m->unit[op->unit + i].acked = op->version;
			g.m->unit[op->unit + i].pending = 0;
		}
		g.busy[op->unit + i] = 0;
	}
	g.m->requests++;
	g.requests++;
	next(op);
}

static void go(struct op *op, enum block_op what)
{
	op->req = (struct block_req){ .op = what, .off = op->unit * UNIT, .len = op->count * UNIT, .done = on_done, .ctx = op };
	op->iov = (struct iovec){ op->data, op->count * UNIT };
	if (what != BLOCK_WRITE_ZEROES) {
		op->req.iov = &op->iov;
		op->req.iov_count = 1;
	}
	op->start_ns = loop_now_ns();
	block_submit(g.crypt, &op->req);
}

static bool claim(struct op *op)
{
	for (uint64_t i = 0; i < op->count; i++)
		if (g.busy[op->unit + i])
			return false;
	memset(g.busy + op->unit, 1, op->count);
	return true;
}

static void put(struct op *op, enum block_op what)
{
	op->version = ++g.version % ZERO | (what == BLOCK_WRITE_ZEROES ? ZERO : 0);
	for (uint64_t i = 0; i < op->count; i++) {
		g.m->unit[op->unit + i].pending = op->version;
		fill(op->data + i * UNIT, op->unit + i, op->version);
	}
	go(op, what);
}

static void rest(void)
{
	if (!--g.active && g.stopping)
		loop_stop(g.loop);
}

static void on_next(void *ctx)
{
	struct op *op = ctx;

	/* First everything is read once: what the last process left, and which of the writes that it died in arrived. */
	if (g.scan < g.m->units) {
		op->unit = g.scan;
		op->count = g.m->units - g.scan < SPAN ? g.m->units - g.scan : SPAN;
		g.scan += op->count;
		if (!claim(op))
			wrong("the scan met a request", op->unit);
		go(op, BLOCK_READ);
		return;
	}
	if (g.stopping || !g.load || g.scan < g.m->units) {
		rest();
		return;
	}
	do {
		op->count = 1 + (draw(3) ? draw(8) : draw(SPAN));
		op->unit = draw((uint32_t)(g.m->units - op->count));
	} while (!claim(op));
	if (draw(3))
		put(op, draw(12) ? BLOCK_WRITE : BLOCK_WRITE_ZEROES);
	else
		go(op, BLOCK_READ);
}

/* By the loop, so that the stack stays flat and the rotation has its turn. */
static void next(struct op *op)
{
	if (loop_post(g.loop, on_next, op))
		wrong("out of memory", 0);
}

/* ---- what happens to the rotation */

static pid_t agent_of(pid_t process)
{
	char path[64], text[256] = "";
	auto_fclose FILE *f = NULL;

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)process, (int)process);
	f = fopen(path, "re");
	return f && fgets(text, sizeof text, f) ? atoi(text) : 0;
}

static void kill_agent(void)
{
	pid_t pid = agent_of(getpid());

	if (pid > 0 && !kill(pid, SIGKILL))
		g.m->agents_killed++;
}

static void on_killer(void *ctx)
{
	kill_agent();
	loop_timer_arm(g.killer, loop_now_ns() + 1000000ull * (30 + draw(400)));
}

static void on_rotate(void *ctx, const struct rotate_state *s)
{
	if (s->longest_ns > g.m->longest_zone_ns)
		g.m->longest_zone_ns = s->longest_ns;
	if (s->phase < ROTATE_STOPPED)
		return;
	g.m->restarts += s->restarts;
	if (s->phase == ROTATE_DONE) {
		g.m->rotations++;
	} else {
		fprintf(stderr, "driver: rotation %s: %s\n", rotate_phase_name(s->phase), s->text);
		g.status = LIFE_FAILED;
	}
	if (getenv("FIGURES"))
		printf("rotated %" PRIu64 " MiB in %.3f s: %.0f MB/s; longest zone %.1f ms, longest request %.1f ms, %" PRIu64 " requests/s\n",
			s->fresh >> 20, (double)s->elapsed_ns / 1e9, (double)s->fresh * 1e3 / (double)s->elapsed_ns,
			(double)s->longest_ns / 1e6, (double)g.m->longest_ns / 1e6, g.requests * 1000000000u / s->elapsed_ns);
	g.stopping = true;
	if (!g.active)
		loop_stop(g.loop);
}

static uint64_t load(void *ctx)
{
	uint64_t boundary;

	/* Asked when the agent wants a zone: it gets it, but is dead, and none that follows it lives. */
	if (g.stuck && block_crypt_rotating(g.crypt, &boundary) && boundary) {
		g.stuck = false;
		setenv("HULL_AGENT", "/bin/false", 1);
		kill_agent();
	}
	return getenv("NO_YIELD") ? 0 : g.requests;
}

/* ---- a process */

static void die(const char *what, const struct err *err)
{
	fprintf(stderr, "driver: %s: %s\n", what, err->text);
	_exit(LIFE_FAILED);
}

static struct model *map_model(const char *volume, uint64_t units)
{
	char path[1100];
	auto_close int fd = -1;
	uint64_t size = sizeof(struct model) + units * 8;
	struct model *m;

	snprintf(path, sizeof path, "%s.model", volume);
	fd = open(path, O_RDWR | (units ? O_CREAT | O_TRUNC : 0), 0600);
	if (fd < 0 || (units && ftruncate(fd, (off_t)size)))
		exit(LIFE_FAILED);
	if (!units)
		size = (uint64_t)lseek(fd, 0, SEEK_END);
	m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		exit(LIFE_FAILED);
	if (units)
		m->units = units;
	return m;
}

/* An agent of the last process may be writing a zone: none is left when the volume opens. */
static void check_orphan(void)
{
	enum { EXITING = 4 };	/* PF_EXITING: it has no files any more, and perhaps nobody has reaped it */
	auto_fclose FILE *f = NULL;
	char path[64], state = 0;
	unsigned flags = 0;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)g.m->orphan);
	f = g.m->orphan ? fopen(path, "re") : NULL;
	if (f && fscanf(f, "%*d (%*[^)]) %c %*d %*d %*d %*d %*d %u", &state, &flags) == 2 && !(flags & EXITING)) {
		fprintf(stderr, "driver: agent %d of the last process lives (%c)\n", (int)g.m->orphan, state);
		_exit(LIFE_WRONG);
	}
	g.m->orphans += !!g.m->orphan;
	g.m->orphan = 0;
}

/* As hull-hv does it. */
static void open_volume(const char *volume, const char *key_file)
{
	static char source[1100];
	struct placement_volume from = { .name = "test", .path = volume, .key = source };
	const struct placement placement = { .volume = &from, .volumes = 1, .wait_s = 60, .keyed = true };
	struct volume_context c = { .placement = &placement, .spare_fd = -1 };
	struct err err = { 0 };

	if (loop_create(&g.loop, &err))
		die("loop", &err);
	c.loop = g.loop;
	snprintf(source, sizeof source, "file:%s", key_file);
	if (volume_open(&g.v, &from, &c, &err))
		die("open", &err);
	check_orphan();
	agent_free(c.agent);
	g.crypt = g.v.crypt;
	g.volume = volume;
}

static void prepare(const char *volume, const char *key_file)
{
	g.m = map_model(volume, 0);
	open_volume(volume, key_file);
	if (g.crypt->size != g.m->units * UNIT)
		wrong("another size", g.crypt->size / UNIT);
	g.busy = calloc(1, g.m->units);
	for (unsigned i = 0; i < DEPTH; i++)
		g.op[i].data = aligned_alloc(4096, SPAN * UNIT);
	g.load = true;
	g.version = draw(ZERO);
}

static int work(void)
{
	g.active = DEPTH;
	for (unsigned i = 0; i < DEPTH; i++)
		next(&g.op[i]);
	return loop_run(g.loop);
}

/* A rotation under load, to its end. */
static int rotate(void)
{
	const struct rotate_config c = { .loop = g.loop, .crypt = g.crypt, .base = g.v.base, .name = "test",
		.path = g.volume, .key = &g.v.key,
		.zone = getenv("ZONE") ? strtoull(getenv("ZONE"), NULL, 0) : ZONE, .load = load, .event = on_rotate };
	struct err err = { 0 };
	int r;

	g.stopping = false;
	g.status = 0;
	if (rotate_start(&c, &g.rotate, &err))
		die("rotate", &err);
	r = work();
	rotate_free(g.rotate);
	g.rotate = NULL;
	return r;
}

static int live(void)
{
	if (g.kill_agents) {
		if (loop_timer_create(g.loop, on_killer, NULL, &g.killer))
			return LIFE_FAILED;
		loop_timer_arm(g.killer, loop_now_ns() + 1000000ull * draw(60));
	}
	if (rotate())
		return LIFE_FAILED;
	loop_timer_free(g.killer);
	/* and everything once more, under one key */
	g.scan = 0;
	if (!g.status && work())
		return LIFE_FAILED;
	volume_free(&g.v);
	loop_free(g.loop);
	return g.status;
}

/* ---- commands */

static int run_make(const char *volume, const char *key_file, uint64_t mib)
{
	const struct luks_place at = { .volume = volume };
	const struct luks_format how = { .size = mib << 20, .version = 2, .sector = 4096, .cost = luks_cost_key, .force = true };
	auto_close int fd = open(volume, O_RDWR | O_CREAT | O_TRUNC, 0600);
	struct err err = { 0 };
	struct secret key;

	if (secret_read_file(key_file, 512, &key, &err) || luks_format(&at, &how, &key, &err))
		die("format", &err);
	secret_destroy(&key);
	map_model(volume, (mib << 20) / UNIT);
	prepare(volume, key_file);
	for (uint64_t unit = 0; unit < g.m->units; unit += SPAN) {
		struct op *op = &g.op[0];

		op->unit = unit;
		op->count = g.m->units - unit < SPAN ? g.m->units - unit : SPAN;
		g.scan = g.m->units;
		g.stopping = true;
		put(op, BLOCK_WRITE);
		block_drain(g.crypt);
	}
	volume_free(&g.v);
	return 0;
}

static int run_storm(const char *volume, const char *key_file, unsigned seed, uint32_t kills)
{
	struct model *m = map_model(volume, 0);
	unsigned failed = 0;

	for (unsigned life = 0; m->agents_killed < kills || m->processes_killed < kills; life++) {
		bool kill_process = m->processes_killed < kills && life % 5;
		int status = 0;
		pid_t pid;

		rng = seed * 1000003ull + life;
		pid = fork();
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			prepare(volume, key_file);
			g.kill_agents = !kill_process || life % 2;
			_exit(live());
		}
		if (kill_process) {
			nanosleep(&(struct timespec){ .tv_nsec = 1000000l * (30 + draw(500)) }, NULL);
			m->orphan = agent_of(pid);
			kill(pid, SIGKILL);
		}
		waitpid(pid, &status, 0);
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
			m->processes_killed++;
		} else if (!WIFEXITED(status) || WEXITSTATUS(status) == LIFE_WRONG) {
			fprintf(stderr, "driver: life %u ended with status %x\n", life, status);
			return 1;
		} else if (WEXITSTATUS(status) && ++failed > 2 * kills) {
			fprintf(stderr, "driver: too many lives failed\n");
			return 1;
		}
	}
	printf("%u agents killed, %u processes killed (%u with an agent), %u lives failed, %u rotations, %" PRIu64 " requests, "
		"longest request %.0f ms\n", m->agents_killed, m->processes_killed, m->orphans, failed, m->rotations, m->requests,
		(double)m->longest_ns / 1e6);
	return 0;
}

/* No agent lives: requests to its zone fail, others go on; the next rotation mends it. */
static int run_stuck(const char *volume, const char *key_file)
{
	auto_free char *agent = strdup(getenv("HULL_AGENT"));
	uint64_t requests;

	prepare(volume, key_file);
	setenv("NO_YIELD", "1", 1);	/* else it is found dead before it has the zone */
	g.stuck = true;
	if (rotate() || g.status != LIFE_FAILED || !g.failed || !block_crypt_zone_frozen(g.crypt))
		return 1;
	printf("%" PRIu64 " requests failed\n", g.failed);
	requests = g.requests;
	g.failed = 0;
	setenv("HULL_AGENT", agent, 1);
	return live() || g.failed || g.requests == requests;
}

/* Without our layers: libcryptsetup's key, the volume's bytes, and the cipher. */
static int run_end(const char *volume, const char *key_file)
{
	const struct luks_place at = { .volume = volume };
	struct luks_layout *layout = secret_alloc(sizeof *layout);
	auto_close int fd = open(volume, O_RDONLY);
	struct err err = { 0 };
	struct secret key;
	struct xts *x;
	uint8_t sector[4096];

	g.m = map_model(volume, 0);
	if (!layout || secret_read_file(key_file, 512, &key, &err) || luks_open(&at, &key, layout, NULL, &err))
		die("open", &err);
	if (layout->segment_count != 1) {
		fprintf(stderr, "driver: a rotation is pending\n");
		return 1;
	}
	if (xts_create(layout->segment[0].key, layout->segment[0].key_len, 4096, &x, &err))
		die("xts", &err);
	for (uint64_t unit = 0; unit < g.m->units; unit += 8) {
		if (pread(fd, sector, sizeof sector, (off_t)(layout->data_off + unit * UNIT)) != sizeof sector)
			wrong("cannot be read", unit);
		xts_decrypt(x, unit, sector, sector, sizeof sector);
		for (unsigned i = 0; i < 8; i++) {
			uint32_t pending = g.m->unit[unit + i].pending;

			if (!is(sector + i * UNIT, unit + i, g.m->unit[unit + i].acked) &&
			    !(pending && is(sector + i * UNIT, unit + i, pending)))
				wrong("not what was written", unit + i);
		}
	}
	printf("%" PRIu64 " sectors are as written\n", g.m->units);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	secret_harden();
	signal(SIGPIPE, SIG_IGN);
	log_init("driver", getenv("FIGURES") ? LOG_WARN : LOG_ERROR);
	if (argc == 3 && !strcmp(argv[1], "volume"))
		return agent_serve(AGENT_FD);
	if (argc == 5 && !strcmp(what, "make"))
		return run_make(argv[2], argv[3], strtoull(argv[4], NULL, 0));
	if (argc == 6 && !strcmp(what, "storm"))
		return run_storm(argv[2], argv[3], (unsigned)atoi(argv[4]), (uint32_t)atoi(argv[5]));
	if (argc == 4 && !strcmp(what, "end"))
		return run_end(argv[2], argv[3]);
	if (argc == 4 && !strcmp(what, "stuck"))
		return run_stuck(argv[2], argv[3]);
	if (argc == 4 && !strcmp(what, "calm")) {
		prepare(argv[2], argv[3]);
		g.load = !getenv("LOAD") || atoi(getenv("LOAD"));
		g.m->longest_ns = 0;
		return live();
	}
	fprintf(stderr, "usage: rotate_driver make VOLUME KEY MIB | calm VOLUME KEY | storm VOLUME KEY SEED N | stuck VOLUME KEY | "
		"end VOLUME KEY\n");
	return 2;
}
