/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be done at the end of a round: a list in the order of asking. */
#include <errno.h>
#include <stdlib.h>
#include "lib/loop_priv.h"

enum { RUNS = 8 };	/* how often each may run in one round, on average: one that asks for itself must not hold up the loop */

int loop_task_create(struct loop *loop, loop_fn *fn, void *ctx, struct loop_task **task)
{
	struct loop_task *t = calloc(1, sizeof *t);

	*task = t;
	if (!t)
		return -ENOMEM;
	*t = (struct loop_task){ .loop = loop, .fn = fn, .ctx = ctx };
	pthread_mutex_lock(&loop->lock);
	t->next = loop->all_tasks;
	t->link = &loop->all_tasks;
	if (t->next)
		t->next->link = &t->next;
	loop->all_tasks = t;
	loop->task_count++;
	pthread_mutex_unlock(&loop->lock);
	return 0;
}

void loop_task_run(struct loop_task *t)
{
	struct loop *loop = t->loop;
	bool idle;

	if (t->asked)
		return;
	pthread_mutex_lock(&loop->lock);
	t->asked = true;
	t->due_next = NULL;
	t->due_link = loop->task_end;
	*loop->task_end = t;
	loop->task_end = &t->due_next;
	idle = !loop->in_round;
	pthread_mutex_unlock(&loop->lock);
	if (idle)
		loop_wake(loop);
}

/* lock held */
static void take_out(struct loop_task *t)
{
	if (!t->asked)
		return;
	*t->due_link = t->due_next;
	if (t->due_next)
		t->due_next->due_link = t->due_link;
	else
		t->loop->task_end = t->due_link;
	t->asked = false;
}

void loop_task_free(struct loop_task *t)
{
	struct loop *loop;

	if (!t)
		return;
	loop = t->loop;
	pthread_mutex_lock(&loop->lock);
	take_out(t);
	*t->link = t->next;
	if (t->next)
		t->next->link = t->link;
	loop->task_count--;
	pthread_mutex_unlock(&loop->lock);
	free(t);
}

void loop_run_tasks(struct loop *loop)
{
	struct loop_task *t;
	loop_fn *fn;
	void *ctx;

	pthread_mutex_lock(&loop->lock);
	for (size_t left = RUNS * loop->task_count; left && (t = loop->tasks); left--) {
		take_out(t);
		fn = t->fn;
		ctx = t->ctx;
		pthread_mutex_unlock(&loop->lock);
		fn(ctx);	/* may free t */
		pthread_mutex_lock(&loop->lock);
	}
	if (loop->tasks)
		loop_wake(loop);
	pthread_mutex_unlock(&loop->lock);
}

void loop_free_tasks(struct loop *loop)
{
	for (struct loop_task *t = loop->all_tasks, *next; t; t = next) {
		next = t->next;
		free(t);
	}
}
