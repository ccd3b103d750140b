// SPDX-License-Identifier: GPL-2.0-only
/*
 * What callbacks ask about system states; include/klp_rs.h has the documentation. The rules are pure/states.rs, what
 * earlier patches made of a state is engine/states.rs.
 */
#include <linux/bug.h>
#include <linux/err.h>

#include <klp_rs.h>

#include "klp_rs_glue.h"

struct klp_rs_state *klp_rs_get_state(struct klp_rs_patch *patch, unsigned long id)
{
	struct klp_rs_state *state;

	for (state = patch->states; state && state->id; state++)
		if (state->id == id)
			return state;
	return NULL;
}

struct klp_rs_state *klp_rs_get_prev_state(unsigned long id)
{
	struct klp_rs_state *state = klp_rs_previous_state(id);

	/* Asked outside of a transition: there is no patch that another could be previous to. */
	if (WARN_ON_ONCE(IS_ERR(state)))
		return NULL;
	return state;
}

EXPORT_SYMBOL_GPL(klp_rs_get_state);
EXPORT_SYMBOL_GPL(klp_rs_get_prev_state);
